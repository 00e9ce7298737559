/* attention_test.c - attention over pages against its definition in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "worker/engine/attention.h"
#include "worker/engine/blas.h"
#include "worker/engine/kernels.h"

#define MAX_ROWS 600
/* Values are in -1..1, so are their means. Scores are of the size of `sharpness` times eight, and
 * their rounding becomes a relative error of their exponentials. */
#define TOLERANCE(sharpness) (1e-5 + 1e-5 * (double)(sharpness))

struct bed {
    struct pages_shape shape;
    int32_t group;
    struct team *team;
    struct pages *pages;
    struct attention *attention;
    struct random_source random;
};

static void open_bed(struct bed *b, int32_t heads_kv, int32_t group, int32_t head_dim,
                     int threads) {
    *b = (struct bed){.shape = {2, heads_kv, head_dim}, .group = group, .random = {11}};
    assert_int_equal(blas_open(NULL), 0);
    assert_int_equal(team_open(&b->team, threads, NULL), 0);
    assert_int_equal(pages_open(&b->pages, b->shape, 400 * pages_bytes_per_page(b->shape), NULL),
                     0);
    assert_int_equal(
        attention_open(&b->attention, b->pages, b->team, heads_kv * group, MAX_ROWS, NULL), 0);
}

static void close_bed(struct bed *b) {
    attention_close(b->attention);
    pages_close(b->pages);
    team_close(b->team);
}

/* Pages for n positions, in no order, full of random halves; beyond n they hold NaN, which must
 * never be looked at. */
static page_id *fill_pages(struct bed *b, uint32_t n) {
    uint32_t count = (n + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
    page_id *ids = calloc(count, sizeof *ids);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = pages_take(b->pages);
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = random_bits(&b->random) % i;
        page_id t = ids[i - 1];
        ids[i - 1] = ids[j];
        ids[j] = t;
    }
    int32_t hd = b->shape.head_dim;
    for (uint32_t p = 0; p < count * PAGE_POSITIONS; p++)
        for (int32_t h = 0; h < b->shape.n_head_kv; h++)
            for (int32_t d = 0; d < hd; d++) {
                size_t at = (size_t)(p % PAGE_POSITIONS) * (size_t)hd + (size_t)d;
                page_id id = ids[p / PAGE_POSITIONS];
                uint16_t nan = 0x7e00;
                pages_keys(b->pages, id, 1, h)[at] =
                    p < n ? quant_float_to_half(random_float(&b->random)) : nan;
                pages_values(b->pages, id, 1, h)[at] =
                    p < n ? quant_float_to_half(random_float(&b->random)) : nan;
            }
    return ids;
}

static void release_pages(struct bed *b, page_id *ids, uint32_t n) {
    for (uint32_t i = 0; i < (n + PAGE_POSITIONS - 1) / PAGE_POSITIONS; i++)
        pages_release(b->pages, ids[i]);
    free(ids);
}

static double half_at(const uint16_t *page, uint32_t position, int32_t hd, int32_t d) {
    return (double)quant_half_to_float(
        page[(position % PAGE_POSITIONS) * (uint32_t)hd + (uint32_t)d]);
}

/* One query head of one row, from the formula. */
static void reference(struct bed *b, const page_id *ids, uint32_t seen, int32_t head_kv,
                      const float *q, double *out) {
    int32_t hd = b->shape.head_dim;
    double *weights = calloc(seen, sizeof *weights);
    double top = -INFINITY, total = 0;
    for (uint32_t p = 0; p < seen; p++) {
        const uint16_t *keys = pages_keys(b->pages, ids[p / PAGE_POSITIONS], 1, head_kv);
        for (int32_t d = 0; d < hd; d++)
            weights[p] += (double)q[d] * half_at(keys, p, hd, d);
        top = weights[p] > top ? weights[p] : top;
    }
    memset(out, 0, (size_t)hd * sizeof *out);
    for (uint32_t p = 0; p < seen; p++)
        total += weights[p] = exp(weights[p] - top);
    for (uint32_t p = 0; p < seen; p++) {
        const uint16_t *values = pages_values(b->pages, ids[p / PAGE_POSITIONS], 1, head_kv);
        for (int32_t d = 0; d < hd; d++)
            out[d] += weights[p] / total * half_at(values, p, hd, d);
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
        ids[i] = fill_pages(b, spans[i][0] + spans[i][1]);
        s[i] = (struct attention_span){ids[i], rows, (int32_t)spans[i][1], spans[i][0]};
        rows += s[i].rows;
    }
    size_t floats = (size_t)rows * (size_t)(b->shape.n_head_kv * b->group * b->shape.head_dim);
    float *q = malloc(floats * sizeof *q), *out = malloc(floats * sizeof *out);
    random_floats(&b->random, q, floats);
    for (size_t i = 0; i < floats; i++)
        q[i] *= sharpness;
    attention_plan(b->attention, s, n);
    attention_run(b->attention, 1, q, out);
    for (int32_t i = 0; i < n; i++) {
        check_span(b, &s[i], q, out, TOLERANCE(sharpness));
        release_pages(b, ids[i], spans[i][0] + spans[i][1]);
    }
    free(q);
    free(out);
}

