/* quant_test.c - block types: known blocks by hand, and kernels against the definitions. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/support/quantize.h"
#include "worker/engine/quant_inside.h"

static const enum quant_type all_types[] = {QUANT_F32,  QUANT_F16,    QUANT_BF16,  QUANT_Q4_0,
                                            QUANT_Q4_1, QUANT_Q5_0,   QUANT_Q5_1,  QUANT_Q8_0,
                                            QUANT_Q2_K, QUANT_Q3_K,   QUANT_Q4_K,  QUANT_Q5_K,
                                            QUANT_Q6_K, QUANT_IQ4_NL, QUANT_IQ4_XS};
#define N_TYPES (sizeof all_types / sizeof all_types[0])

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static uint32_t bits_of(float f) {
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

/* A row in a buffer of exactly its size, so that a sanitizer sees any read past it. */
static uint8_t *random_row(enum quant_type type, size_t n, uint32_t seed, bool wild) {
    size_t bytes = quant_row_bytes(type, n), block = quant_traits(type)->block_bytes;
    uint8_t *row = malloc(bytes);
    assert_non_null(row);
    uint32_t state = seed * 2654435761u | 1;
    for (size_t i = 0; i < bytes; i++)
        row[i] = (uint8_t)(next_random(&state) >> 11);
    for (size_t at = 0; wild && at + block <= bytes && block > 4; at += block) {
        /* Scales that are infinite, NaN (quiet or signalling), subnormal, zero and negative zero,
         * where types keep them: at a block's start or end. */
        static const uint16_t odd[] = {0x7c00, 0xfc00, 0x7e01, 0x7c01, 0xfd55,
                                       0x0001, 0x83ff, 0,      0x8000};
        uint16_t h = odd[next_random(&state) % 9];
        size_t places[3] = {0, 2, block - 2};
        size_t place = at + places[next_random(&state) % 3];
        row[place] = (uint8_t)h;
        row[place + 1] = (uint8_t)(h >> 8);
    }
    return row;
}

static void assert_same_floats(const float *a, const float *b, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) && isnan(b[i]))
            continue; /* which NaN is left open */
        if (bits_of(a[i]) != bits_of(b[i]))
            fail_msg("%s: element %zu is %08x, the definition says %08x", what, i, bits_of(a[i]),
                     bits_of(b[i]));
    }
}

static void test_every_kernel_equals_its_definition_to_the_bit(void **state) {
    (void)state;
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        for (size_t k = 0; k < N_TYPES; k++)
            for (uint32_t seed = 1; seed < 60; seed++) {
                enum quant_type type = all_types[k];
                size_t n = quant_traits(type)->block * (seed % 7 + 1);
                uint8_t *row = random_row(type, n, seed, seed % 2 == 0);
                float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
                quant_expand_row_reference(type, row, want, n);
                quant_expander_for((enum quant_isa)isa, type)(row, got,
                                                              n / quant_traits(type)->block);
                assert_same_floats(got, want, n, quant_traits(type)->name);
                free(row);
                free(want);
                free(got);
            }
    }
}

static void test_float_rows_of_any_length_are_equal(void **state) {
    (void)state;
    static const enum quant_type types[] = {QUANT_F32, QUANT_F16, QUANT_BF16};
    for (size_t k = 0; k < 3; k++)
        for (size_t n = 0; n < 70; n++) {
            uint8_t *row = random_row(types[k], n, (uint32_t)n + 1, false);
            float want[70], got[70];
            quant_expand_row_reference(types[k], row, want, n);
            quant_expand_row(types[k], row, got, n);
            assert_same_floats(got, want, n, quant_traits(types[k])->name);
            free(row);
        }
}

/* All 65536 halves, against arithmetic in double and, bits of NaNs included, against the kernels.
 */
static void test_every_half_is_what_it_means(void **state) {
    (void)state;
    uint16_t *halves = malloc(65536 * sizeof *halves);
    float *got = malloc(65536 * sizeof *got);
    for (uint32_t h = 0; h < 65536; h++)
        halves[h] = (uint16_t)h;
    quant_expand_row(QUANT_F16, halves, got, 65536);
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 0x3ff);
        float f = quant_half_to_float((uint16_t)h);
        assert_int_equal(bits_of(f), bits_of(got[h]));
        double magnitude =
            exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);
        if (exponent == 31)
            assert_true(fraction ? isnan(f) : isinf(f));
        else
            assert_true((double)fabsf(f) == magnitude);
        assert_int_equal(bits_of(f) >> 31, h >> 15);
        if (!isnan(f))
            assert_int_equal(quant_float_to_half(f), h);
    }
    free(halves);
    free(got);
}

