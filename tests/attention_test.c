/* attention_test.c - attention over pages against its definition in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/attention_bed.h"
#include "worker/engine/attention_kernels.h"
#include "worker/engine/kernels.h"

/* Values are in -1..1, so are their means. Scores are of the size of `sharpness` times eight, and
 * their rounding becomes a relative error of their exponentials. */
#define TOLERANCE(sharpness) (1e-5 + 1e-5 * (double)(sharpness))

/* One query head of one row, from the formula. */
static void reference(struct bed *b, const page_id *ids, uint32_t seen, int32_t head_kv,
                      const float *q, double *out) {
    int32_t hd = b->shape.head_dim;
    double *weights = calloc(seen, sizeof *weights);
    double top = -INFINITY, total = 0;
    for (uint32_t p = 0; p < seen; p++) {
        page_id id = ids[p / PAGE_POSITIONS];
        for (int32_t d = 0; d < hd; d++)
            weights[p] += (double)q[d] * bed_key(b, id, head_kv, p % PAGE_POSITIONS, d);
        top = weights[p] > top ? weights[p] : top;
    }
    memset(out, 0, (size_t)hd * sizeof *out);
    for (uint32_t p = 0; p < seen; p++)
        total += weights[p] = exp(weights[p] - top);
    for (uint32_t p = 0; p < seen; p++) {
        page_id id = ids[p / PAGE_POSITIONS];
        for (int32_t d = 0; d < hd; d++)
            out[d] += weights[p] / total * bed_value(b, id, head_kv, p % PAGE_POSITIONS, d);
    }
    free(weights);
}

static void check_span(struct bed *b, const struct attention_span *s, const float *q,
                       const float *out, double tolerance) {
    int32_t hd = b->shape.head_dim, heads = b->shape.n_head_kv * b->group;
    double *expected = calloc((size_t)hd, sizeof *expected);
    for (int32_t i = 0; i < s->rows; i++)
        for (int32_t h = 0; h < heads; h++) {
            size_t at = ((size_t)(s->first_row + i) * (size_t)heads + (size_t)h) * (size_t)hd;
            reference(b, s->pages, s->position + (uint32_t)i + 1, h / b->group, q + at, expected);
            for (int32_t d = 0; d < hd; d++)
                if (!(fabs((double)out[at + (size_t)d] - expected[d]) < tolerance))
                    fail_msg("row %d at position %u, head %d of %d x %d, value %d: %g, not %g", i,
                             s->position + (uint32_t)i, h, heads, hd, d,
                             (double)out[at + (size_t)d], expected[d]);
        }
    free(expected);
}

/* Spans of (position, rows), computed together. */
static void check_spans(struct bed *b, const uint32_t (*spans)[2], int32_t n, float sharpness) {
    struct attention_span s[16];
    page_id *ids[16];
    int32_t rows = 0;
    for (int32_t i = 0; i < n; i++) {
        ids[i] = bed_fill(b, spans[i][0] + spans[i][1]);
        s[i] = (struct attention_span){ids[i], rows, (int32_t)spans[i][1], spans[i][0]};
        rows += s[i].rows;
    }
    size_t floats = (size_t)rows * (size_t)(b->shape.n_head_kv * b->group * b->shape.head_dim);
    float *q = malloc(floats * sizeof *q), *out = malloc(floats * sizeof *out);
    random_floats(&b->random, q, floats);
    for (size_t i = 0; i < floats; i++)
        q[i] *= sharpness;
    attention_plan(b->attention, s, n);
    attention_run(b->attention, BED_LAYER, q, out);
    for (int32_t i = 0; i < n; i++) {
        check_span(b, &s[i], q, out, TOLERANCE(sharpness));
        bed_release(b, ids[i], spans[i][0] + spans[i][1]);
    }
    free(q);
    free(out);
}

static void test_single_rows_equal_the_definition_at_every_edge(void **state) {
    (void)state;
    static const uint32_t positions[] = {0,   1,   14,  15,  16,  17,   254,  255,
                                         256, 257, 511, 512, 700, 1023, 1024, 1900};
    for (int type = 0; type < KV_TYPES; type++) {
        struct bed b;
        bed_open(&b, (struct pages_shape){0, 2, 64, (enum kv_type)type}, 3, 2);
        for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++)
            check_spans(&b, (const uint32_t[][2]){{positions[i], 1}}, 1, 1);
        bed_close(&b);
    }
}

static void test_prompts_equal_the_definition(void **state) {
    (void)state;
    static const uint32_t spans[][2] = {{0, 5},    {0, 64},  {0, 65},   {0, 200},
                                        {3, 70},   {16, 16}, {250, 20}, {255, 130},
                                        {256, 90}, {300, 2}, {500, 4}};
    for (int type = 0; type < KV_TYPES; type++) {
        struct bed b;
        bed_open(&b, (struct pages_shape){0, 2, 32, (enum kv_type)type}, 3, 2);
        for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
            check_spans(&b, &spans[i], 1, 2);
        bed_close(&b);
    }
}

