/* tile_int_test.c - products of quantised tiles: every set gives the bits of the portable one,
 * which is as near to the exact sum as rounding the activations to 8 bits allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/random_weight.h"
#include "worker/engine/tile_int.h"

static const enum quant_type types[] = {QUANT_Q4_0, QUANT_Q4_1, QUANT_Q5_0,   QUANT_Q5_1,
                                        QUANT_Q8_0, QUANT_Q2_K, QUANT_Q3_K,   QUANT_Q4_K,
                                        QUANT_Q5_K, QUANT_Q6_K, QUANT_IQ4_NL, QUANT_IQ4_XS};
#define TYPES ((int)(sizeof types / sizeof types[0]))
#define MAX_ROWS 70
#define Y_STRIDE 37
#define UNTOUCHED 12345.0F

static uint32_t below(struct random_source *r, uint32_t n) {
    return random_bits(r) % n;
}

static void *new_bytes(size_t bytes) {
    void *p = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(p);
    return p;
}

/* ---- rows ---- */

static struct rows new_rows(int32_t n_rows, int32_t n_in) {
    size_t n = (size_t)n_rows * (size_t)n_in;
    float *x = new_bytes(n * sizeof *x);
    struct rows r = {n_rows, n_in, x, new_bytes(n), NULL, NULL};
    r.scale = new_bytes(n / ROWS_BLOCK * sizeof *r.scale);
    r.sums = new_bytes(n / 16 * sizeof *r.sums);
    return r;
}

static void free_rows(struct rows *r) {
    free((void *)(uintptr_t)r->x);
    free(r->q);
    free(r->scale);
    free(r->sums);
}

static float *values_of(struct rows *r) {
    return (float *)(uintptr_t)r->x; /* the test's own */
}

static struct rows random_rows(struct random_source *r, int32_t n_rows, int32_t n_in) {
    struct rows rows = new_rows(n_rows, n_in);
    random_floats(r, values_of(&rows), (size_t)n_rows * (size_t)n_in);
    rows_quantise(QUANT_ISA_PORTABLE, &rows, 0, n_rows);
    return rows;
}

/* What blocks of activations can hold that is out of the ordinary. */
static void fill_odd_block(struct random_source *r, float *x) {
    static const float odd[] = {0.0F,     -0.0F,   INFINITY,  -INFINITY, NAN,       FLT_MAX,
                                -FLT_MAX, FLT_MIN, 0x1p-149F, 0x1p-110F, 0x1p-111F, -1.0F};
    float size = ldexpf(1, (int)below(r, 250) - 130);
    switch (below(r, 4)) {
    case 0: /* nothing but one of them */
        for (int i = 0; i < ROWS_BLOCK; i++)
            x[i] = 0;
        x[below(r, ROWS_BLOCK)] = odd[below(r, 12)];
        break;
    case 1: /* halfway between two numbers: 127 is the largest, so that the scale is 1 */
        for (int i = 0; i < ROWS_BLOCK; i++)
            x[i] = (float)(int)below(r, 254) - 126.5F;
        x[below(r, ROWS_BLOCK)] = 127;
        break;
    case 2:
        for (int i = 0; i < ROWS_BLOCK; i++)
            x[i] = size * random_float(r);
        break;
    default:
        for (int i = 0; i < ROWS_BLOCK; i++)
            x[i] = below(r, 8) == 0 ? odd[below(r, 12)] : size * random_float(r);
        break;
    }
}

static void assert_same_floats(const float *got, const float *want, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++) {
        if (isnan(got[i]) && isnan(want[i]))
            continue; /* which NaN is left open */
        if (memcmp(&got[i], &want[i], sizeof got[i]) != 0)
            fail_msg("%s: value %zu is %a, the portable version says %a", what, i, (double)got[i],
                     (double)want[i]);
    }
}

