/* matmul_test.c - products of every type, by every kernel, against their definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "worker/engine/blas.h"
#include "worker/engine/kernels.h"
#include "worker/engine/matmul.h"
#include "worker/engine/matmul_job.h"

/* How far a float sum may be from the exact one, in parts of the sum of the terms' sizes. */
#define TOLERANCE 3e-6

static float *make_floats(struct random_source *r, size_t n) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    random_floats(r, x, n);
    return x;
}

/* Activations are random signs and sizes, so the terms of a sum are about as large as |x| |w|. */
static void assert_close(const struct weight *w, const float *x, int32_t rows, const float *y,
                         const float *expected) {
    float *row = malloc((size_t)w->n_in * sizeof *row);
    for (int32_t o = 0; o < w->n_out; o++) {
        quant_expand_row_reference(w->type, (const uint8_t *)w->data + (size_t)o * w->row_bytes,
                                   row, (size_t)w->n_in);
        for (int32_t r = 0; r < rows; r++) {
            double size = 1;
            for (int32_t i = 0; i < w->n_in; i++)
                size += fabs((double)row[i] * (double)x[r * w->n_in + i]);
            size_t at = (size_t)r * (size_t)w->n_out + (size_t)o;
            double off = fabs((double)y[at] - (double)expected[at]);
            if (!(off <= TOLERANCE * size))
                fail_msg("%s %dx%d row %d output %d: %g, not %g", quant_traits(w->type)->name,
                         w->n_out, w->n_in, r, o, (double)y[at], (double)expected[at]);
        }
    }
    free(row);
}

static void check_product(struct team *team, enum quant_type type, int32_t n_out, int32_t n_in,
                          int32_t rows, bool with_bias) {
    struct random_source r = {(uint64_t)((int)type * 1000003 + n_out * 1009 + n_in * 17 + rows)};
    struct weight w = random_weight(&r, type, n_out, n_in);
    float *x = make_floats(&r, (size_t)rows * (size_t)n_in);
    float *bias = make_floats(&r, (size_t)n_out);
    size_t n = (size_t)rows * (size_t)n_out;
    float *y = calloc(n + 1, sizeof *y), *expected = calloc(n, sizeof *expected);
    y[n] = 12345.0F; /* must stay */
    struct matmul_scratch *s;
    assert_int_equal(matmul_scratch_open(&s, team, n_in, NULL), 0);
    matmul(team, s, &w, with_bias ? bias : NULL, x, rows, y);
    matmul_reference(&w, with_bias ? bias : NULL, x, rows, expected);
    assert_close(&w, x, rows, y, expected);
    assert_true(y[n] == 12345.0F);
    matmul_scratch_close(s);
    free((void *)w.data);
    free(x);
    free(bias);
    free(y);
    free(expected);
}

static void test_every_type_and_count_of_rows_equals_the_definition(void **state) {
    (void)state;
    struct team *team;
    assert_int_equal(team_open(&team, 2, NULL), 0);
    for (int i = 0; i < random_weight_type_count; i++)
        for (int32_t rows = 1; rows <= 17; rows++)
            check_product(team, random_weight_types[i], 37, 256 * (1 + rows % 2), rows, rows & 1);
    team_close(team);
}

static void test_odd_shapes_equal_the_definition(void **state) {
    (void)state;
    static const int32_t shapes[][3] = {/* n_out, n_in, rows */
                                        {1, 32, 1},    {3, 96, 2},   {33, 160, 3},  {64, 576, 5},
                                        {257, 192, 1}, {31, 64, 13}, {515, 96, 29}, {129, 960, 71}};
    struct team *team;
    assert_int_equal(team_open(&team, 3, NULL), 0);
    static const enum quant_type types[] = {QUANT_F32,  QUANT_F16,  QUANT_BF16,
                                            QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0,
                                            QUANT_Q5_1, QUANT_Q8_0, QUANT_IQ4_NL};
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            check_product(team, types[t], shapes[i][0], shapes[i][1], shapes[i][2], false);
    team_close(team);
}

static void test_rows_of_any_length_equal_the_definition_for_plain_types(void **state) {
    (void)state;
    struct team *team;
    assert_int_equal(team_open(&team, 1, NULL), 0);
    for (int32_t n_in = 1; n_in <= 67; n_in++)
        for (int32_t rows = 1; rows <= 66; rows += 65) {
            check_product(team, QUANT_F32, 5, n_in, rows, true);
            check_product(team, QUANT_F16, 6, n_in, rows, true);
            check_product(team, QUANT_BF16, 7, n_in, rows, true);
        }
    team_close(team);
}

