/* tile_float_body.h - the float kernels of one set; tile_float_avx2.c and _avx512.c define KERNELS,
 * the name of the table, and BLOCKS_14 (0 or 1), whether registers hold blocks of 14 rows by 2
 * vectors, or of 3 by 2 and 6 by 1, and include this.
 *
 * Rows are cut into blocks as equal as can be: a block of few rows waits for its chains. */
#include <string.h>

#include "worker/engine/gemm_block.h"
#include "worker/engine/tile_float.h"

#if BLOCKS_14
#define NARROW_ROWS 14 /* most rows of a block of one vector */
#define WIDE_ROWS 14   /* ... and of two */
#else
#define NARROW_ROWS 6
#define WIDE_ROWS 3
#endif

/* ---- blocks of every size ---- */

typedef void block_kernel(const struct block *c);

#define BLOCK(type, rows, width)                                                                   \
    static void type##_##rows##x##width(const struct block *c) {                                   \
        run_block(QUANT_##type, rows, width, c);                                                   \
    }
#define BLOCKS_TO_3(type, width) BLOCK(type, 1, width) BLOCK(type, 2, width) BLOCK(type, 3, width)
#define BLOCKS_TO_6(type, width)                                                                   \
    BLOCKS_TO_3(type, width) BLOCK(type, 4, width) BLOCK(type, 5, width) BLOCK(type, 6, width)
#define BLOCKS_TO_14(type, width)                                                                  \
    BLOCKS_TO_6(type, width)                                                                       \
    BLOCK(type, 7, width)                                                                          \
    BLOCK(type, 8, width)                                                                          \
    BLOCK(type, 9, width)                                                                          \
    BLOCK(type, 10, width)                                                                         \
    BLOCK(type, 11, width)                                                                         \
    BLOCK(type, 12, width)                                                                         \
    BLOCK(type, 13, width)                                                                         \
    BLOCK(type, 14, width)
#define NAMES_TO_3(type, width) type##_1x##width, type##_2x##width, type##_3x##width
#define NAMES_TO_6(type, width)                                                                    \
    NAMES_TO_3(type, width), type##_4x##width, type##_5x##width, type##_6x##width
#define NAMES_TO_14(type, width)                                                                   \
    NAMES_TO_6(type, width), type##_7x##width, type##_8x##width, type##_9x##width,                 \
        type##_10x##width, type##_11x##width, type##_12x##width, type##_13x##width,                \
        type##_14x##width

/* [type][width - 1][rows - 1] */
#if BLOCKS_14
#define BLOCKS(type) BLOCKS_TO_14(type, 1) BLOCKS_TO_14(type, 2)
#define NAMES(type) {NAMES_TO_14(type, 1)}, {NAMES_TO_14(type, 2)},
#else
#define BLOCKS(type) BLOCKS_TO_6(type, 1) BLOCKS_TO_3(type, 2)
#define NAMES(type) {NAMES_TO_6(type, 1)}, {NAMES_TO_3(type, 2)},
#endif
BLOCKS(F32)
BLOCKS(F16)
BLOCKS(BF16)
static block_kernel *const blocks_f32[2][NARROW_ROWS] = {NAMES(F32)};
static block_kernel *const blocks_f16[2][NARROW_ROWS] = {NAMES(F16)};
static block_kernel *const blocks_bf16[2][NARROW_ROWS] = {NAMES(BF16)};

/* ---- products of any size out of blocks ---- */

/* Asks for weights at c.ahead in as many blocks as they need. */
static void all_rows(block_kernel *const *kernels, int32_t most, struct block c, int32_t rows,
                     const uint8_t *ahead_end) {
    const float *first = c.x;
    for (int32_t parts = (rows + most - 1) / most; parts > 0; parts--) {
        int32_t n = (rows + parts - 1) / parts;
        c.next_x = parts > 1 ? c.x + (size_t)n * c.x_stride : first;
        kernels[n - 1](&c);
        c.x += (size_t)n * c.x_stride;
        c.y += (size_t)n * c.y_stride;
        rows -= n;
        c.ahead += (size_t)c.n_k * c.ahead_step;
        if (c.ahead >= ahead_end)
            c.ahead_step = 0;
    }
}