static void test_floats_round_to_the_nearest_even_half(void **state) {
    (void)state;
    const struct {
        float f;
        uint16_t h;
    } cases[] = {{1.0f, 0x3c00},
                 {1.00048828125f, 0x3c00},   /* halfway, to even: down */
                 {1.0014648437500f, 0x3c02}, /* halfway, to even: up */
                 {65504.0f, 0x7bff},
                 {65519.996f, 0x7bff},
                 {65520.0f, 0x7c00},
                 {-65520.0f, 0xfc00},
                 {0x1p-24f, 0x0001},
                 {0x1p-25f, 0x0000}, /* halfway to the smallest: to zero */
                 {0x1.000002p-25f, 0x0001},
                 {0x1.8p-24f, 0x0002}, /* halfway, to even */
                 {0x1.ff8p-15f, 0x03ff},
                 {0x1.ffcp-15f, 0x0400}, /* rounds up into the normal halves */
                 {-0.0f, 0x8000},
                 {INFINITY, 0x7c00}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(quant_float_to_half(cases[i].f), cases[i].h);
    assert_true((quant_float_to_half(NAN) & 0x7fff) > 0x7c00);
}

/* ---- blocks worked out by hand ---- */

static void expect(enum quant_type type, const uint8_t *block, size_t n, const int *at,
                   const float *value, size_t count) {
    float got[256];
    quant_expand_row(type, block, got, n);
    for (size_t i = 0; i < count; i++)
        if (bits_of(got[at[i]]) != bits_of(value[i]))
            fail_msg("%s: element %d is %g, not %g", quant_traits(type)->name, at[i],
                     (double)got[at[i]], (double)value[i]);
}

static void test_q4_0_block(void **state) {
    (void)state;
    uint8_t block[18] = {0x00, 0x38}; /* d = 0.5 */
    block[2] = 0xf0;                  /* element 0: 0, element 16: 15 */
    block[17] = 0x89;                 /* element 15: 9, element 31: 8 */
    expect(QUANT_Q4_0, block, 32, (int[]){0, 16, 15, 31, 1}, (float[]){-4, 3.5f, 0.5f, 0, -4}, 5);
}

static void test_q4_1_block(void **state) {
    (void)state;
    uint8_t block[20] = {0x00, 0x38, 0x00, 0xbc}; /* d = 0.5, m = -1 */
    block[4] = 0xf2;
    expect(QUANT_Q4_1, block, 32, (int[]){0, 16, 1}, (float[]){0, 6.5f, -1}, 3);
}

static void test_q5_0_block(void **state) {
    (void)state;
    uint8_t block[22] = {0x00, 0x40, 0x01, 0x00, 0x02, 0x80}; /* d = 2; bits 0, 17, 31 */
    block[6] = 0x03;                                          /* element 0: 3 + 16, element 16: 0 */
    block[7] = 0x50;                                          /* element 1: 0, element 17: 5 + 16 */
    block[21] = 0xf0;                                         /* element 31: 15 + 16 */
    expect(QUANT_Q5_0, block, 32, (int[]){0, 16, 1, 17, 31}, (float[]){6, -32, -32, 10, 30}, 5);
}

static void test_q5_1_block(void **state) {
    (void)state;
    uint8_t block[24] = {0x00, 0x40, 0x00, 0x3c, 0x01, 0x00, 0x00, 0x80}; /* d = 2, m = 1 */
    block[8] = 0x43;
    block[23] = 0xf1;
    expect(QUANT_Q5_1, block, 32, (int[]){0, 16, 15, 31}, (float[]){39, 9, 3, 63}, 4);
}

static void test_q8_0_block(void **state) {
    (void)state;
    uint8_t block[34] = {0x00, 0xc0}; /* d = -2 */
    block[2] = 0x80;
    block[33] = 0x7f;
    expect(QUANT_Q8_0, block, 32, (int[]){0, 31, 1}, (float[]){256, -254, -0.0f}, 3);
}

static void test_bf16_row(void **state) {
    (void)state;
    const uint8_t row[4] = {0x80, 0x3f, 0x20, 0xc0}; /* 1, -2.5 */
    expect(QUANT_BF16, row, 2, (int[]){0, 1}, (float[]){1, -2.5f}, 2);
}

/* Scales and minima with bits in every packed place: sub-block 1 in the low six bits, sub-block 6
 * split over two bytes. */
static void put_k_header(uint8_t *block) {
    block[0] = 0x00, block[1] = 0x3c; /* d = 1 */
    block[2] = 0x00, block[3] = 0x38; /* dmin = 0.5 */
    block[4 + 1] = 5;                 /* scale 1 */
    block[4 + 4 + 1] = 6;             /* minimum 1 */
    block[4 + 8 + 2] = 0x93;          /* low halves of scale 6 (3) and minimum 6 (9) */
    block[4 + 2] = 0xc0;              /* high bits of scale 6: 3 << 4 */
    block[4 + 4 + 2] = 0x80;          /* high bits of minimum 6: 2 << 4 */
}

static void test_q4_k_block(void **state) {
    (void)state;
    uint8_t block[144] = {0};
    put_k_header(block);
    block[16 + 3] = 0x70;       /* sub-block 1, value 3: 7 */
    block[16 + 96 + 31] = 0x0d; /* sub-block 6, value 31: 13 */
    /* scale 6 = 51, minimum 6 = 41 */
    expect(QUANT_Q4_K, block, 256, (int[]){32 + 3, 32, 192 + 31, 192, 0, 224},
           (float[]){5 * 7 - 3, -3, 51 * 13 - 20.5f, -20.5f, 0, 0}, 6);
}

static void test_q5_k_block(void **state) {
    (void)state;
    uint8_t block[176] = {0};
    put_k_header(block);
    block[48 + 3] = 0x70;
    block[16 + 3] = 0x02; /* fifth bit of sub-block 1, value 3 */
    block[48 + 96 + 31] = 0x0d;
    block[16 + 31] = 0x40; /* fifth bit of sub-block 6, value 31 */
    expect(QUANT_Q5_K, block, 256, (int[]){32 + 3, 32, 192 + 31, 192 + 30},
           (float[]){5 * 23 - 3, -3, 51 * 29 - 20.5f, -20.5f}, 4);
}

static void test_q6_k_block(void **state) {
    (void)state;
    uint8_t block[210] = {0};
    block[209] = 0x3c; /* d = 1 */
    for (int g = 0; g < 16; g++)
        block[192 + g] = (uint8_t)(int8_t)(g % 2 ? -(g + 1) : g + 1);
    block[20] = 0x5a;           /* low half: value 20 (10) and value 84 (5) */
    block[128 + 20] = 0x21;     /* high bits: value 20: 1, value 84: 2 */
    block[64 + 32 + 1] = 0xc3;  /* second half: value 128 + 33 (3), 128 + 97 (12) */
    block[128 + 32 + 1] = 0xcc; /* high bits: value 33: 3, value 97: 3 */
    expect(QUANT_Q6_K, block, 256, (int[]){20, 84, 128 + 33, 128 + 97, 0},
           (float[]){-2 * (26 - 32), -6 * (37 - 32), 11 * (51 - 32), 15 * (60 - 32), -32}, 5);
}

static void test_q2_k_block(void **state) {
    (void)state;
    uint8_t block[84] = {0};
    block[81] = 0x3c, block[83] = 0x3c; /* d = dmin = 1 */
    block[1] = 0x23;                    /* group 1: scale 3, minimum 2 */
    block[15] = 0x71;                   /* group 15: scale 1, minimum 7 */
    block[16 + 16] = 0x03;              /* group 1, value 0 */
    block[16 + 32 + 31] = 0x80;         /* group 15, value 15: 2 */
    expect(QUANT_Q2_K, block, 256, (int[]){16, 17, 255, 254, 0}, (float[]){7, -2, -5, -7, 0}, 5);
}

static void test_q3_k_block(void **state) {
    (void)state;
    uint8_t block[110] = {0};
    block[109] = 0x3c;     /* d = 1 */
    block[96] = 0x21;      /* low bits: group 0 (1), group 8 (2) */
    block[96 + 8] = 0x23;  /* high bits of groups 0, 4, 8, 12: 3, 0, 2, 0 */
    block[32] = 0x02;      /* group 0, value 0: 2 */
    block[32 + 32] = 0x01; /* group 8, value 0: 1 */
    block[0] = 0x01;       /* value 0 has its high bit, value 128 has not */
    /* scales: group 0: 49 - 32, group 8: 34 - 32 */
    expect(QUANT_Q3_K, block, 256, (int[]){0, 1, 128}, (float[]){17 * 2, 17 * -4, 2 * (1 - 4)}, 3);
}

static void test_iq4_blocks(void **state) {
    (void)state;
    uint8_t nl[18] = {0x00, 0x38, 0xf0};
    expect(QUANT_IQ4_NL, nl, 32, (int[]){0, 16}, (float[]){-63.5f, 56.5f}, 2);
    uint8_t xs[136] = {0x00, 0x3c, 0x08, 0x00, 0x50}; /* d = 1; scale 1: low 5, high 2 */
    xs[8 + 16] = 0x9f;                                /* sub-block 1: values 0 and 16 */
    expect(QUANT_IQ4_XS, xs, 256, (int[]){32, 48, 0}, (float[]){5 * 113, 5 * 13, -32 * -127.0f}, 3);
}

static void test_quantised_rows_come_back_within_half_a_step(void **state) {
    (void)state;
    float x[256], y[256];
    uint8_t row[1024];
    uint32_t seed = 7;
    for (int i = 0; i < 256; i++)
        x[i] = (float)(int32_t)next_random(&seed) * 0x1p-31f;
    quant_quantize_row(QUANT_Q8_0, x, row, 256);
    quant_expand_row(QUANT_Q8_0, row, y, 256);
    for (int i = 0; i < 256; i++)
        assert_true(fabsf(x[i] - y[i]) <= 1.0f / 127 / 2 * 1.1f);
    quant_quantize_row(QUANT_Q4_0, x, row, 256);
    quant_expand_row(QUANT_Q4_0, row, y, 256);
    for (int i = 0; i < 256; i++) /* the far end of the range is one step short */
        assert_true(fabsf(x[i] - y[i]) <= 1.0f / 8 * 1.1f);
}

static void test_unknown_types_have_no_traits(void **state) {
    (void)state;
    static const uint32_t ids[] = {4, 5, 9, 11 + 4, 16, 24, 31, 39, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        assert_null(quant_traits(ids[i]));
    for (size_t k = 0; k < N_TYPES; k++)
        assert_non_null(quant_traits(all_types[k]));
}

/* The choice is made once in a process, so each wish is asked of a child. */
static int isa_chosen_for(const char *wish) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("QUIRE_ISA", wish, 1);
        log_set_level(LOG_OFF);
        _exit((int)quant_isa_chosen());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_the_environment_chooses_among_available_sets(void **state) {
    (void)state;
    int best = isa_chosen_for("");
    assert_true(quant_isa_available((enum quant_isa)best));
    static const char *const names[QUANT_ISAS] = {"portable", "avx2", "avxvnni", "avx512",
                                                  "avx512vnni"};
    for (int i = 0; i < QUANT_ISAS; i++) {
        bool there = quant_isa_available((enum quant_isa)i);
        assert_int_equal(isa_chosen_for(names[i]), there ? i : best);
    }
    assert_int_equal(isa_chosen_for("sse9"), best);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* First: nothing has been chosen in this process yet. */
        cmocka_unit_test(test_the_environment_chooses_among_available_sets),
        cmocka_unit_test(test_every_kernel_equals_its_definition_to_the_bit),
        cmocka_unit_test(test_float_rows_of_any_length_are_equal),
        cmocka_unit_test(test_every_half_is_what_it_means),
        cmocka_unit_test(test_floats_round_to_the_nearest_even_half),
        cmocka_unit_test(test_q4_0_block),
        cmocka_unit_test(test_q4_1_block),
        cmocka_unit_test(test_q5_0_block),
        cmocka_unit_test(test_q5_1_block),
        cmocka_unit_test(test_q8_0_block),
        cmocka_unit_test(test_bf16_row),
        cmocka_unit_test(test_q4_k_block),
        cmocka_unit_test(test_q5_k_block),
        cmocka_unit_test(test_q6_k_block),
        cmocka_unit_test(test_q2_k_block),
        cmocka_unit_test(test_q3_k_block),
        cmocka_unit_test(test_iq4_blocks),
        cmocka_unit_test(test_quantised_rows_come_back_within_half_a_step),
        cmocka_unit_test(test_unknown_types_have_no_traits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