static void test_long_rows_shrink_the_panel(void **state) {
    (void)state;
    struct team *team;
    assert_int_equal(team_open(&team, 4, NULL), 0);
    check_product(team, QUANT_Q8_0, 20, 131104, 65, false); /* 16 rows pass 8 MiB, a fourth of all */
    team_close(team);
}

/* y of one product by a team of n. */
static float *product_of_team(const struct weight *w, const float *x, int32_t rows, int n) {
    struct team *team;
    struct matmul_scratch *s;
    float *y = calloc((size_t)rows * (size_t)w->n_out, sizeof *y);
    assert_int_equal(team_open(&team, n, NULL), 0);
    assert_int_equal(matmul_scratch_open(&s, team, w->n_in, NULL), 0);
    matmul(team, s, w, NULL, x, rows, y);
    matmul_scratch_close(s);
    team_close(team);
    return y;
}

static void test_every_size_of_team_gives_the_same_bits_for_few_rows(void **state) {
    (void)state;
    for (int32_t rows = 1; rows <= 10; rows += 3) {
        struct random_source r = {77};
        struct weight w = random_weight(&r, QUANT_Q8_0, 611, 320);
        float *x = make_floats(&r, (size_t)rows * 320);
        float *one = product_of_team(&w, x, rows, 1);
        for (int n = 2; n <= 4; n++) {
            float *y = product_of_team(&w, x, rows, n);
            assert_memory_equal(y, one, (size_t)rows * 611 * sizeof *y);
            free(y);
        }
        free(one);
        free(x);
        free((void *)w.data);
    }
}

static void test_every_size_of_team_equals_the_definition_for_many_rows(void **state) {
    (void)state;
    for (int n = 1; n <= 5; n++) {
        struct team *team;
        assert_int_equal(team_open(&team, n, NULL), 0);
        check_product(team, QUANT_Q4_K, 611, 256, KERNEL_FEW_ROWS_MAX + 1, true);
        check_product(team, QUANT_Q5_0, 97, 96, KERNEL_FEW_ROWS_MAX, true);
        check_product(team, QUANT_F32, 15, 64, 90, false); /* fewer panels than members */
        team_close(team);
    }
}

/* ---- kernels of each instruction set this CPU has ---- */

static void check_fused(const struct kernels *k, enum quant_type type, int32_t n_out, int32_t n_in,
                        int32_t rows) {
    struct random_source r = {(uint64_t)((int)type * 31 + rows)};
    struct weight w = random_weight(&r, type, n_out, n_in);
    float *x = make_floats(&r, (size_t)rows * (size_t)n_in);
    float *expanded = calloc((size_t)n_out * (size_t)n_in, sizeof *expanded);
    float *y = calloc((size_t)rows * (size_t)n_out, sizeof *y);
    float *plain = calloc((size_t)rows * (size_t)n_out, sizeof *plain);
    for (int32_t o = 0; o < n_out; o++)
        quant_expand_row_reference(type, (const uint8_t *)w.data + (size_t)o * w.row_bytes,
                                   expanded + (size_t)o * (size_t)n_in, (size_t)n_in);
    k->dot[type](w.data, w.row_bytes, n_out, x, rows, n_in, y, n_out);
    for (int32_t row = 0; row < rows; row++) /* one row at a time: batches change nothing */
        k->dot[QUANT_F32]((const uint8_t *)expanded, (size_t)n_in * sizeof *expanded, n_out,
                          x + (size_t)row * (size_t)n_in, 1, n_in,
                          plain + (size_t)row * (size_t)n_out, n_out);
    assert_memory_equal(y, plain, (size_t)rows * (size_t)n_out * sizeof *y);
    free((void *)w.data);
    free(x);
    free(expanded);
    free(y);
    free(plain);
}

static void test_fused_kernels_equal_expanded_rows_bit_for_bit(void **state) {
    (void)state;
    int fused = 0;
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        const struct kernels *k = kernels_of((enum quant_isa)isa);
        for (int i = 0; i < random_weight_type_count; i++)
            for (int32_t rows = 1; k->dot[random_weight_types[i]] != NULL && rows <= 9; rows++) {
                check_fused(k, random_weight_types[i], 11, 512, rows);
                fused++;
            }
    }
    assert_true(fused >= 9 * 9);
}

static void test_avx2_and_avx512_agree_to_the_bit(void **state) {
    (void)state;
    if (!quant_isa_available(QUANT_ISA_AVX512))
        skip();
    struct random_source r = {5};
    struct weight w = random_weight(&r, QUANT_Q5_1, 9, 288);
    float *x = make_floats(&r, 3 * 288);
    float a[27], b[27];
    kernels_of(QUANT_ISA_AVX2)->dot[QUANT_Q5_1](w.data, w.row_bytes, 9, x, 3, 288, a, 9);
    kernels_of(QUANT_ISA_AVX512)->dot[QUANT_Q5_1](w.data, w.row_bytes, 9, x, 3, 288, b, 9);
    assert_memory_equal(a, b, sizeof a);
    free((void *)w.data);
    free(x);
}