static void test_every_set_quantises_rows_to_the_same_bits(void **state) {
    (void)state;
    struct random_source r = {1};
    struct rows want = new_rows(50, 96);
    for (int round = 0; round < 40; round++) {
        for (int b = 0; b < 150; b++)
            fill_odd_block(&r, values_of(&want) + b * ROWS_BLOCK);
        rows_quantise(QUANT_ISA_PORTABLE, &want, 0, 50);
        for (int isa = 1; isa < QUANT_ISAS; isa++) {
            if (!quant_isa_available((enum quant_isa)isa))
                continue;
            struct rows got = new_rows(50, 96);
            memcpy(values_of(&got), want.x, 50 * 96 * sizeof *want.x);
            rows_quantise((enum quant_isa)isa, &got, 0, 20);
            rows_quantise((enum quant_isa)isa, &got, 20, 30);
            assert_memory_equal(got.q, want.q, 50 * 96);
            assert_memory_equal(got.sums, want.sums, 50 * 96 / 16 * sizeof *want.sums);
            assert_same_floats(got.scale, want.scale, 150, "scale");
            free_rows(&got);
        }
    }
    free_rows(&want);
}

static void assert_block_is_rounded(const float *x, const int8_t *q, float scale,
                                    const int16_t *sums) {
    bool finite = true;
    int total[2] = {0, 0};
    float most = 0;
    for (int i = 0; i < ROWS_BLOCK; i++) {
        finite = finite && isfinite(x[i]);
        most = fmaxf(most, fabsf(x[i]));
        total[i / 16] += q[i];
        assert_in_range(q[i] + 127, 0, 254);
    }
    assert_int_equal(sums[0], total[0]);
    assert_int_equal(sums[1], total[1]);
    if (!finite) {
        assert_true(isnan(scale));
        return;
    }
    double most_off = 0.50001 * (double)scale + 0x1p-110;
    for (int i = 0; i < ROWS_BLOCK; i++)
        assert_true(fabs((double)x[i] - (double)scale * q[i]) <= most_off);
    assert_true(most < 0x1p-100F || scale == most / 127);
}

static void test_quantised_rows_are_within_half_a_step(void **state) {
    (void)state;
    struct random_source r = {2};
    struct rows rows = new_rows(1, 64 * ROWS_BLOCK);
    for (int round = 0; round < 50; round++) {
        for (int b = 0; b < 64; b++)
            fill_odd_block(&r, values_of(&rows) + b * ROWS_BLOCK);
        rows_quantise(QUANT_ISA_PORTABLE, &rows, 0, 1);
        for (int b = 0; b < 64; b++)
            assert_block_is_rounded(rows.x + b * ROWS_BLOCK, rows.q + b * ROWS_BLOCK, rows.scale[b],
                                    rows.sums + 2 * b);
    }
    free_rows(&rows);
}

/* ---- products ---- */

/* A weight of one tile, packed. */
struct tile {
    struct weight w;
    uint8_t *bytes;
};

static struct tile new_tile(struct weight w) {
    const struct tile_format *f = tile_int_format(w.type);
    assert_non_null(f);
    assert_true(f->integer);
    size_t bytes = f->bytes(w.n_in);
    assert_int_equal(bytes % TILE_ALIGN, 0);
    struct tile t = {w, aligned_alloc(TILE_ALIGN, bytes)};
    assert_non_null(t.bytes);
    f->pack(&w, 0, t.bytes);
    return t;
}

static void free_tile(struct tile *t) {
    free((void *)(uintptr_t)t->w.data);
    free(t->bytes);
}

/* y is [rows][Y_STRIDE]; what is there before is the same every time. */
static void multiply(const struct tile *t, const struct rows *rows, enum quant_isa isa, bool add,
                     float *y) {
    for (int i = 0; i < rows->n_rows * Y_STRIDE; i++)
        y[i] = add && i % Y_STRIDE < t->w.n_out ? (float)(i % 100) / 7 : UNTOUCHED;
    struct tile_call call = {t->bytes, rows, y, Y_STRIDE, t->w.n_out, add, NULL};
    tile_int_kernel(t->w.type, isa)(&call);
}

