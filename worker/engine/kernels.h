/* kernels.h - the inner loops, once for each instruction set, and the choice among them.
 *
 * A dot product of n terms is reduced in one order, whatever the number of rows around it and
 * whatever the type of the weights: term i goes to lane i mod 16, lanes add up in a fixed tree. So
 * rows of a fused kernel equal, to the bit, rows expanded to f32 and given to the F32 kernel. */
#ifndef QUIRE_ENGINE_KERNELS_H
#define QUIRE_ENGINE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "worker/engine/quant_inside.h"

#define KERNEL_TYPES 31 /* quant_type ids are below */

/* y[r * y_stride + o] = sum_i W[o][i] * x[r][i] for o < n_out, r < rows; x: [rows][n_in]; row o of
 * the weights begins at w + o * row_bytes. n_in is a multiple of the type's block. */
typedef void dot_kernel(const uint8_t *w, size_t row_bytes, int32_t n_out, const float *x,
                        int32_t rows, int32_t n_in, float *y, int32_t y_stride);

#define ATTEND_GROUP 64   /* keys whose values of one dimension lie together */
#define ATTEND_MAX_ROWS 6 /* rows of scores in scratch */

/* Attention of `rows` queries of one head to all its keys. */
struct attend_job {
    const float *q; /* [rows], q_stride floats apart, of head_dim values */
    /* [groups], group_stride floats apart, of [head_dim][ATTEND_GROUP]; zeros fill the last one */
    const float *keys;
    const float *values; /* [n_keys], value_stride floats apart, of head_dim values */
    float *out;          /* [rows], out_stride floats apart, of head_dim values */
    float *scratch;      /* ATTEND_MAX_ROWS * attend_row_floats(n_keys) */
    size_t q_stride, group_stride, value_stride, out_stride;
    int32_t rows, n_keys, head_dim;
    float scale; /* of scores */
};

/* Whole groups, and a little more, so that rows do not fall on the same lines of a cache. */
static inline size_t attend_row_floats(int32_t n_keys) {
    return ((size_t)n_keys + ATTEND_GROUP - 1) / ATTEND_GROUP * ATTEND_GROUP + 16;
}

#define KERNEL_FEW_ROWS_MAX 64

struct kernels {
    /* Up to so many rows the dot kernels beat expanding whole panels for OpenBLAS. */
    int32_t few_rows;
    dot_kernel *dot[KERNEL_TYPES]; /* by quant_type; NULL: expand and use F32's */

    /* out[r][d] += sum_t p[r][t] * values[t][d]; p has rows of p_stride, values of width halves */
    void (*weigh_values)(const float *p, int32_t p_stride, int32_t rows, const uint16_t *values,
                         int32_t count, int32_t width, float *out);
    /* s[i] = exp(s[i] - highest); returns their sum */
    float (*exponentials)(float *s, int32_t n, float highest);
    float (*highest)(const float *s, int32_t n); /* n >= 1 */
    void (*scale)(float *s, int32_t n, float factor);
    /* gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i] */
    void (*silu_times)(float *gate, const float *up, int32_t n);
    /* out = x / sqrt(mean(x^2) + eps) * weight */
    void (*rms_norm)(const float *x, const float *weight, int32_t n, float eps, float *out);
    /* pairs (x[2i], x[2i+1]) of each of n_head heads turned by angle i and made longer by factor */
    void (*rotate)(float *x, int32_t n_head, int32_t head_dim, const float *cosines,
                   const float *sines, float factor);
    /* out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, int32_t n, float eps,
                       float *out);
    void (*attend_all)(const struct attend_job *job);
    /* x[i] = x[i] / 2 * (1 + tanh(sqrt(2/pi) * (x[i] + 0.044715 x[i]^3))), within 1e-6 */
    void (*gelu)(float *x, int32_t n);
    void (*to_halves)(const float *x, int32_t n, uint16_t *out);
    void (*from_halves)(const uint16_t *x, int32_t n, float *out);
};

const struct kernels *kernels_of(enum quant_isa isa); /* falls back to lesser sets */
const struct kernels *kernels_chosen(void);           /* of quant_isa_chosen() */

extern const struct kernels kernels_portable, kernels_avx2, kernels_avx512;

#endif
