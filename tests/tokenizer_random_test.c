/* tokenizer_random_test.c - random texts through real tokenizers; the same in every run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz_tokenizer.h"
#include "tests/support/vocab.h"
#include "worker/engine/unicode.h"

#define MAX_TEXT 300
#define ROUNDS 1500

static uint64_t next_random(uint64_t *s) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return *s >> 33;
}

static const char *const bits[] = {"<|im_start|>",
                                   "<|im_end|>",
                                   "<|endoftext|>",
                                   "<end_of_utterance>",
                                   "<image>",
                                   "<row_1_col_1>",
                                   "</s>",
                                   "<0x0A>",
                                   "  ",
                                   "\n\n",
                                   "'ll",
                                   " the",
                                   "12",
                                   "\xE2\x96\x81",
                                   "\xF0\x9F\x98\x80",
                                   "e\xCC\x81",
                                   "\xEF\xBF\xBD",
                                   "<|",
                                   "|>",
                                   "fim_middle"};

/* Words, marks, characters of all planes and, now and then, bytes that are no characters. */
static size_t make_text(uint8_t *out, uint64_t *s) {
    size_t n = 0, wanted = next_random(s) % (MAX_TEXT - 32);
    bool damaged = next_random(s) % 4 == 0;
    while (n < wanted) {
        uint64_t kind = next_random(s) % 8;
        if (kind < 3) {
            const char *bit = bits[next_random(s) % (sizeof bits / sizeof bits[0])];
            memcpy(out + n, bit, strlen(bit));
            n += strlen(bit);
        } else if (kind == 3 && damaged) {
            out[n++] = (uint8_t)next_random(s);
        } else {
            uint32_t limit = kind < 6 ? 0x80 : kind == 6 ? 0x3000 : 0x20000;
            uint32_t code = (uint32_t)(next_random(s) % limit);
            n += utf8_write(out + n, code >= 0xD800 && code < 0xE000 ? '?' : code);
        }
    }
    return n;
}

static void check_rounds(const char *folder, const char *name, bool byte_level) {
    struct tokenizer *t = vocab_open_golden(folder, name);
    uint64_t s = 3;
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t text[MAX_TEXT];
        size_t n = make_text(text, &s);
        uint8_t *exact = malloc(n + (n == 0)); /* so that a read past the end is seen */
        assert_non_null(exact);
        memcpy(exact, text, n);
        check_encoding(t, byte_level, (struct bytes){exact, n});
        free(exact);
    }
    tokenizer_close(t);
}

static void test_random_texts_come_back_from_gpt2(void **state) {
    (void)state;
    check_rounds("tokenizer", "ggml-vocab-gpt-2.gguf", true);
}

static void test_random_texts_come_back_from_starcoder(void **state) {
    (void)state;
    check_rounds("tokenizer", "ggml-vocab-starcoder.gguf", true);
}

static void test_random_texts_come_back_from_smolvlm(void **state) {
    (void)state;
    check_rounds("smolvlm", "text.gguf", true);
}

static void test_random_texts_harm_nothing_in_llama_spm(void **state) {
    (void)state;
    check_rounds("tokenizer", "ggml-vocab-llama-spm.gguf", false);
}

static void test_random_texts_harm_nothing_in_the_fuzz_target(void **state) {
    (void)state;
    uint64_t s = 5;
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t text[MAX_TEXT];
        size_t n = next_random(&s) % MAX_TEXT;
        for (size_t i = 0; i < n; i++) {
            text[i] = (uint8_t) "<|a>a a1"[next_random(&s) % 8];
        }
        LLVMFuzzerTestOneInput(text, n);
    }
}

/* Pieces far longer than a window. */
static void test_long_runs_of_one_kind_come_back(void **state) {
    (void)state;
    enum { BYTES = 20000 };
    struct tokenizer *t = vocab_open_golden("tokenizer", "ggml-vocab-starcoder.gguf");
    uint8_t *text = malloc(BYTES);
    uint64_t s = 9;
    assert_non_null(text);
    for (int kind = 0; kind < 6; kind++) {
        for (size_t i = 0; i < BYTES; i++) {
            const char *set = kind == 4 ? "abcdefghijklmnopqrstuvwxyz" : "!?.,;:-";
            text[i] =
                kind < 4 ? (uint8_t) "a \n="[kind] : (uint8_t)set[next_random(&s) % strlen(set)];
        }
        check_encoding(t, true, (struct bytes){text, BYTES});
    }
    free(text);
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_texts_come_back_from_gpt2),
        cmocka_unit_test(test_random_texts_come_back_from_starcoder),
        cmocka_unit_test(test_random_texts_come_back_from_smolvlm),
        cmocka_unit_test(test_random_texts_harm_nothing_in_llama_spm),
        cmocka_unit_test(test_random_texts_harm_nothing_in_the_fuzz_target),
        cmocka_unit_test(test_long_runs_of_one_kind_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
