/* matmul_test.c - products of every type against their definition, and against themselves in
 * pieces. */
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
#include "worker/engine/matmul.h"
#include "worker/engine/matmul_job.h"
#include "worker/engine/pack_plan.h"

/* How far a float sum may be from the exact one, in parts of the sum of the terms' sizes. */
#define TOLERANCE 3e-6
/* How far an activation of integer formats may be from what was given, in parts of the largest of
 * its block: half a step of 127, and what the rounding of the scale adds. */
#define ACTIVATION_STEP (0.501 / 127)

static float *make_floats(struct random_source *r, size_t n) {
    float *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    random_floats(r, x, n);
    return x;
}

/* A random matrix with its tiles; the tiles end exactly with the last one. */
static struct weight make_weight(struct random_source *r, enum quant_type type, int32_t n_out,
                                 int32_t n_in) {
    struct weight w = random_weight(r, type, n_out, n_in);
    uint8_t *tiles = aligned_alloc(TILE_ALIGN, pack_weight_bytes(&w));
    assert_non_null(tiles);
    pack_weight(&w, tiles);
    w.tiles = tiles;
    return w;
}

static void free_weight(struct weight *w) {
    free((void *)(uintptr_t)w->data);
    free((void *)(uintptr_t)w->tiles);
}

static const float *expand(const struct weight *w, int32_t o, float *row) {
    quant_expand_row_reference(w->type, (const uint8_t *)w->data + (size_t)o * w->row_bytes, row,
                               (size_t)w->n_in);
    return row;
}

/* Of each activation: the largest |x| of the block that it is in. The caller frees it. */
static float *largest_beside(const float *x, int32_t rows, int32_t n_in) {
    float *largest = calloc((size_t)rows * (size_t)n_in, sizeof *largest);
    assert_non_null(largest);
    for (size_t r = 0; r < (size_t)rows * (size_t)n_in; r += (size_t)n_in)
        for (int32_t from = 0; from < n_in; from += ROWS_BLOCK) {
            int32_t to = from + ROWS_BLOCK < n_in ? from + ROWS_BLOCK : n_in;
            float most = 0;
            for (int32_t i = from; i < to; i++)
                most = fmaxf(most, fabsf(x[r + (size_t)i]));
            for (int32_t i = from; i < to; i++)
                largest[r + (size_t)i] = most;
        }
    return largest;
}

/* y is W x, and bias where it is given, as closely as its arithmetic allows. */
static void assert_product(const struct weight *w, const float *bias, const float *x, int32_t rows,
                           const float *y) {
    float *row = malloc((size_t)w->n_in * sizeof *row);
    float *largest = largest_beside(x, rows, w->n_in);
    bool integer = tile_format_of(w->type)->integer;
    for (int32_t o = 0; o < w->n_out; o++) {
        expand(w, o, row);
        for (int32_t r = 0; r < rows; r++) {
            const float *a = x + (size_t)r * (size_t)w->n_in;
            const float *most = largest + (size_t)r * (size_t)w->n_in;
            double sum = bias != NULL ? (double)bias[o] : 0, size = 1, steps = 0;
            for (int32_t i = 0; i < w->n_in; i++) {
                sum += (double)row[i] * (double)a[i];
                size += fabs((double)row[i] * (double)a[i]);
                if (integer)
                    steps += fabs((double)row[i]) * (double)most[i];
            }
            double got = (double)y[(size_t)r * (size_t)w->n_out + (size_t)o];
            double allowed = TOLERANCE * (size + steps) + ACTIVATION_STEP * steps;
            if (!(fabs(got - sum) <= allowed))
                fail_msg("%s %dx%d row %d output %d: %g, not %g", quant_traits(w->type)->name,
                         w->n_out, w->n_in, r, o, got, sum);
        }
    }
    free(row);
    free(largest);
}