static void test_single_rows_equal_the_definition_at_every_edge(void **state) {
    (void)state;
    static const uint32_t positions[] = {0, 1, 14, 15, 16, 17, 254, 255, 256, 257, 511, 512, 700};
    struct bed b;
    open_bed(&b, 2, 3, 64, 2);
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++)
        check_spans(&b, (const uint32_t[][2]){{positions[i], 1}}, 1, 1);
    close_bed(&b);
}

static void test_prompts_equal_the_definition(void **state) {
    (void)state;
    static const uint32_t spans[][2] = {{0, 5},    {0, 64},  {0, 65},   {0, 200},
                                        {3, 70},   {16, 16}, {250, 20}, {255, 130},
                                        {256, 90}, {300, 2}, {500, 4}};
    struct bed b;
    open_bed(&b, 2, 3, 32, 2);
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++)
        check_spans(&b, &spans[i], 1, 2);
    close_bed(&b);
}

static void test_sequences_of_one_step_do_not_mix(void **state) {
    (void)state;
    static const uint32_t spans[][2] = {{40, 1}, {0, 1}, {300, 1}, {10, 90}, {31, 3}, {0, 40}};
    for (int threads = 1; threads <= 4; threads++) {
        struct bed b;
        open_bed(&b, 3, 2, 48, threads);
        check_spans(&b, spans, 6, 1);
        close_bed(&b);
    }
}

static void test_any_shape_of_heads_works(void **state) {
    (void)state;
    static const int32_t shapes[][3] = {{1, 1, 64}, {4, 1, 80}, {1, 8, 128},
                                        {2, 5, 20}, {1, 3, 2},  {1, 16, 34}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct bed b;
        open_bed(&b, shapes[i][0], shapes[i][1], shapes[i][2], 2);
        check_spans(&b, (const uint32_t[][2]){{33, 1}, {290, 1}, {0, 37}}, 3, 1);
        close_bed(&b);
    }
}

/* Scores of hundreds would overflow exp if the maximum were not taken off first. */
static void test_large_scores_do_not_overflow(void **state) {
    (void)state;
    struct bed b;
    open_bed(&b, 1, 2, 64, 1);
    check_spans(&b, (const uint32_t[][2]){{600, 1}, {250, 40}}, 2, 60);
    close_bed(&b);
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
            uint16_t halves[MOST + 1];
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
            halves[n] = 0x1234;
            k->to_halves(x, n, halves);
            assert_int_equal(halves[n], 0x1234);
            double root = sqrt(squares / n + 1e-5);
            for (int32_t i = 0; i < n; i++) {
                double a = (double)x[i], b = (double)w[i];
                assert_true(fabs((double)out[i] - a / root * b) < 1e-5);
                assert_true(fabs((double)gate[i] - a / (1 + exp(-a)) * b) < 1e-6);
                assert_int_equal(halves[i], quant_float_to_half(x[i]));
            }
            k->from_halves(halves, n, out);
            memcpy(gate, x, sizeof gate);
            k->scale(x, n, 0.5F);
            for (int32_t i = 0; i < MOST; i++) {
                assert_true(i >= n || out[i] == quant_half_to_float(halves[i]));
                assert_true(x[i] == (i < n ? gate[i] / 2 : gate[i]));
            }
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_rows_equal_the_definition_at_every_edge),
        cmocka_unit_test(test_prompts_equal_the_definition),
        cmocka_unit_test(test_sequences_of_one_step_do_not_mix),
        cmocka_unit_test(test_any_shape_of_heads_works),
        cmocka_unit_test(test_large_scores_do_not_overflow),
        cmocka_unit_test(test_exponentials_are_within_two_units_of_libm),
        cmocka_unit_test(test_small_kernels_equal_their_definitions),
        cmocka_unit_test(test_rotation_turns_neighbouring_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
