/* tile_float_test.c - products of float tiles and the micro-kernel: every set gives the bits of the
 * portable one, and that one is as near to the exact sum as a chain of roundings can be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "worker/engine/gemm.h"
#include "worker/engine/tile_float.h"

static const enum quant_type float_types[] = {QUANT_F32, QUANT_F16, QUANT_BF16};
#define FLOAT_TYPES 3
#define UNTOUCHED 12345.0F
/* A rounding is at most half of this, in parts of the sum so far. */
#define EPSILON 0x1p-23

static float *new_floats(struct random_source *r, size_t n) {
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    random_floats(r, x, n);
    return x;
}

static void *new_aligned(size_t bytes) {
    void *p = aligned_alloc(TILE_ALIGN, (bytes + TILE_ALIGN - 1) / TILE_ALIGN * TILE_ALIGN);
    assert_non_null(p);
    return p;
}

static uint32_t below(struct random_source *r, uint32_t n) {
    return random_bits(r) % n;
}

/* ---- tiles ---- */

/* A weight of n_out outputs in tiles, and rows of activations. */
struct product {
    struct weight w;
    uint8_t *tiles;
    size_t tile_bytes;
    int32_t n_tiles;
    struct rows rows;
    float *x, *scratch;
};

static void product_open(struct product *p, struct random_source *r, enum quant_type type,
                         int32_t n_out, int32_t n_in, int32_t n_rows) {
    const struct tile_format *f = tile_float_format(type);
    assert_non_null(f);
    assert_false(f->integer);
    p->w = random_weight(r, type, n_out, n_in);
    p->tile_bytes = f->bytes(n_in);
    assert_int_equal(p->tile_bytes % TILE_ALIGN, 0);
    p->n_tiles = (n_out + TILE_OUTPUTS - 1) / TILE_OUTPUTS;
    p->tiles = new_aligned((size_t)p->n_tiles * p->tile_bytes);
    for (int32_t i = 0; i < p->n_tiles; i++)
        f->pack(&p->w, i * TILE_OUTPUTS, p->tiles + (size_t)i * p->tile_bytes);
    p->x = new_floats(r, (size_t)n_rows * (size_t)n_in);
    p->rows = (struct rows){.n_rows = n_rows, .n_in = n_in, .x = p->x};
    p->scratch = new_aligned(tile_float_scratch_floats(n_in) * sizeof(float));
}

static void product_close(struct product *p) {
    free((void *)p->w.data);
    free(p->tiles);
    free(p->x);
    free(p->scratch);
}

/* Rows first .. first + n_rows - 1 of y, whose rows are y_stride floats apart. */
static void multiply(const struct product *p, enum quant_isa isa, int32_t first, int32_t n_rows,
                     float *y, int32_t y_stride, bool add) {
    struct rows some = p->rows;
    some.x = p->x + (size_t)first * (size_t)some.n_in;
    some.n_rows = n_rows;
    for (int32_t i = 0; i < p->n_tiles; i++) {
        int32_t left = p->w.n_out - i * TILE_OUTPUTS;
        struct tile_call call = {.tile = p->tiles + (size_t)i * p->tile_bytes,
                                 .rows = &some,
                                 .y = y + (size_t)first * (size_t)y_stride + i * TILE_OUTPUTS,
                                 .y_stride = y_stride,
                                 .outputs = left < TILE_OUTPUTS ? left : TILE_OUTPUTS,
                                 .add = add,
                                 .scratch = p->scratch};
        tile_float_kernel(p->w.type, isa)(&call);
    }
}

static float *new_outputs(size_t n, const float *from) {
    float *y = malloc((n + 1) * sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; i < n; i++)
        y[i] = from != NULL ? from[i] : UNTOUCHED;
    y[n] = UNTOUCHED;
    return y;
}

static void assert_all_sets_agree(enum quant_type type, int32_t n_out, int32_t n_in, int32_t n_rows,
                                  bool add) {
    struct random_source r = {(uint64_t)n_out << 40 | (uint64_t)n_in << 20 | (uint64_t)n_rows};
    struct product p;
    product_open(&p, &r, type, n_out, n_in, n_rows);
    int32_t stride = n_out + (int32_t)below(&r, 4);
    size_t n = (size_t)n_rows * (size_t)stride;
    float *before = new_floats(&r, n);
    float *expected = new_outputs(n, before);
    multiply(&p, QUANT_ISA_PORTABLE, 0, n_rows, expected, stride, add);
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        float *y = new_outputs(n, before);
        int32_t cut = (int32_t)below(&r, (uint32_t)n_rows + 1);
        multiply(&p, (enum quant_isa)isa, 0, cut, y, stride, add);
        multiply(&p, (enum quant_isa)isa, cut, n_rows - cut, y, stride, add);
        if (memcmp(y, expected, (n + 1) * sizeof *y) != 0)
            fail_msg("%s %d -> %d, %d rows cut at %d, set %d%s: other bits",
                     quant_traits(type)->name, n_in, n_out, n_rows, cut, isa, add ? ", added" : "");
        free(y);
    }
    free(before);
    free(expected);
    product_close(&p);
}