static void test_sequences_of_one_step_do_not_mix(void **state) {
    (void)state;
    static const uint32_t spans[][2] = {{40, 1}, {0, 1}, {300, 1}, {10, 90}, {31, 3}, {0, 40}};
    for (int threads = 1; threads <= 4; threads++) {
        struct bed b;
        bed_open(&b, (struct pages_shape){0, 3, 48, KV_F16}, 2, threads);
        check_spans(&b, spans, 6, 1);
        bed_close(&b);
    }
}

static void test_any_shape_of_heads_works(void **state) {
    (void)state;
    static const int32_t shapes[][3] = {{1, 1, 64}, {4, 1, 80}, {1, 8, 128},
                                        {2, 5, 20}, {1, 3, 2},  {1, 16, 34}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int type = 0; type < KV_TYPES; type++) {
            const struct pages_shape shape = {0, shapes[i][0], shapes[i][2], (enum kv_type)type};
            struct bed b;
            bed_open(&b, shape, shapes[i][1], 2);
            check_spans(&b, (const uint32_t[][2]){{33, 1}, {290, 1}, {0, 37}}, 3, 1);
            bed_close(&b);
        }
    }
}

/* Scores of hundreds would overflow exp if the maximum were not taken off first. */
static void test_large_scores_do_not_overflow(void **state) {
    (void)state;
    struct bed b;
    bed_open(&b, (struct pages_shape){0, 1, 64, KV_F16}, 2, 1);
    check_spans(&b, (const uint32_t[][2]){{600, 1}, {250, 40}}, 2, 60);
    bed_close(&b);
}

/* What is stored differs from what was given by at most half a step of its type. */
static void test_what_is_stored_is_near_what_was_given(void **state) {
    (void)state;
    static const int32_t widths[] = {2, 20, 32, 34, 64, 80};
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
        for (int type = 0; type < KV_TYPES; type++) {
            int32_t hd = widths[w];
            struct bed b;
            bed_open(&b, (struct pages_shape){0, 1, hd, (enum kv_type)type}, 1, 1);
            page_id id = pages_take(b.pages);
            for (uint32_t p = 0; p < PAGE_POSITIONS; p++) {
                float kv[160];
                random_floats(&b.random, kv, 160);
                attention_place(b.attention, id, p, BED_LAYER, kv, kv + 80);
                double step = type == KV_F32 ? 0 : type == KV_F16 ? 0.0005 : 1.0 / 127;
                for (int32_t d = 0; d < hd; d++) {
                    assert_true(fabs(bed_key(&b, id, 0, p, d) - (double)kv[d]) <= 0.51 * step);
                    assert_true(fabs(bed_value(&b, id, 0, p, d) - (double)kv[80 + d]) <=
                                0.51 * step);
                }
            }
            bed_close(&b);
        }
}

static void test_values_too_large_for_q8_0_are_its_largest(void **state) {
    (void)state;
    struct bed b;
    bed_open(&b, (struct pages_shape){0, 1, 4, KV_Q8_0}, 1, 1);
    page_id id = pages_take(b.pages);
    const float key[4] = {1e30F, -1e30F, 0, 1}, value[4] = {0, 0, 0, 0};
    attention_place(b.attention, id, 3, BED_LAYER, key, value);
    assert_true(bed_key(&b, id, 0, 3, 0) == 127 * 65504.0);
    assert_true(bed_key(&b, id, 0, 3, 1) == -127 * 65504.0);
    for (int32_t d = 0; d < 4; d++)
        assert_true(bed_value(&b, id, 0, 3, d) == 0);
    bed_close(&b);
}

static void test_names_of_types_are_understood(void **state) {
    (void)state;
    struct error e;
    enum kv_type type;
    for (int i = 0; i < KV_TYPES; i++) {
        assert_int_equal(kv_type_parse(kv_type_name((enum kv_type)i), &type, NULL), 0);
        assert_int_equal(type, i);
    }
    assert_int_equal(kv_type_parse(NULL, &type, NULL), 0);
    assert_int_equal(type, KV_F16);
    assert_int_equal(kv_type_parse("q4_0", &type, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "q4_0"));
}

/* ---- the kernels beneath, of each instruction set ---- */

static void test_exponentials_are_within_two_units_of_libm(void **state) {
    (void)state;
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        const struct kernels *k = kernels_of((enum quant_isa)isa);
        for (float x = -86; x <= 0; x += 0.00731F) {
            float e = x;
            float sum = k->exponentials(&e, 1, 0);
            double exact = exp((double)x);
            assert_true(fabs((double)e - exact) <= exact * 2 * 1.2e-7);
            assert_true(sum == e);
        }
        float far[3] = {-INFINITY, -1e30F, 0};
        float sum = k->exponentials(far, 3, 0);
        assert_true(far[0] < 1e-30F && far[1] < 1e-30F && far[2] == 1 && sum == 1);
    }
}