static void assert_untouched_past(const float *y, int32_t n_rows, int32_t outputs) {
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t o = outputs; o < Y_STRIDE; o++)
            assert_true(y[r * Y_STRIDE + o] == UNTOUCHED);
}

static void assert_sets_agree(const struct tile *t, const struct rows *rows, bool add) {
    static float want[MAX_ROWS * Y_STRIDE], got[MAX_ROWS * Y_STRIDE];
    multiply(t, rows, QUANT_ISA_PORTABLE, add, want);
    assert_untouched_past(want, rows->n_rows, t->w.n_out);
    for (int isa = 1; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        char what[100];
        (void)snprintf(what, sizeof what, "%s, set %d, %d rows of %d",
                       quant_traits(t->w.type)->name, isa, rows->n_rows, rows->n_in);
        multiply(t, rows, (enum quant_isa)isa, add, got);
        assert_same_floats(got, want, (size_t)(rows->n_rows * Y_STRIDE), what);
    }
}

static int32_t random_width(struct random_source *r, enum quant_type type) {
    int32_t block = (int32_t)quant_traits(type)->block;
    return block * (int32_t)(1 + below(r, block == 32 ? 20 : 3));
}

static void test_every_set_gives_the_same_bits(void **state) {
    (void)state;
    struct random_source r = {3};
    for (int k = 0; k < TYPES; k++)
        for (int round = 0; round < 12; round++) {
            int32_t n_in = random_width(&r, types[k]);
            struct tile t =
                new_tile(random_weight(&r, types[k], (int32_t)(1 + below(&r, 32)), n_in));
            struct rows rows = random_rows(&r, (int32_t)(1 + below(&r, MAX_ROWS)), n_in);
            assert_sets_agree(&t, &rows, round % 2 == 1);
            free_rows(&rows);
            free_tile(&t);
        }
}

/* Weights of any bytes: scales that are infinite, NaN or subnormal come along, too. */
static struct weight wild_weight(struct random_source *r, enum quant_type type, int32_t n_in,
                                 int fill) {
    size_t row_bytes = quant_row_bytes(type, (size_t)n_in);
    uint8_t *data = new_bytes(TILE_OUTPUTS * row_bytes);
    for (size_t i = 0; i < TILE_OUTPUTS * row_bytes; i++)
        data[i] = fill >= 0 ? (uint8_t)fill : (uint8_t)random_bits(r);
    return (struct weight){
        .type = type, .n_in = n_in, .n_out = TILE_OUTPUTS, .row_bytes = row_bytes, .data = data};
}

static void test_extreme_weights_and_activations_give_the_same_bits(void **state) {
    (void)state;
    /* All numbers 0, all as large as they get, -128 in Q8_0, halves that are finite (0x7b7b) ... */
    static const int fills[] = {0x00, 0xff, 0x80, 0x7b, 0x7f, 0xfb, -1, -1, -1};
    struct random_source r = {4};
    for (int k = 0; k < TYPES; k++)
        for (size_t f = 0; f < sizeof fills / sizeof fills[0]; f++) {
            struct tile t = new_tile(wild_weight(&r, types[k], 256, fills[f]));
            struct rows rows = new_rows(5, 256);
            for (int i = 0; i < 256; i++) { /* largest of one sign, of both, mixed, zeros */
                float *x = values_of(&rows) + i;
                x[0] = 3;
                x[256] = -3;
                x[512] = below(&r, 2) ? 3 : -3;
                x[768] = 0;
                x[1024] = FLT_MAX * random_float(&r);
            }
            rows_quantise(QUANT_ISA_PORTABLE, &rows, 0, 5);
            assert_sets_agree(&t, &rows, false);
            free_rows(&rows);
            free_tile(&t);
        }
}