static void multiply(struct team *team, const struct weight *w, const float *bias, const float *x,
                     int32_t rows, float *y) {
    struct matmul_scratch *s;
    assert_int_equal(matmul_scratch_open(&s, team, w->n_in, rows, NULL), 0);
    matmul(team, s, w, bias, x, rows, y);
    matmul_scratch_close(s);
}

static void check_product(struct team *team, enum quant_type type, int32_t n_out, int32_t n_in,
                          int32_t rows, bool with_bias) {
    struct random_source r = {(uint64_t)((int)type * 1000003 + n_out * 1009 + n_in * 17 + rows)};
    struct weight w = make_weight(&r, type, n_out, n_in);
    float *x = make_floats(&r, (size_t)rows * (size_t)n_in);
    float *bias = make_floats(&r, (size_t)n_out);
    size_t n = (size_t)rows * (size_t)n_out;
    float *y = calloc(n + 1, sizeof *y);
    y[n] = 12345.0F; /* must stay */
    multiply(team, &w, with_bias ? bias : NULL, x, rows, y);
    assert_product(&w, with_bias ? bias : NULL, x, rows, y);
    assert_true(y[n] == 12345.0F);
    free_weight(&w);
    free(x);
    free(bias);
    free(y);
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

static void test_long_inputs_make_small_blocks_of_rows(void **state) {
    (void)state;
    struct team *team;
    assert_int_equal(team_open(&team, 4, NULL), 0);
    check_product(team, QUANT_Q8_0, 20, 32800, 101, false);
    check_product(team, QUANT_F16, 70, 8200, 101, true);
    team_close(team);
}

/* ---- the same bits, whatever is beside them and whoever computes them ---- */

static void assert_same_bits(const struct weight *w, const float *x, int32_t rows, const float *y,
                             const int32_t *cuts, int n_cuts, struct team *team) {
    float *again = calloc((size_t)rows * (size_t)w->n_out, sizeof *again);
    int32_t from = 0;
    for (int i = 0; from < rows; i = (i + 1) % n_cuts) {
        int32_t n = cuts[i] < rows - from ? cuts[i] : rows - from;
        multiply(team, w, NULL, x + (size_t)from * (size_t)w->n_in, n,
                 again + (size_t)from * (size_t)w->n_out);
        from += n;
    }
    for (size_t i = 0; i < (size_t)rows * (size_t)w->n_out; i++)
        if (memcmp(&again[i], &y[i], sizeof *y) != 0)
            fail_msg("%s: row %zu output %zu is %a, and %a in pieces of %d...",
                     quant_traits(w->type)->name, i / (size_t)w->n_out, i % (size_t)w->n_out,
                     (double)y[i], (double)again[i], cuts[0]);
    free(again);
}

static void check_splits(enum quant_type type, int32_t n_out, int32_t n_in, int32_t rows) {
    struct random_source r = {(uint64_t)((int)type * 7919 + rows)};
    struct weight w = make_weight(&r, type, n_out, n_in);
    float *x = make_floats(&r, (size_t)rows * (size_t)n_in);
    float *y = calloc((size_t)rows * (size_t)n_out, sizeof *y);
    struct team *team;
    assert_int_equal(team_open(&team, 1, NULL), 0);
    multiply(team, &w, NULL, x, rows, y);
    team_close(team);
    for (int members = 1; members <= 4; members++) {
        assert_int_equal(team_open(&team, members, NULL), 0);
        for (int32_t each = 1; each <= rows; each += each < 14 ? 1 : 37)
            assert_same_bits(&w, x, rows, y, &each, 1, team);
        for (int i = 0; i < 3; i++) {
            int32_t cuts[4];
            for (int k = 0; k < 4; k++)
                cuts[k] = 1 + (int32_t)(random_bits(&r) % (uint32_t)rows);
            assert_same_bits(&w, x, rows, y, cuts, 4, team);
        }
        team_close(team);
    }
    free_weight(&w);
    free(x);
    free(y);
}

static void test_every_split_of_rows_and_every_team_gives_the_same_bits(void **state) {
    (void)state;
    for (int i = 0; i < random_weight_type_count; i++) {
        check_splits(random_weight_types[i], 75, 256, 21);
        check_splits(random_weight_types[i], 43, 256, 130);
    }
}

static void test_blocks_of_rows_give_the_same_bits(void **state) {
    (void)state;
    check_splits(QUANT_Q8_0, 35, 3072, 301);
    check_splits(QUANT_F16, 35, 1536, 151);
}

/* ---- several products in one round ---- */

struct finished {
    float *y;
    int32_t n_out;
};

static void negate(void *arg, const struct matmul_part *p) {
    struct finished *f = arg;
    for (int32_t r = p->first_row; r < p->first_row + p->rows; r++)
        for (int32_t o = p->first; o < p->first + p->count; o++)
            f->y[r * f->n_out + o] = -f->y[r * f->n_out + o];
}

static void check_jobs(int32_t rows, int members) {
    enum { IN = 96, WIDE = 330, NARROW = 40 };
    struct random_source r = {(uint64_t)rows};
    struct weight wide = make_weight(&r, QUANT_Q4_0, WIDE, IN);
    struct weight with = make_weight(&r, QUANT_F16, WIDE, IN);
    struct weight narrow = make_weight(&r, QUANT_Q8_0, NARROW, IN);
    size_t n_wide = (size_t)rows * WIDE, n_narrow = (size_t)rows * NARROW;
    float *x = make_floats(&r, (size_t)(rows * IN)), *bias = make_floats(&r, NARROW);
    float *y = make_floats(&r, 2 * n_wide + n_narrow);
    float *expected = calloc(2 * n_wide + n_narrow, sizeof *expected);
    float *before = malloc(n_narrow * sizeof *before);
    memcpy(before, y + 2 * n_wide, n_narrow * sizeof *before);

    struct team *team;
    struct matmul_scratch *s;
    assert_int_equal(team_open(&team, members, NULL), 0);
    assert_int_equal(matmul_scratch_open(&s, team, IN, rows, NULL), 0);
    struct finished f = {y, WIDE};
    struct matmul_job first = {.w = &with, .y = y + n_wide};
    struct matmul_job jobs[] = {
        {.w = &wide, .y = y, .with = &first, .finish = negate, .arg = &f},
        {.w = &narrow, .bias = bias, .y = y + 2 * n_wide, .add = true},
    };
    matmul_jobs(team, s, jobs, 2, x, rows);

    matmul(team, s, &wide, NULL, x, rows, expected);
    matmul(team, s, &with, NULL, x, rows, expected + n_wide);
    matmul(team, s, &narrow, NULL, x, rows, expected + 2 * n_wide);
    for (size_t i = 0; i < n_wide; i++)
        expected[i] = -expected[i];
    for (size_t i = 0; i < n_narrow; i++) {
        float sum = before[i] + expected[2 * n_wide + i];
        expected[2 * n_wide + i] = sum + bias[i % NARROW];
    }
    assert_memory_equal(y, expected, (2 * n_wide + n_narrow) * sizeof *y);

    matmul_scratch_close(s);
    team_close(team);
    free_weight(&wide);
    free_weight(&with);
    free_weight(&narrow);
    free(x);
    free(bias);
    free(y);
    free(expected);
    free(before);
}

static void test_several_products_share_a_round(void **state) {
    (void)state;
    for (int members = 1; members <= 4; members++) {
        check_jobs(1, members);
        check_jobs(7, members);
        check_jobs(50, members);
        check_jobs(280, members);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_and_count_of_rows_equals_the_definition),
        cmocka_unit_test(test_odd_shapes_equal_the_definition),
        cmocka_unit_test(test_rows_of_any_length_equal_the_definition_for_plain_types),
        cmocka_unit_test(test_long_inputs_make_small_blocks_of_rows),
        cmocka_unit_test(test_every_split_of_rows_and_every_team_gives_the_same_bits),
        cmocka_unit_test(test_blocks_of_rows_give_the_same_bits),
        cmocka_unit_test(test_several_products_share_a_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