static void test_small_kernels_equal_their_definitions(void **state) {
    (void)state;
    enum { MOST = 70 };
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        const struct kernels *k = kernels_of((enum quant_isa)isa);
        for (int32_t n = 1; n <= MOST; n++) {
            struct random_source r = {(uint64_t)n};
            float x[MOST], w[MOST], out[MOST], gate[MOST];
            random_floats(&r, x, MOST);
            random_floats(&r, w, MOST);
            float top = x[0];
            double squares = 0;
            for (int32_t i = 0; i < n; i++) {
                top = x[i] > top ? x[i] : top;
                squares += (double)x[i] * (double)x[i];
            }
            assert_true(k->highest(x, n) == top);
            k->rms_norm(x, w, n, 1e-5F, out);
            memcpy(gate, x, sizeof gate);
            k->silu_times(gate, w, n);
            double root = sqrt(squares / n + 1e-5);
            for (int32_t i = 0; i < n; i++) {
                double a = (double)x[i], b = (double)w[i];
                assert_true(fabs((double)out[i] - a / root * b) < 1e-5);
                assert_true(fabs((double)gate[i] - a / (1 + exp(-a)) * b) < 1e-6);
            }
            memcpy(gate, x, sizeof gate);
            k->scale(x, n, 0.5F);
            for (int32_t i = 0; i < MOST; i++)
                assert_true(x[i] == (i < n ? gate[i] / 2 : gate[i]));
        }
    }
}

static void test_rotation_turns_neighbouring_pairs(void **state) {
    (void)state;
    float x[8] = {1, 0, 0, 1, 3, 4, -2, 0};
    const float cosines[2] = {0, 0.6F}, sines[2] = {1, 0.8F};
    kernels_chosen()->rotate(x, 2, 4, cosines, sines, 2);
    const float expected[8] = {0, 2, -1.6F, 1.2F, -8, 6, -2.4F, -3.2F};
    for (int i = 0; i < 8; i++)
        assert_true(fabsf(x[i] - expected[i]) < 1e-6F);
}

/* Rows of the text model are the same bits in every set. */
static void test_kernels_of_all_sets_give_the_same_bits(void **state) {
    (void)state;
    enum { MOST = 1100 };
    static float x[MOST], w[MOST], out[QUANT_ISAS][6][MOST];
    static const int32_t sizes[] = {1, 2, 15, 16, 17, 31, 64, 255, 576, 960, 1024, 1099};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct random_source r = {i + 1};
        int32_t n = sizes[i];
        size_t bytes = (size_t)n * sizeof(float);
        random_floats(&r, x, MOST);
        random_floats(&r, w, MOST);
        for (int32_t k = 0; k < n; k++)
            x[k] *= k % 3 == 0 ? 40.0F : k % 3 == 1 ? 3.0F : 0.01F;
        for (int isa = 0; isa < QUANT_ISAS; isa++) {
            if (!quant_isa_available((enum quant_isa)isa))
                continue;
            const struct kernels *k = kernels_of((enum quant_isa)isa);
            float(*o)[MOST] = out[isa];
            for (int j = 0; j < 6; j++)
                memcpy(o[j], x, bytes);
            k->rms_norm(x, w, n, 1e-5F, o[0]);
            k->silu_times(o[1], w, n);
            o[2][0] = k->exponentials(o[2], n, k->highest(o[2], n));
            k->rotate(o[3], 1, n / 2 * 2, w, w + MOST / 2, 0.125F);
            attend_kernels_of((enum quant_isa)isa)->soften(o[4], 1, n, &o[5][0], &o[5][1]);
            for (int j = 0; j < 6; j++)
                assert_memory_equal(o[j], out[0][j], bytes);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_rows_equal_the_definition_at_every_edge),
        cmocka_unit_test(test_prompts_equal_the_definition),
        cmocka_unit_test(test_sequences_of_one_step_do_not_mix),
        cmocka_unit_test(test_any_shape_of_heads_works),
        cmocka_unit_test(test_large_scores_do_not_overflow),
        cmocka_unit_test(test_what_is_stored_is_near_what_was_given),
        cmocka_unit_test(test_values_too_large_for_q8_0_are_its_largest),
        cmocka_unit_test(test_names_of_types_are_understood),
        cmocka_unit_test(test_exponentials_are_within_two_units_of_libm),
        cmocka_unit_test(test_small_kernels_equal_their_definitions),
        cmocka_unit_test(test_rotation_turns_neighbouring_pairs),
        cmocka_unit_test(test_kernels_of_all_sets_give_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