/* Numbers as extreme as a type has them, under scales of 1, so that nothing is lost in a NaN. */
static void test_extreme_numbers_under_plain_scales_give_the_same_bits(void **state) {
    (void)state;
    struct random_source r = {5};
    for (int k = 0; k < TYPES; k++)
        for (int fill = 0; fill < 4; fill++) {
            struct weight w = random_weight(&r, types[k], TILE_OUTPUTS, 256);
            uint8_t *data = (uint8_t *)(uintptr_t)w.data;
            size_t block = quant_traits(types[k])->block_bytes, from = block / 4, to = block;
            if (types[k] == QUANT_Q2_K || types[k] == QUANT_Q3_K || types[k] == QUANT_Q6_K)
                to = block - 4, from = 0; /* their halves are at the end */
            for (size_t at = 0; at < TILE_OUTPUTS * w.row_bytes; at += block)
                for (size_t i = from; i < to; i++)
                    data[at + i] = (uint8_t[]){0x00, 0xff, 0x80, 0x7f}[fill];
            struct tile t = new_tile(w);
            struct rows rows = new_rows(3, 256);
            for (int i = 0; i < 256; i++) {
                float *x = values_of(&rows) + i;
                x[0] = 1;
                x[256] = -1;
                x[512] = i % 2 ? 1 : -1;
            }
            rows_quantise(QUANT_ISA_PORTABLE, &rows, 0, 3);
            assert_sets_agree(&t, &rows, false);
            free_rows(&rows);
            free_tile(&t);
        }
}

static void test_a_row_is_the_same_alone_and_among_others(void **state) {
    (void)state;
    struct random_source r = {6};
    static float all[MAX_ROWS * Y_STRIDE], alone[Y_STRIDE];
    enum quant_isa isa = quant_isa_chosen();
    for (int k = 0; k < TYPES; k++) {
        struct tile t = new_tile(random_weight(&r, types[k], TILE_OUTPUTS, 512));
        struct rows rows = random_rows(&r, MAX_ROWS, 512);
        multiply(&t, &rows, isa, false, all);
        for (int32_t i = 0; i < MAX_ROWS; i++) {
            struct rows one = {1,
                               512,
                               rows.x + i * 512,
                               rows.q + i * 512,
                               rows.scale + i * 16,
                               rows.sums + i * 32};
            multiply(&t, &one, isa, false, alone);
            assert_memory_equal(alone, all + i * Y_STRIDE, TILE_OUTPUTS * sizeof *alone);
        }
        free_rows(&rows);
        free_tile(&t);
    }
}

/* What a product may be off by: each activation by half its block's step, and each of a few
 * roundings of a block's share by as much as floats round what makes it up. */
static void assert_near_exact(const struct tile *t, const struct rows *rows, const float *y) {
    int32_t n_in = t->w.n_in;
    float *w = new_bytes((size_t)n_in * sizeof *w);
    for (int32_t o = 0; o < t->w.n_out; o++) {
        quant_expand_row_reference(
            t->w.type, (const uint8_t *)t->w.data + (size_t)o * t->w.row_bytes, w, (size_t)n_in);
        double largest = 0;
        for (int32_t i = 0; i < n_in; i++)
            largest = fmax(largest, fabs((double)w[i]));
        for (int32_t r = 0; r < rows->n_rows; r++) {
            const float *x = rows->x + r * n_in;
            double exact = 0, bound = 0, size = 0;
            for (int32_t i = 0; i < n_in; i++) {
                double step = (double)rows->scale[(r * n_in + i) / ROWS_BLOCK];
                exact += (double)w[i] * (double)x[i];
                bound += fabs((double)w[i]) * 0.50001 * step;
                size += 4 * largest * 127 * step;
            }
            bound += size * 0x1p-23 * 4;
            double off = fabs((double)y[r * Y_STRIDE + o] - exact);
            if (!(off <= bound))
                fail_msg("%s: row %d, output %d is %g off, more than %g",
                         quant_traits(t->w.type)->name, r, o, off, bound);
        }
    }
    free(w);
}