static void test_every_count_of_rows_gives_the_same_bits_on_every_set(void **state) {
    (void)state;
    for (int t = 0; t < FLOAT_TYPES; t++)
        for (int32_t rows = 1; rows <= 70; rows++)
            assert_all_sets_agree(float_types[t], 45, 67, rows, rows % 2 == 0);
}

static void test_every_count_of_outputs_and_inputs_gives_the_same_bits(void **state) {
    (void)state;
    for (int t = 0; t < FLOAT_TYPES; t++) {
        for (int32_t n_out = 1; n_out <= 65; n_out++)
            assert_all_sets_agree(float_types[t], n_out, 32, 1 + n_out % 17, n_out % 2 == 0);
        for (int32_t n_in = 1; n_in <= 70; n_in++)
            assert_all_sets_agree(float_types[t], 32, n_in, 1 + n_in % 31, n_in % 2 == 0);
    }
}

static void test_random_shapes_give_the_same_bits(void **state) {
    (void)state;
    struct random_source r = {1};
    for (int i = 0; i < 60; i++)
        assert_all_sets_agree(float_types[below(&r, FLOAT_TYPES)], 1 + (int32_t)below(&r, 100),
                              1 + (int32_t)below(&r, 700), 1 + (int32_t)below(&r, 70),
                              below(&r, 2) != 0);
}

static void test_no_rows_change_nothing(void **state) {
    (void)state;
    struct random_source r = {2};
    struct product p;
    product_open(&p, &r, QUANT_F16, 32, 16, 1);
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        float *y = new_outputs(32, NULL);
        if (quant_isa_available((enum quant_isa)isa))
            multiply(&p, (enum quant_isa)isa, 0, 0, y, 32, false);
        for (int i = 0; i <= 32; i++)
            assert_true(y[i] == UNTOUCHED);
        free(y);
    }
    product_close(&p);
}

/* n_in roundings, each of a partial sum that is at most the sum of the terms' sizes. */
static void test_the_definition_is_near_the_exact_sum(void **state) {
    (void)state;
    struct random_source r = {3};
    for (int t = 0; t < FLOAT_TYPES; t++) {
        struct product p;
        int32_t n_in = 333, n_out = 40, n_rows = 5;
        product_open(&p, &r, float_types[t], n_out, n_in, n_rows);
        float *y = new_outputs((size_t)(n_rows * n_out), NULL);
        multiply(&p, QUANT_ISA_PORTABLE, 0, n_rows, y, n_out, false);
        float *row = malloc((size_t)n_in * sizeof *row);
        for (int32_t o = 0; o < n_out; o++) {
            quant_expand_row_reference(float_types[t],
                                       (const uint8_t *)p.w.data + (size_t)o * p.w.row_bytes, row,
                                       (size_t)n_in);
            for (int32_t i = 0; i < n_rows; i++) {
                double sum = 0, size = 0;
                for (int32_t k = 0; k < n_in; k++) {
                    double term = (double)row[k] * (double)p.x[i * n_in + k];
                    sum += term;
                    size += fabs(term);
                }
                assert_true(fabs((double)y[i * n_out + o] - sum) <= n_in * EPSILON / 2 * size);
            }
        }
        free(row);
        free(y);
        product_close(&p);
    }
}

/* Inputs whose chain of fused steps differs from steps rounded twice, from other orders and from
 * sums of partial sums: any of those would show. */
static void test_the_definition_is_a_chain_in_order(void **state) {
    (void)state;
    struct random_source r = {4};
    int32_t n_in = 100;
    struct product p;
    product_open(&p, &r, QUANT_F32, 3, n_in, 1);
    float y[3];
    multiply(&p, QUANT_ISA_PORTABLE, 0, 1, y, 3, false);
    for (int o = 0; o < 3; o++) {
        float sum = 0;
        for (int32_t k = 0; k < n_in; k++)
            sum = fmaf(((const float *)p.w.data)[o * n_in + k], p.x[k], sum);
        assert_true(sum == y[o]);
    }
    product_close(&p);
}

/* ---- the micro-kernel ---- */

/* Random weights of a type as b of gemm_call: n_k rows of b_stride values. */
static void *new_b(struct random_source *r, enum quant_type type, int32_t n_k, int32_t b_stride) {
    struct weight w = random_weight(r, type, n_k, b_stride);
    return (void *)w.data;
}

