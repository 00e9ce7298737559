/* tile_float.h - tiles of F32, F16 and BF16 weights: [n_in][TILE_OUTPUTS] values of that type.
 *
 * One output is one chain of fused multiply-adds over n_in, in every set (gemm.h). For tile*.c,
 * gemm.c and their test. */
#ifndef QUIRE_ENGINE_TILE_FLOAT_H
#define QUIRE_ENGINE_TILE_FLOAT_H

#include "worker/engine/gemm.h"
#include "worker/engine/tile.h"

struct tile_float_kernels {
    tile_kernel *f32, *f16, *bf16;
    gemm_kernel *gemm;
    /* to[k][o] = from[o * stride + k], k < n, o < GEMM_OUTPUTS */
    void (*turn)(const float *from, size_t stride, int32_t n, float *to);
};
extern const struct tile_float_kernels tile_float_portable, tile_float_avx2, tile_float_avx512;

/* Falls back to lesser sets. */
const struct tile_float_kernels *tile_float_kernels_of(enum quant_isa isa);

/* NULL for types that are not F32, F16 or BF16. */
const struct tile_format *tile_float_format(enum quant_type type);
tile_kernel *tile_float_kernel(enum quant_type type, enum quant_isa isa);

size_t tile_float_scratch_floats(int32_t n_in);

#endif
