/* text_nomem_test.c - every allocation fails once: each failure is passed up and nothing is lost.
 *
 * Linked with malloc, calloc and realloc wrapped; leaks show under the address sanitizer. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/vocab.h"
#include "worker/engine/prompt.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long allocations_left = -1; /* before one fails; -1: none does */

static bool fails(void) {
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
    return fails() ? NULL : __real_realloc(p, size);
}

/* Runs work with the first, the second, ... allocation failing until all succeed. */
static void fail_each(int (*work)(void *context, struct error *e), void *context) {
    for (long k = 0;; k++) {
        struct error e = {0};
        allocations_left = k;
        int rc = work(context, &e);
        bool all = allocations_left >= 0;
        allocations_left = -1;
        if (all) {
            assert_int_equal(rc, 0);
            assert_true(k > 0);
            return;
        }
        assert_int_equal(rc, ERR_NOMEM);
        assert_int_equal(e.code, ERR_NOMEM);
    }
}

static int open_once(void *context, struct error *e) {
    struct tokenizer *t;
    int rc = tokenizer_open(&t, context, e);
    assert_true((t == NULL) == (rc != 0));
    tokenizer_close(t);
    return rc;
}

static void test_opening_a_tokenizer(void **state) {
    (void)state;
    static const char *const names[] = {"smolvlm/text.gguf", "tokenizer/ggml-vocab-llama-spm.gguf"};
    for (size_t i = 0; i < 2; i++) {
        char path[1024];
        struct gguf *g;
        struct error e;
        snprintf(path, sizeof path, "%s/%s", QUIRE_GOLDEN_DIR, names[i]);
        assert_int_equal(gguf_open(&g, path, &e), 0);
        fail_each(open_once, g);
        gguf_close(g);
    }
}

static int encode_once(void *context, struct error *e) {
    struct token_list l = {0};
    static char text[3000];
    memset(text, 'a', sizeof text);
    memcpy(text, "<|im_start|>x<|im_end|>", 23);
    struct bytes b = {(const uint8_t *)text, sizeof text};
    struct tokenize_run runs[] = {{b, true}, {b, false}};
    int rc = tokenizer_encode_runs(context, runs, 2, TOKENIZE_BOS, &l, e);
    assert_true(rc == 0 || l.count == 0);
    token_list_clear(&l);
    return rc;
}

static void test_encoding(void **state) {
    (void)state;
    struct tokenizer *t = vocab_open_golden("smolvlm", "text.gguf");
    fail_each(encode_once, t);
    tokenizer_close(t);
    t = vocab_open_golden("tokenizer", "ggml-vocab-llama-spm.gguf");
    fail_each(encode_once, t);
    tokenizer_close(t);
}

static int prompt_once(void *context, struct error *e) {
    struct chat_part parts[] = {{.is_picture = true}, {.text = bytes_of("What is this?")}};
    struct chat_message m = {CHAT_USER, parts, 2};
    struct picture_layout layout = {2, 2, 16};
    struct prompt_markers *marks = NULL;
    struct rendering r = {0};
    struct prompt p = {0};
    int rc = prompt_markers_open(&marks, context, e);
    rc = rc != 0 ? rc : template_render(TEMPLATE_SMOLVLM, &m, 1, false, &r, e);
    rc = rc != 0 ? rc : prompt_build(&p, context, marks, &r, &layout, 1, 4096, e);
    assert_true(rc == 0 || p.units == NULL);
    prompt_clear(&p);
    rendering_clear(&r);
    prompt_markers_close(marks);
    return rc;
}

static void test_building_a_prompt(void **state) {
    (void)state;
    struct tokenizer *t = vocab_open_golden("smolvlm", "text.gguf");
    fail_each(prompt_once, t);
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening_a_tokenizer),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_building_a_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
