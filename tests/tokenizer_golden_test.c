/* tokenizer_golden_test.c - the published vectors of three real tokenizers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/file.h"
#include "tests/support/vocab.h"

#define SEPARATOR "\n__ggml_vocab_test__\n"

/* The ids on one line of text; the line ends at *end. */
static size_t read_ids(const char *line, int32_t *ids, size_t most, const char **end) {
    size_t n = 0;
    while (*line != '\n' && *line != '\0') {
        char *after;
        long id = strtol(line, &after, 10);
        if (after == line || n == most) {
            break;
        }
        ids[n++] = (int32_t)id;
        line = after;
    }
    *end = *line == '\n' ? line + 1 : line;
    return n;
}

/* Texts stand between separators; the ids of each are one line. */
static size_t check_vectors(const char *name) {
    char file[128];
    struct tokenizer *t = vocab_open_golden("tokenizer", name);
    snprintf(file, sizeof file, "%s.inp", name);
    struct bytes in = file_read(QUIRE_GOLDEN_DIR "/tokenizer", file);
    snprintf(file, sizeof file, "%s.out", name);
    struct bytes out = file_read(QUIRE_GOLDEN_DIR "/tokenizer", file);
    char *lines = calloc(out.size + 1, 1);
    memcpy(lines, out.data, out.size);
    const char *line = lines;
    const uint8_t *text = in.data, *end = in.data + in.size, *cut;
    size_t checked = 0;
    for (; text < end; text = cut + strlen(SEPARATOR)) {
        int32_t wanted[1024];
        cut = memmem(text, (size_t)(end - text), SEPARATOR, strlen(SEPARATOR));
        assert_non_null(cut);
        size_t n = read_ids(line, wanted, 1024, &line);
        vocab_expect(t, (struct bytes){text, (size_t)(cut - text)}, TOKENIZE_PLAIN, wanted, n);
        checked++;
    }
    assert_int_equal(*line, '\0');
    free(lines);
    free((void *)(uintptr_t)in.data);
    free((void *)(uintptr_t)out.data);
    tokenizer_close(t);
    return checked;
}

static void test_gpt2_vectors_are_equal(void **state) {
    (void)state;
    assert_true(check_vectors("ggml-vocab-gpt-2.gguf") > 40);
}

static void test_starcoder_vectors_are_equal(void **state) {
    (void)state;
    assert_true(check_vectors("ggml-vocab-starcoder.gguf") > 40);
}

static void test_llama_spm_vectors_are_equal(void **state) {
    (void)state;
    assert_true(check_vectors("ggml-vocab-llama-spm.gguf") > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_vectors_are_equal),
        cmocka_unit_test(test_starcoder_vectors_are_equal),
        cmocka_unit_test(test_llama_spm_vectors_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