static void test_products_are_as_exact_as_quantised_activations_allow(void **state) {
    (void)state;
    struct random_source r = {7};
    static float y[MAX_ROWS * Y_STRIDE];
    for (int k = 0; k < TYPES; k++)
        for (int round = 0; round < 8; round++) {
            int32_t n_in = random_width(&r, types[k]);
            struct tile t =
                new_tile(random_weight(&r, types[k], (int32_t)(1 + below(&r, 32)), n_in));
            struct rows rows = random_rows(&r, 7, n_in);
            multiply(&t, &rows, QUANT_ISA_PORTABLE, false, y);
            assert_near_exact(&t, &rows, y);
            free_rows(&rows);
            free_tile(&t);
        }
}

/* Whole multiples of the scale are their own quantised values, so nothing at all may be off. */
static void test_small_whole_numbers_are_multiplied_exactly(void **state) {
    (void)state;
    struct random_source r = {8};
    uint8_t *block = new_bytes(34);
    for (int round = 0; round < 50; round++) {
        block[0] = 0x00;
        block[1] = 0x3c; /* a half of 1 */
        for (int i = 2; i < 34; i++)
            block[i] = (uint8_t)random_bits(&r);
        struct weight w = {
            .type = QUANT_Q8_0, .n_in = 32, .n_out = 1, .row_bytes = 34, .data = block};
        struct tile t = new_tile(w);
        struct rows rows = new_rows(1, 32);
        double want = 0;
        for (int i = 0; i < 32; i++) {
            float x = i == 0 ? 127.0F : (float)(int)below(&r, 255) - 127.0F;
            values_of(&rows)[i] = x;
            want += (double)x * (int8_t)block[2 + i];
        }
        rows_quantise(QUANT_ISA_PORTABLE, &rows, 0, 1);
        float y[Y_STRIDE];
        multiply(&t, &rows, quant_isa_chosen(), false, y);
        assert_true((double)y[0] == want);
        free_rows(&rows);
        free(t.bytes);
    }
    free(block);
}

static void test_later_tiles_hold_later_rows_and_zeros_fill_the_last(void **state) {
    (void)state;
    struct random_source r = {9};
    for (int k = 0; k < TYPES; k++) {
        const struct tile_format *f = tile_int_format(types[k]);
        struct weight w = random_weight(&r, types[k], 43, 256);
        struct weight last = w; /* rows 32..42 on their own */
        last.data = (const uint8_t *)w.data + TILE_OUTPUTS * w.row_bytes;
        last.n_out = 11;
        size_t bytes = f->bytes(256);
        uint8_t *a = new_bytes(bytes), *b = new_bytes(bytes);
        memset(a, 0xee, bytes);
        f->pack(&w, TILE_OUTPUTS, a);
        f->pack(&last, 0, b);
        assert_memory_equal(a, b, bytes);
        free(a);
        free(b);
        free((void *)(uintptr_t)w.data);
    }
}

static void test_float_types_have_no_integer_tiles(void **state) {
    (void)state;
    static const enum quant_type floats[] = {QUANT_F32, QUANT_F16, QUANT_BF16};
    for (int i = 0; i < 3; i++) {
        assert_null(tile_int_format(floats[i]));
        assert_null(tile_int_kernel(floats[i], quant_isa_chosen()));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_set_quantises_rows_to_the_same_bits),
        cmocka_unit_test(test_quantised_rows_are_within_half_a_step),
        cmocka_unit_test(test_every_set_gives_the_same_bits),
        cmocka_unit_test(test_extreme_weights_and_activations_give_the_same_bits),
        cmocka_unit_test(test_extreme_numbers_under_plain_scales_give_the_same_bits),
        cmocka_unit_test(test_a_row_is_the_same_alone_and_among_others),
        cmocka_unit_test(test_products_are_as_exact_as_quantised_activations_allow),
        cmocka_unit_test(test_small_whole_numbers_are_multiplied_exactly),
        cmocka_unit_test(test_later_tiles_hold_later_rows_and_zeros_fill_the_last),
        cmocka_unit_test(test_float_types_have_no_integer_tiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