/* c->n_o may be any number here. */
static void all_outputs(enum quant_type type, struct block c, int32_t rows,
                        const uint8_t *ahead_end) {
    block_kernel *const(*kernels)[NARROW_ROWS] = type == QUANT_F16    ? blocks_f16
                                                 : type == QUANT_BF16 ? blocks_bf16
                                                                      : blocks_f32;
    for (int32_t left = c.n_o; left > 0;) {
        bool wide = left > V_LANES && (WIDE_ROWS == NARROW_ROWS || rows <= WIDE_ROWS);
        int32_t n = wide ? 2 * V_LANES : V_LANES;
        c.n_o = left < n ? left : n;
        all_rows(kernels[wide], wide ? WIDE_ROWS : NARROW_ROWS, c, rows, ahead_end);
        left -= n;
        c.b += (size_t)n * value_bytes(type);
        c.y += n;
    }
}

static void gemm(const struct gemm_call *c) {
    struct block block = {.x = c->x,
                          .x_stride = c->x_stride,
                          .b = c->b,
                          .b_stride = c->b_stride,
                          .y = c->y,
                          .y_stride = c->y_stride,
                          .n_k = c->n_k,
                          .n_o = c->n_o,
                          .accumulate = c->accumulate,
                          .ahead = c->b};
    all_outputs(c->b_type, block, c->rows, c->b);
}

/* ---- turning rows into columns ---- */

/* Eight runs of eight: unpacked in pairs, then in fours, then in halves. */
V_INLINE void turn_8x8(const float *from, size_t stride, float *to) {
    __m256 a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_loadu_ps(from + (size_t)i * stride);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0x44);
            a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0xee);
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * GEMM_OUTPUTS, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * GEMM_OUTPUTS, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

static void turn(const float *from, size_t stride, int32_t n, float *to) {
    int32_t k = 0;
    for (; k + 8 <= n; k += 8)
        for (int32_t o = 0; o < GEMM_OUTPUTS; o += 8)
            turn_8x8(from + (size_t)o * stride + k, stride, to + (size_t)k * GEMM_OUTPUTS + o);
    for (; k < n; k++)
        for (int32_t o = 0; o < GEMM_OUTPUTS; o++)
            to[k * GEMM_OUTPUTS + o] = from[(size_t)o * stride + (size_t)k];
}

/* ---- tiles ---- */

/* From so many rows on weights are widened once, into scratch, instead of once in every block. */
#define WIDEN_ROWS (2 * WIDE_ROWS + 1)

/* How far ahead of their use weights are asked for by few rows, which wait for memory; measured. */
#define AHEAD_BYTES 16384

static void widen(enum quant_type type, const uint8_t *tile, size_t n, float *out) {
    for (size_t i = 0; i < n; i += V_LANES)
        v_store(out + i, load_weights(type, tile + i * value_bytes(type)));
}

V_INLINE void run_tile(enum quant_type type, const struct tile_call *c) {
    const struct rows *rows = c->rows;
    size_t line = TILE_OUTPUTS * value_bytes(type), bytes = (size_t)rows->n_in * line;
    struct block block = {.x = rows->x,
                          .x_stride = (size_t)rows->n_in,
                          .b = c->tile,
                          .b_stride = TILE_OUTPUTS,
                          .y = c->y,
                          .y_stride = (size_t)c->y_stride,
                          .n_k = rows->n_in,
                          .n_o = c->outputs,
                          .add = c->add,
                          .ahead_step = line};
    if (rows->n_rows < WIDEN_ROWS) {
        block.ahead = c->tile + AHEAD_BYTES;
        all_outputs(type, block, rows->n_rows, c->tile + bytes);
        return;
    }
    block.ahead = c->tile + bytes;
    if (type != QUANT_F32) {
        widen(type, c->tile, (size_t)rows->n_in * TILE_OUTPUTS, c->scratch);
        block.b = (const uint8_t *)c->scratch;
    }
    all_outputs(QUANT_F32, block, rows->n_rows, c->tile + 2 * bytes);
}

static void tile_f32(const struct tile_call *c) {
    run_tile(QUANT_F32, c);
}

static void tile_f16(const struct tile_call *c) {
    run_tile(QUANT_F16, c);
}

static void tile_bf16(const struct tile_call *c) {
    run_tile(QUANT_BF16, c);
}

const struct tile_float_kernels KERNELS = {tile_f32, tile_f16, tile_bf16, gemm, turn};
