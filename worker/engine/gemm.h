/* gemm.h - the f32 micro-kernel that attention, the vision tower and the float tiles share.
 *
 * Every output is one chain of fused multiply-adds over k = 0 .. n_k-1:
 *
 *     sum = accumulate ? y[r][o] : 0;  sum = fma(b[k][o], x[r][k], sum) for every k;  y[r][o] = sum
 *
 * so its bits do not depend on the rows or outputs beside it, on where a caller cuts rows and
 * outputs, on where it cuts n_k (the next call accumulates), or on the instruction set. Which NaN
 * comes out of NaNs is left open. */
#ifndef QUIRE_ENGINE_GEMM_H
#define QUIRE_ENGINE_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/engine/model.h"
#include "worker/engine/quant_inside.h"

#define GEMM_OUTPUTS 32 /* computed at a time; n_o is best a multiple of this */
#define GEMM_READ 16    /* b is read in runs of so many values */

/* Pointers need no alignment; b is read fastest when its rows begin at multiples of 64 bytes.
 * Nothing overlaps y. Strides count values, from one row to the next. */
struct gemm_call {
    const float *x; /* [rows][n_k] */
    size_t x_stride;
    const void *b; /* [n_k][n_o], read up to the next multiple of GEMM_READ, to no effect */
    size_t b_stride;
    enum quant_type b_type; /* F32, F16 or BF16; widened in registers, which is for few rows */
    float *y;               /* [rows][n_o]; nothing past n_o is written */
    size_t y_stride;
    int32_t rows, n_k, n_o; /* any number of each; none may be negative */
    bool accumulate;        /* chains go on from y instead of 0 */
};

typedef void gemm_kernel(const struct gemm_call *c);

/* Of the portable set: the definition. Falls back to lesser sets; all give the same bits. */
gemm_kernel *gemm_kernel_of(enum quant_isa isa);

/* Weight rows first .. first + GEMM_OUTPUTS - 1 of w, of any type, as b[n_in][GEMM_OUTPUTS] f32:
 * what gemm_kernel reads with b_stride GEMM_OUTPUTS. Rows past n_out are zeros. For weights that
 * are not packed into tiles. The values are those of quant_expand_row. */
void gemm_pack(enum quant_isa isa, const struct weight *w, int32_t first, float *b);

#endif
