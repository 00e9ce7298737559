/* quant_simd.c - expansion with AVX2 and AVX-512, equal to the definitions to the bit.
 *
 * The kernels are written once (quant_kernels.h) over bytes in 256-bit registers; only the last
 * step, bytes to scaled floats, is done 8 or 16 at a time. The functions carry their own target
 * attribute, so that the rest of the program runs on any x86-64. */
#include "worker/engine/quant_inside.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,f16c")))
#define NAME(x) avx2_##x

TARGET static inline __m256 NAME(floats)(__m128i bytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

TARGET static inline void NAME(put_mul)(float *dst, __m128i bytes, float scale) {
    __m256 s = _mm256_set1_ps(scale);
    _mm256_storeu_ps(dst, _mm256_mul_ps(s, NAME(floats)(bytes)));
    _mm256_storeu_ps(dst + 8, _mm256_mul_ps(s, NAME(floats)(_mm_srli_si128(bytes, 8))));
}

TARGET static inline void NAME(put_mul_add)(float *dst, __m128i bytes, float scale, float m) {
    __m256 s = _mm256_set1_ps(scale), a = _mm256_set1_ps(m);
    __m256 first = _mm256_mul_ps(s, NAME(floats)(bytes));
    __m256 second = _mm256_mul_ps(s, NAME(floats)(_mm_srli_si128(bytes, 8)));
    _mm256_storeu_ps(dst, _mm256_add_ps(first, a));
    _mm256_storeu_ps(dst + 8, _mm256_add_ps(second, a));
}

TARGET static inline void NAME(put_mul_sub)(float *dst, __m128i bytes, float scale, float m) {
    __m256 s = _mm256_set1_ps(scale), a = _mm256_set1_ps(m);
    __m256 first = _mm256_mul_ps(s, NAME(floats)(bytes));
    __m256 second = _mm256_mul_ps(s, NAME(floats)(_mm_srli_si128(bytes, 8)));
    _mm256_storeu_ps(dst, _mm256_sub_ps(first, a));
    _mm256_storeu_ps(dst + 8, _mm256_sub_ps(second, a));
}

TARGET static inline void NAME(put_halves)(float *dst, __m256i halves) {
    _mm256_storeu_ps(dst, _mm256_cvtph_ps(_mm256_castsi256_si128(halves)));
    _mm256_storeu_ps(dst + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)));
}

#include "worker/engine/quant_kernels.h"

#undef TARGET
#undef NAME
#define TARGET __attribute__((target("avx2,f16c,avx512f,avx512bw,avx512vl,avx512dq")))
#define NAME(x) avx512_##x

TARGET static inline __m512 NAME(scaled)(__m128i bytes, float scale) {
    return _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
}

TARGET static inline void NAME(put_mul)(float *dst, __m128i bytes, float scale) {
    _mm512_storeu_ps(dst, NAME(scaled)(bytes, scale));
}

TARGET static inline void NAME(put_mul_add)(float *dst, __m128i bytes, float scale, float m) {
    _mm512_storeu_ps(dst, _mm512_add_ps(NAME(scaled)(bytes, scale), _mm512_set1_ps(m)));
}

TARGET static inline void NAME(put_mul_sub)(float *dst, __m128i bytes, float scale, float m) {
    _mm512_storeu_ps(dst, _mm512_sub_ps(NAME(scaled)(bytes, scale), _mm512_set1_ps(m)));
}

TARGET static inline void NAME(put_halves)(float *dst, __m256i halves) {
    _mm512_storeu_ps(dst, _mm512_cvtph_ps(halves));
}

#include "worker/engine/quant_kernels.h"

quant_expander *quant_simd_expander(enum quant_isa isa, enum quant_type type) {
    if (isa == QUANT_ISA_AVX512)
        return avx512_pick(type);
    return isa == QUANT_ISA_AVX2 ? avx2_pick(type) : NULL;
}

#else

quant_expander *quant_simd_expander(enum quant_isa isa, enum quant_type type) {
    (void)isa;
    (void)type;
    return NULL;
}

#endif