static void run_gemm(struct gemm_call c, enum quant_isa isa, const float *before, size_t n,
                     float *y, int32_t cut_rows, int32_t cut_k) {
    memcpy(y, before, n * sizeof *y);
    size_t value = quant_row_bytes(c.b_type, 1);
    int32_t n_rows[2] = {cut_rows, c.rows - cut_rows}, n_k[2] = {cut_k, c.n_k - cut_k};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            struct gemm_call part = c;
            part.x += (size_t)(i * cut_rows) * c.x_stride + (size_t)(j * cut_k);
            part.b = (const uint8_t *)c.b + (size_t)(j * cut_k) * c.b_stride * value;
            part.y = y + (size_t)(i * cut_rows) * c.y_stride;
            part.rows = n_rows[i];
            part.n_k = n_k[j];
            part.accumulate = c.accumulate || j == 1;
            gemm_kernel_of(isa)(&part);
        }
}

static void check_gemm(struct random_source *r, enum quant_type type) {
    int32_t n_k = 1 + (int32_t)below(r, 150), rows = 1 + (int32_t)below(r, 40);
    int32_t n_o = 1 + (int32_t)below(r, 100);
    int32_t read = (n_o + GEMM_READ - 1) / GEMM_READ * GEMM_READ;
    struct gemm_call c = {.x_stride = (size_t)n_k + below(r, 9),
                          .b_stride = (size_t)read + below(r, 20),
                          .y_stride = (size_t)n_o + below(r, 9),
                          .b_type = type,
                          .rows = rows,
                          .n_k = n_k,
                          .n_o = n_o,
                          .accumulate = below(r, 2) != 0};
    float *x = new_floats(r, (size_t)rows * c.x_stride);
    void *b = new_b(r, type, n_k, (int32_t)c.b_stride);
    c.x = x;
    c.b = b;
    size_t n = (size_t)rows * c.y_stride;
    float *before = new_floats(r, n), *expected = new_outputs(n, NULL), *y = new_outputs(n, NULL);
    run_gemm(c, QUANT_ISA_PORTABLE, before, n, expected, rows, n_k);
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        run_gemm(c, (enum quant_isa)isa, before, n, y, (int32_t)below(r, (uint32_t)rows + 1),
                 (int32_t)below(r, (uint32_t)n_k + 1));
        if (memcmp(y, expected, (n + 1) * sizeof *y) != 0)
            fail_msg("gemm %s %d x %d x %d set %d: other bits", quant_traits(type)->name, rows, n_k,
                     n_o, isa);
    }
    free(x);
    free(b);
    free(before);
    free(expected);
    free(y);
}

static void test_the_micro_kernel_gives_the_same_bits_however_it_is_cut(void **state) {
    (void)state;
    struct random_source r = {5};
    for (int i = 0; i < 150; i++)
        check_gemm(&r, float_types[i % FLOAT_TYPES]);
}

/* ---- weights that are not in tiles ---- */

static void test_rows_of_every_type_are_turned_into_what_the_micro_kernel_reads(void **state) {
    (void)state;
    struct random_source r = {6};
    for (int t = 0; t < random_weight_type_count; t++) {
        enum quant_type type = random_weight_types[t];
        int32_t block = (int32_t)quant_traits(type)->block;
        int32_t n_in = block == 1 ? 301 : 3 * 256 + (block < 256 ? block : 0), n_out = 50;
        struct weight w = random_weight(&r, type, n_out, n_in);
        float *b = malloc((size_t)n_in * GEMM_OUTPUTS * sizeof *b);
        float *row = malloc((size_t)n_in * sizeof *row);
        for (int isa = 0; isa < QUANT_ISAS; isa++)
            for (int32_t first = 0; first < n_out; first += GEMM_OUTPUTS) {
                if (!quant_isa_available((enum quant_isa)isa))
                    continue;
                gemm_pack((enum quant_isa)isa, &w, first, b);
                for (int32_t o = 0; o < GEMM_OUTPUTS; o++) {
                    memset(row, 0, (size_t)n_in * sizeof *row);
                    if (first + o < n_out)
                        quant_expand_row_reference(
                            type, (const uint8_t *)w.data + (size_t)(first + o) * w.row_bytes, row,
                            (size_t)n_in);
                    for (int32_t k = 0; k < n_in; k++)
                        assert_true(b[k * GEMM_OUTPUTS + o] == row[k]);
                }
            }
        free((void *)w.data);
        free(b);
        free(row);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_count_of_rows_gives_the_same_bits_on_every_set),
        cmocka_unit_test(test_every_count_of_outputs_and_inputs_gives_the_same_bits),
        cmocka_unit_test(test_random_shapes_give_the_same_bits),
        cmocka_unit_test(test_no_rows_change_nothing),
        cmocka_unit_test(test_the_definition_is_near_the_exact_sum),
        cmocka_unit_test(test_the_definition_is_a_chain_in_order),
        cmocka_unit_test(test_the_micro_kernel_gives_the_same_bits_however_it_is_cut),
        cmocka_unit_test(test_rows_of_every_type_are_turned_into_what_the_micro_kernel_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
