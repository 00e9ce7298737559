/* made_model_test.c - the models that make-model writes are sound, so that what is measured on them
 * means something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/gguf_image.h"
#include "tests/support/quantize.h"
#include "tests/support/smolvlm_shape.h"
#include "worker/engine/model.h"

static const enum quant_type types[] = {QUANT_F16, QUANT_Q8_0, QUANT_Q4_0};

static void open_made(struct gguf_image *i, const char *shape, enum quant_type type, bool vision,
                      uint64_t seed) {
    const struct smolvlm_shape *s = smolvlm_shape(shape);
    struct gguf_writer w;
    gguf_writer_open(&w);
    (vision ? smolvlm_put_mmproj : smolvlm_put_text)(&w, s, type);
    gguf_image_open(i, &w);
    if (i->code != 0)
        fail_msg("%s", i->e.text);
    smolvlm_fill(&w, s, seed, i->bytes + i->data_start);
    gguf_writer_close(&w);
}

static void test_small_shapes_of_every_type_are_bound(void **state) {
    (void)state;
    static const char *const shapes[] = {"micro", "tiny"};
    for (size_t s = 0; s < 2; s++)
        for (size_t k = 0; k < 3; k++) {
            struct gguf_image t, v;
            struct text_model text;
            struct vision_model vision;
            open_made(&t, shapes[s], types[k], false, 1);
            open_made(&v, shapes[s], types[k], true, 2);
            if (text_model_bind(&text, t.g, &t.e) != 0)
                fail_msg("%s", t.e.text);
            if (vision_model_bind(&vision, v.g, text.n_embd, &v.e) != 0)
                fail_msg("%s", v.e.text);
            assert_int_equal(text.layers[0].q.type, types[k]);
            assert_int_equal(text.token_embd.type, types[k]);
            assert_int_equal(text.output.type, k == 2 ? QUANT_Q8_0 : types[k]);
            assert_int_equal(vision.fc.type, k == 1 ? QUANT_Q8_0 : QUANT_F16);
            text_model_release(&text);
            vision_model_release(&vision);
            gguf_image_close(&t);
            gguf_image_close(&v);
        }
}

static void test_values_are_finite_and_rows_differ(void **state) {
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        struct gguf_image i;
        open_made(&i, "tiny", types[k], false, 1);
        for (size_t n = 0; n < gguf_tensor_count(i.g); n++) {
            const struct gguf_tensor *t = gguf_tensor_at(i.g, n);
            size_t width = (size_t)t->ne[0], row = quant_row_bytes(t->type, width);
            float *values = malloc(width * sizeof *values);
            double squares = 0;
            for (int64_t r = 0; r < t->ne[1]; r++) {
                quant_expand_row(t->type, (const uint8_t *)t->data + (size_t)r * row, values,
                                 width);
                for (size_t c = 0; c < width; c++) {
                    assert_true(isfinite(values[c]));
                    squares += (double)values[c] * (double)values[c];
                }
            }
            assert_true(squares > 0);
            if (t->ne[1] > 1 && strncmp((const char *)t->name.data, "output", 6) != 0)
                assert_memory_not_equal(t->data, (const uint8_t *)t->data + row, row);
            free(values);
        }
        gguf_image_close(&i);
    }
}

/* What a block of 256 says may be off by half a step of its group, and the group's own scale and
 * minimum by one part in 126 or so. */
static void test_blocks_of_256_are_near_what_was_put_in(void **state) {
    (void)state;
    static const enum quant_type large[] = {QUANT_Q4_K, QUANT_Q6_K};
    static const float allowed[] = {0.15f, 0.05f};
    float x[512], y[512];
    uint8_t row[512 * 2];
    for (int i = 0; i < 512; i++)
        x[i] = sinf((float)i) * (i < 256 ? 1.0f : 0.5f);
    for (int k = 0; k < 2; k++) {
        quant_quantize_row(large[k], x, row, 512);
        quant_expand_row_reference(large[k], row, y, 512);
        for (int i = 0; i < 512; i++)
            assert_true(fabsf(x[i] - y[i]) < allowed[k]);
    }
}

