/* vec16.h - sixteen floats as one value, for AVX-512, AVX2 and plain C; for kernels.
 *
 * The set is the one that the including file is compiled for. All operations are lane by lane, and
 * sums over lanes use one fixed tree, so that all sets give the same bits. v_fma is rounded once in
 * every set, and slow in plain C. Compiled with -ffp-contract=off: a product is fused with a sum
 * where the source says v_fma and nowhere else. */
#ifndef QUIRE_ENGINE_VEC16_H
#define QUIRE_ENGINE_VEC16_H

#include <stdint.h>
#include <string.h>

#include "worker/engine/quant.h"

#define V_LANES 16
#define V_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
#include "worker/engine/vec16_avx512.h"
#elif defined(__AVX2__)
#include "worker/engine/vec16_avx2.h"
#else
#include "worker/engine/vec16_plain.h"
#endif

/* e^x for x in [-87, 88], within 2 units in the last place; smaller x give 0 or a value near it,
 * larger ones are taken as 88. */
V_INLINE vec16 v_exp(vec16 x) {
    x = v_min(v_max(x, v_set1(-87.3F)), v_set1(88.0F));
    vec16 n = v_round(v_mul(x, v_set1(1.44269504F)));
    /* ln 2 in two parts: the first has zeros at its end, so that n times it is exact */
    vec16 r = v_fma(n, v_set1(-0.693359375F), x);
    r = v_fma(n, v_set1(2.12194440e-4F), r);
    vec16 p = v_set1(1.9875691500e-4F);
    p = v_fma(p, r, v_set1(1.3981999507e-3F));
    p = v_fma(p, r, v_set1(8.3334519073e-3F));
    p = v_fma(p, r, v_set1(4.1665795894e-2F));
    p = v_fma(p, r, v_set1(1.6666665459e-1F));
    p = v_fma(p, r, v_set1(5.0000001201e-1F));
    p = v_fma(p, v_mul(r, r), v_add(r, v_set1(1.0F)));
    return v_mul(p, v_power_of_two(n));
}

/* 2^x for x <= 0, within 2 units in the last place; below -125 it is 2^-125. 2^0 is 1. */
V_INLINE vec16 v_exp2_below(vec16 x) {
    const vec16 shift = v_set1(12582912.0F); /* 1.5 * 2^23: a sum with it is a whole number */
    x = v_max(x, v_set1(-125.0F));
    vec16 shifted = v_add(x, shift);
    vec16 r = v_sub(x, v_sub(shifted, shift)); /* -0.5..0.5 */
    vec16 p = v_set1(1.32647238e-3F);
    p = v_fma(p, r, v_set1(9.67151858e-3F));
    p = v_fma(p, r, v_set1(5.55073395e-2F));
    p = v_fma(p, r, v_set1(2.40222424e-1F));
    p = v_fma(p, r, v_set1(6.93147004e-1F));
    p = v_fma(p, r, v_set1(1.0F));
    return v_times_power(p, shifted);
}

#endif
