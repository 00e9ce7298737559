/* vocabulary_mutation_test.c - damaged vocabularies: refused, or good enough to tokenize with.
 *
 * The same damage in every run; best run under the address sanitizer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz_tokenizer.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/vocab.h"
#include "worker/engine/vocabulary.h"

#define ROUNDS 400

static uint64_t next_random(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

static void fill(struct vocab *v, const char *model) {
    static const char *const words[] = {"<unk>",
                                        "<s>",
                                        "</s>",
                                        "<0x61>",
                                        "a",
                                        "b",
                                        "ab",
                                        "aba",
                                        "<|im_end|>",
                                        "\xE2\x96\x81"
                                        "a",
                                        ""};
    *v = (struct vocab){.model = model, .pre = "default", .bos = 1, .eos = 2, .add_bos = 1};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        vocab_add(v, words[i], (int32_t[]){2, 3, 3, 6, 1, 1, 1, 1, 4, 1, 5}[i], -(float)i);
    }
    vocab_add_merge(v, "a b");
    vocab_add_merge(v, "ab a");
    vocab_add_merge(v, "b a");
}

static void try_image(const char *path, const uint8_t *image, size_t size) {
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    struct error e = {0};
    write_whole_file(path, image, size);
    int rc = gguf_open(&g, path, &e);
    rc = rc != 0 ? rc : tokenizer_open(&t, g, &e);
    if (rc != 0) {
        assert_int_equal(e.code, rc);
        assert_true(e.text[0] != '\0');
    } else {
        check_encoding(t, false, bytes_of("abab a</s><|im_end|>b\nab[EMPTY_10]\xF0\x9F\x98\x80"));
        check_encoding(t, false, bytes_of(""));
    }
    tokenizer_close(t);
    gguf_close(g);
}

static void damage_all(const char *model) {
    struct vocab v;
    struct gguf_writer w;
    char path[] = "/tmp/quire-vocab-XXXXXX";
    size_t size;
    fill(&v, model);
    gguf_writer_open(&w);
    vocab_write(&v, &w);
    uint8_t *image = gguf_writer_image(&w, &size, NULL), *copy = malloc(size);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && copy != NULL);
    close(fd);
    try_image(path, image, size);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t s = round + 1;
        memcpy(copy, image, size);
        for (uint64_t changes = 1 + next_random(&s) % 3; changes > 0; changes--) {
            size_t at = next_random(&s) % size;
            uint64_t flipped = copy[at] ^ 1u << next_random(&s) % 8;
            copy[at] = (uint8_t)(next_random(&s) % 2 ? next_random(&s) : flipped);
        }
        try_image(path, copy, size);
    }
    unlink(path);
    free(copy);
    free(image);
    gguf_writer_close(&w);
    vocab_clear(&v);
}

static void test_damaged_byte_level_vocabularies_harm_nothing(void **state) {
    (void)state;
    damage_all("gpt2");
}

static void test_damaged_sentencepiece_vocabularies_harm_nothing(void **state) {
    (void)state;
    damage_all("llama");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_byte_level_vocabularies_harm_nothing),
        cmocka_unit_test(test_damaged_sentencepiece_vocabularies_harm_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