/* ---- several products in one round ---- */

struct finished {
    float *y;
    int32_t rows, n_out;
};

static void negate(void *arg, int32_t first, int32_t count) {
    struct finished *f = arg;
    for (int32_t r = 0; r < f->rows; r++)
        for (int32_t o = first; o < first + count; o++)
            f->y[r * f->n_out + o] = -f->y[r * f->n_out + o];
}

static void check_jobs(int32_t rows) {
    enum { IN = 96, WIDE = 130, NARROW = 40 };
    struct random_source r = {(uint64_t)rows};
    struct weight wide = random_weight(&r, QUANT_Q4_0, WIDE, IN);
    struct weight with = random_weight(&r, QUANT_F16, WIDE, IN);
    struct weight narrow = random_weight(&r, QUANT_Q8_0, NARROW, IN);
    float *x = make_floats(&r, (size_t)(rows * IN)), *bias = make_floats(&r, NARROW);
    float *y = make_floats(&r, (size_t)(rows * (2 * WIDE + NARROW)));
    float *expected = calloc((size_t)(rows * (2 * WIDE + NARROW)), sizeof *expected);
    float *before = calloc((size_t)(rows * NARROW), sizeof *before);
    memcpy(before, y + rows * 2 * WIDE, (size_t)(rows * NARROW) * sizeof *before);

    struct team *team;
    struct matmul_scratch *s;
    assert_int_equal(team_open(&team, 2, NULL), 0);
    assert_int_equal(matmul_scratch_open(&s, team, IN, NULL), 0);
    struct finished f = {y, rows, WIDE};
    struct matmul_job first = {.w = &with, .x = x, .y = y + rows * WIDE};
    struct matmul_job jobs[] = {
        {.w = &wide, .x = x, .y = y, .with = &first, .finish = negate, .arg = &f},
        {.w = &narrow, .x = x, .bias = bias, .y = y + rows * 2 * WIDE, .add = true},
    };
    matmul_jobs(team, s, jobs, 2, rows);

    matmul_reference(&wide, NULL, x, rows, expected);
    negate(&(struct finished){expected, rows, WIDE}, 0, WIDE);
    assert_close(&wide, x, rows, y, expected);
    matmul_reference(&with, NULL, x, rows, expected);
    assert_close(&with, x, rows, y + rows * WIDE, expected);
    matmul_reference(&narrow, bias, x, rows, expected);
    for (int32_t i = 0; i < rows * NARROW; i++)
        expected[i] += before[i];
    assert_close(&narrow, x, rows, y + rows * 2 * WIDE, expected);

    matmul_scratch_close(s);
    team_close(team);
    free((void *)wide.data);
    free((void *)with.data);
    free((void *)narrow.data);
    free(x);
    free(bias);
    free(y);
    free(expected);
    free(before);
}

static void test_several_products_share_a_round(void **state) {
    (void)state;
    check_jobs(1);
    check_jobs(7);
    check_jobs(50);
    check_jobs(80);
}

static void test_blas_runs_kernels_of_this_cpu(void **state) {
    (void)state;
    assert_int_equal(blas_open(NULL), 0);
    assert_int_equal(blas_open(NULL), 0); /* again is fine */
    if (getenv("OPENBLAS_CORETYPE") != NULL)
        skip();
    if (quant_isa_chosen() == QUANT_ISA_AVX512)
        assert_string_equal(blas_core(), "SkylakeX");
    if (quant_isa_chosen() == QUANT_ISA_AVX2)
        assert_string_equal(blas_core(), "Haswell");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_and_count_of_rows_equals_the_definition),
        cmocka_unit_test(test_odd_shapes_equal_the_definition),
        cmocka_unit_test(test_rows_of_any_length_equal_the_definition_for_plain_types),
        cmocka_unit_test(test_long_rows_shrink_the_panel),
        cmocka_unit_test(test_every_size_of_team_gives_the_same_bits_for_few_rows),
        cmocka_unit_test(test_every_size_of_team_equals_the_definition_for_many_rows),
        cmocka_unit_test(test_fused_kernels_equal_expanded_rows_bit_for_bit),
        cmocka_unit_test(test_avx2_and_avx512_agree_to_the_bit),
        cmocka_unit_test(test_several_products_share_a_round),
        cmocka_unit_test(test_blas_runs_kernels_of_this_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
