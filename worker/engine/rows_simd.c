/* rows_simd.c - rows_quantise with AVX2 and AVX-512, equal to the portable version to the bit.
 *
 * Largest magnitudes are found among the bits of floats, whose order is that of the magnitudes, so
 * that a NaN is the largest of all. */
#include "worker/engine/rows_inside.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq")))

static void put_zeros(int8_t *q, int16_t *sums) {
    memset(q, 0, ROWS_BLOCK * sizeof *q);
    sums[0] = sums[1] = 0;
}

TARGET_AVX2 static inline __m256i magnitudes(const float *x) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x)), _mm256_set1_epi32(0x7fffffff));
}

TARGET_AVX2 static inline float largest_of(__m128i m) {
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return quant_float_of_bits((uint32_t)_mm_cvtsi128_si32(m));
}

TARGET_AVX2 static inline __m256i numbers(const float *x, __m256 inverse) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
}

/* 16 values from x on; returns their sum. */
TARGET_AVX2 static inline int16_t put_half(const float *x, __m256 inverse, int8_t *q) {
    __m256i shorts = _mm256_packs_epi32(numbers(x, inverse), numbers(x + 8, inverse));
    shorts = _mm256_permute4x64_epi64(shorts, 0xd8);
    __m128i low = _mm256_castsi256_si128(shorts), high = _mm256_extracti128_si256(shorts, 1);
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(low, high));
    __m128i sum = _mm_madd_epi16(_mm_add_epi16(low, high), _mm_set1_epi16(1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return (int16_t)_mm_cvtsi128_si32(sum);
}

TARGET_AVX2 static void quantise_avx2(const float *x, size_t blocks, int8_t *q, float *scale,
                                      int16_t *sums) {
    for (; blocks > 0; blocks--, x += ROWS_BLOCK, q += ROWS_BLOCK, scale++, sums += 2) {
        __m256i m = _mm256_max_epu32(_mm256_max_epu32(magnitudes(x), magnitudes(x + 8)),
                                     _mm256_max_epu32(magnitudes(x + 16), magnitudes(x + 24)));
        float most =
            largest_of(_mm_max_epu32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1)));
        float inverse = rows_block_scale(most, scale);
        if (inverse == 0) {
            put_zeros(q, sums);
            continue;
        }
        sums[0] = put_half(x, _mm256_set1_ps(inverse), q);
        sums[1] = put_half(x + 16, _mm256_set1_ps(inverse), q + 16);
    }
}

TARGET_AVX512 static inline int16_t put_sixteen(__m512 x, __m512 inverse, int8_t *q) {
    __m512i numbers = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(numbers));
    return (int16_t)_mm512_reduce_add_epi32(numbers);
}

TARGET_AVX512 static void quantise_avx512(const float *x, size_t blocks, int8_t *q, float *scale,
                                          int16_t *sums) {
    const __m512i all = _mm512_set1_epi32(0x7fffffff);
    for (; blocks > 0; blocks--, x += ROWS_BLOCK, q += ROWS_BLOCK, scale++, sums += 2) {
        __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
        __m512i m = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), all),
                                     _mm512_and_si512(_mm512_castps_si512(b), all));
        float most = quant_float_of_bits(_mm512_reduce_max_epu32(m));
        float inverse = rows_block_scale(most, scale);
        if (inverse == 0) {
            put_zeros(q, sums);
            continue;
        }
        sums[0] = put_sixteen(a, _mm512_set1_ps(inverse), q);
        sums[1] = put_sixteen(b, _mm512_set1_ps(inverse), q + 16);
    }
}

rows_quantiser *rows_simd_quantiser(enum quant_isa isa) {
    if (isa >= QUANT_ISA_AVX512)
        return quantise_avx512;
    return isa >= QUANT_ISA_AVX2 ? quantise_avx2 : NULL;
}

#else

rows_quantiser *rows_simd_quantiser(enum quant_isa isa) {
    (void)isa;
    return NULL;
}

#endif
