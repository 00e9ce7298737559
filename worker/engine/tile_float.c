/* tile_float.c - how float weights are packed, and the definition of their products in plain C. */
#include "worker/engine/tile_float.h"

#include <math.h>
#include <string.h>

/* ---- formats ---- */

static size_t bytes_of_4(int32_t n_in) {
    return (size_t)n_in * TILE_OUTPUTS * 4;
}

static size_t bytes_of_2(int32_t n_in) {
    return (size_t)n_in * TILE_OUTPUTS * 2;
}

static int32_t rows_of(const struct weight *w, int32_t first) {
    return w->n_out - first < TILE_OUTPUTS ? w->n_out - first : TILE_OUTPUTS;
}

static void pack_4(const struct weight *w, int32_t first, uint8_t *tile) {
    int32_t rows = rows_of(w, first);
    if (rows < TILE_OUTPUTS)
        memset(tile, 0, bytes_of_4(w->n_in));
    const uint8_t *from = (const uint8_t *)w->data + (size_t)first * w->row_bytes;
    for (int32_t k = 0; k < w->n_in; k++, from += 4, tile += TILE_OUTPUTS * 4)
        for (int32_t o = 0; o < rows; o++)
            memcpy(tile + o * 4, from + (size_t)o * w->row_bytes, 4);
}

static void pack_2(const struct weight *w, int32_t first, uint8_t *tile) {
    int32_t rows = rows_of(w, first);
    if (rows < TILE_OUTPUTS)
        memset(tile, 0, bytes_of_2(w->n_in));
    const uint8_t *from = (const uint8_t *)w->data + (size_t)first * w->row_bytes;
    for (int32_t k = 0; k < w->n_in; k++, from += 2, tile += TILE_OUTPUTS * 2)
        for (int32_t o = 0; o < rows; o++)
            memcpy(tile + o * 2, from + (size_t)o * w->row_bytes, 2);
}

static const struct tile_format format_f32 = {"F32", false, bytes_of_4, pack_4};
static const struct tile_format format_f16 = {"F16", false, bytes_of_2, pack_2};
static const struct tile_format format_bf16 = {"BF16", false, bytes_of_2, pack_2};

const struct tile_format *tile_float_format(enum quant_type type) {
    switch (type) {
    case QUANT_F32:
        return &format_f32;
    case QUANT_F16:
        return &format_f16;
    case QUANT_BF16:
        return &format_bf16;
    default:
        return NULL;
    }
}

/* ---- the definition ---- */

/* y itself carries the chains: rounded after every step, it is the sum that a register would hold.
 */
static void gemm_portable(const struct gemm_call *c) {
    if (!c->accumulate)
        for (int32_t r = 0; r < c->rows; r++)
            memset(c->y + (size_t)r * c->y_stride, 0, (size_t)c->n_o * sizeof *c->y);
    float w[GEMM_OUTPUTS];
    for (int32_t o = 0; o < c->n_o; o += GEMM_OUTPUTS) {
        int32_t n = c->n_o - o < GEMM_OUTPUTS ? c->n_o - o : GEMM_OUTPUTS;
        for (int32_t k = 0; k < c->n_k; k++) {
            size_t at = quant_row_bytes(c->b_type, (size_t)k * c->b_stride + (size_t)o);
            quant_expand_row_reference(c->b_type, (const uint8_t *)c->b + at, w, (size_t)n);
            for (int32_t r = 0; r < c->rows; r++) {
                float *y = c->y + (size_t)r * c->y_stride + o;
                float x = c->x[(size_t)r * c->x_stride + (size_t)k];
                for (int32_t i = 0; i < n; i++)
                    y[i] = fmaf(w[i], x, y[i]);
            }
        }
    }
}

/* Some rows at a time, whose sums are kept apart from y until they are whole. */
#define SUM_ROWS 16

static void tile_portable(enum quant_type type, const struct tile_call *c) {
    const struct rows *rows = c->rows;
    float sum[SUM_ROWS][TILE_OUTPUTS];
    for (int32_t first = 0; first < rows->n_rows; first += SUM_ROWS) {
        int32_t n = rows->n_rows - first < SUM_ROWS ? rows->n_rows - first : SUM_ROWS;
        struct gemm_call product = {.x = rows->x + (size_t)first * (size_t)rows->n_in,
                                    .x_stride = (size_t)rows->n_in,
                                    .b = c->tile,
                                    .b_stride = TILE_OUTPUTS,
                                    .b_type = type,
                                    .y = sum[0],
                                    .y_stride = TILE_OUTPUTS,
                                    .rows = n,
                                    .n_k = rows->n_in,
                                    .n_o = c->outputs};
        gemm_portable(&product);
        for (int32_t r = 0; r < n; r++) {
            float *y = c->y + (size_t)(first + r) * (size_t)c->y_stride;
            for (int32_t o = 0; o < c->outputs; o++)
                y[o] = c->add ? y[o] + sum[r][o] : sum[r][o];
        }
    }
}

static void f32_portable(const struct tile_call *c) {
    tile_portable(QUANT_F32, c);
}

static void f16_portable(const struct tile_call *c) {
    tile_portable(QUANT_F16, c);
}

static void bf16_portable(const struct tile_call *c) {
    tile_portable(QUANT_BF16, c);
}

static void turn_portable(const float *from, size_t stride, int32_t n, float *to) {
    for (int32_t k = 0; k < n; k++)
        for (int32_t o = 0; o < GEMM_OUTPUTS; o++)
            to[k * GEMM_OUTPUTS + o] = from[(size_t)o * stride + (size_t)k];
}

const struct tile_float_kernels tile_float_portable = {f32_portable, f16_portable, bf16_portable,
                                                       gemm_portable, turn_portable};

/* ---- the choice ---- */

const struct tile_float_kernels *tile_float_kernels_of(enum quant_isa isa) {
#if defined(__x86_64__)
    if (isa >= QUANT_ISA_AVX512)
        return &tile_float_avx512;
    if (isa >= QUANT_ISA_AVX2)
        return &tile_float_avx2;
#else
    (void)isa;
#endif
    return &tile_float_portable;
}

tile_kernel *tile_float_kernel(enum quant_type type, enum quant_isa isa) {
    const struct tile_float_kernels *k = tile_float_kernels_of(isa);
    switch (type) {
    case QUANT_F32:
        return k->f32;
    case QUANT_F16:
        return k->f16;
    case QUANT_BF16:
        return k->bf16;
    default:
        return NULL;
    }
}

size_t tile_float_scratch_floats(int32_t n_in) {
    return (size_t)n_in * TILE_OUTPUTS;
}