static void test_wide_rows_are_whole_blocks_of_256(void **state) {
    (void)state;
    struct gguf_writer w;
    gguf_writer_open(&w);
    smolvlm_put_text(&w, smolvlm_shape("wide"), QUANT_Q4_K);
    for (size_t i = 0; i < w.tensor_count; i++) {
        const struct gguf_writer_tensor *t = &w.tensors[i];
        bool output = strcmp(t->name, "output.weight") == 0;
        if (t->n_dims == 2)
            assert_int_equal(t->type, output ? QUANT_Q6_K : QUANT_Q4_K);
    }
    gguf_writer_close(&w);
}

static void test_the_seed_decides_the_bytes(void **state) {
    (void)state;
    struct gguf_image a, b, c;
    open_made(&a, "micro", QUANT_Q4_0, false, 1);
    open_made(&b, "micro", QUANT_Q4_0, false, 1);
    open_made(&c, "micro", QUANT_Q4_0, false, 2);
    assert_memory_equal(a.bytes, b.bytes, a.size);
    assert_int_equal(a.size, c.size);
    assert_memory_not_equal(a.bytes, c.bytes, a.size);
    gguf_image_close(&a);
    gguf_image_close(&b);
    gguf_image_close(&c);
}

static int by_text(const void *a, const void *b) {
    const struct bytes *x = a, *y = b;
    int c = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return c != 0 ? c : (x->size > y->size) - (x->size < y->size);
}

static struct bytes *sorted_tokens(const struct gguf *g, size_t *n) {
    struct gguf_array a;
    struct error e;
    assert_int_equal(gguf_get_array(g, "tokenizer.ggml.tokens", &a, NULL, &e), 0);
    struct bytes *all = calloc(a.count, sizeof *all);
    const uint8_t *cursor = a.data;
    for (size_t i = 0; i < a.count; i++)
        all[i] = gguf_next_string(&cursor);
    qsort(all, a.count, sizeof *all, by_text);
    *n = a.count;
    return all;
}

/* Stock readers refuse vocabularies where this does not hold. */
static void test_tokens_are_unique_and_merges_lead_from_tokens_to_tokens(void **state) {
    (void)state;
    struct gguf_writer w;
    struct gguf_image i;
    gguf_writer_open(&w);
    smolvlm_put_text(&w, smolvlm_shape("500m"), QUANT_Q4_0);
    w.n_tensors = w.tensor_count = 0; /* the keys alone */
    w.data_bytes = 0;
    gguf_image_open(&i, &w);
    assert_int_equal(i.code, 0);
    size_t n;
    struct bytes *tokens = sorted_tokens(i.g, &n);
    assert_int_equal(n, 49280);
    for (size_t k = 1; k < n; k++)
        assert_true(by_text(&tokens[k - 1], &tokens[k]) < 0);
    struct gguf_array merges;
    assert_int_equal(gguf_get_array(i.g, "tokenizer.ggml.merges", &merges, NULL, &i.e), 0);
    const uint8_t *cursor = merges.data;
    for (size_t k = 0; k < merges.count; k++) {
        struct bytes m = gguf_next_string(&cursor);
        const uint8_t *space = memchr(m.data + 1, ' ', m.size - 1);
        assert_non_null(space);
        uint8_t joined[64];
        size_t left = (size_t)(space - m.data);
        memcpy(joined, m.data, left);
        memcpy(joined + left, space + 1, m.size - left - 1);
        const struct bytes parts[] = {
            {m.data, left}, {space + 1, m.size - left - 1}, {joined, m.size - 1}};
        for (int p = 0; p < 3; p++)
            assert_non_null(bsearch(&parts[p], tokens, n, sizeof *tokens, by_text));
    }
    free(tokens);
    gguf_image_close(&i);
    gguf_writer_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_shapes_of_every_type_are_bound),
        cmocka_unit_test(test_values_are_finite_and_rows_differ),
        cmocka_unit_test(test_blocks_of_256_are_near_what_was_put_in),
        cmocka_unit_test(test_wide_rows_are_whole_blocks_of_256),
        cmocka_unit_test(test_the_seed_decides_the_bytes),
        cmocka_unit_test(test_tokens_are_unique_and_merges_lead_from_tokens_to_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
