/* resize_kernels.c - weighted sums of bytes: portable, and for AVX2. */
#include "worker/image/resize_kernels.h"

#define HALF (1 << (RESIZE_BITS - 1))

static uint8_t clip(int32_t sum) {
    int32_t v = sum >> RESIZE_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void mix_rows_portable(const uint8_t *src, size_t stride, const int32_t *weights,
                              int32_t taps, uint8_t *dst, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int32_t sum = HALF;
        for (int32_t k = 0; k < taps; k++)
            sum += weights[k] * src[(size_t)k * stride + i];
        dst[i] = clip(sum);
    }
}

static void mix_columns_portable(const uint8_t *src, const int32_t *weights, int32_t taps,
                                 uint8_t *dst) {
    mix_rows_portable(src, RESIZE_LANES, weights, taps, dst, RESIZE_LANES);
}

const struct resize_kernels resize_kernels_portable = {mix_columns_portable, mix_rows_portable};

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i add_product(__m256i sum, const uint8_t *p, __m256i weight) {
    __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    return _mm256_add_epi32(sum, _mm256_mullo_epi32(bytes, weight));
}

/* 32 sums, in order a, b, c, d, to 32 bytes. The packs saturate, which is the clipping. */
AVX2 static inline void store_32(__m256i a, __m256i b, __m256i c, __m256i d, uint8_t *dst) {
    __m256i ab =
        _mm256_packs_epi32(_mm256_srai_epi32(a, RESIZE_BITS), _mm256_srai_epi32(b, RESIZE_BITS));
    __m256i cd =
        _mm256_packs_epi32(_mm256_srai_epi32(c, RESIZE_BITS), _mm256_srai_epi32(d, RESIZE_BITS));
    __m256i mixed = _mm256_packus_epi16(ab, cd); /* dwords a0 b0 c0 d0 a1 b1 c1 d1 */
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i *)(void *)dst, _mm256_permutevar8x32_epi32(mixed, order));
}

AVX2 static inline void store_16(__m256i a, __m256i b, uint8_t *dst) {
    __m256i ab =
        _mm256_packs_epi32(_mm256_srai_epi32(a, RESIZE_BITS), _mm256_srai_epi32(b, RESIZE_BITS));
    __m256i mixed = _mm256_packus_epi16(ab, ab); /* a0 b0 a0 b0 a1 b1 a1 b1 */
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5);
    __m256i bytes = _mm256_permutevar8x32_epi32(mixed, order);
    _mm_storeu_si128((__m128i *)(void *)dst, _mm256_castsi256_si128(bytes));
}

AVX2 static void mix_columns_avx2(const uint8_t *src, const int32_t *weights, int32_t taps,
                                  uint8_t *dst) {
    __m256i half = _mm256_set1_epi32(HALF);
    __m256i s0 = half, s1 = half, s2 = half, s3 = half, s4 = half, s5 = half;
    for (int32_t k = 0; k < taps; k++) {
        __m256i w = _mm256_set1_epi32(weights[k]);
        s0 = add_product(s0, src, w);
        s1 = add_product(s1, src + 8, w);
        s2 = add_product(s2, src + 16, w);
        s3 = add_product(s3, src + 24, w);
        s4 = add_product(s4, src + 32, w);
        s5 = add_product(s5, src + 40, w);
        src += RESIZE_LANES;
    }
    store_32(s0, s1, s2, s3, dst);
    store_16(s4, s5, dst + 32);
}

AVX2 static void mix_rows_avx2(const uint8_t *src, size_t stride, const int32_t *weights,
                               int32_t taps, uint8_t *dst, size_t n) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i half = _mm256_set1_epi32(HALF);
        __m256i s0 = half, s1 = half, s2 = half, s3 = half;
        for (int32_t k = 0; k < taps; k++) {
            const uint8_t *p = src + (size_t)k * stride + i;
            __m256i w = _mm256_set1_epi32(weights[k]);
            s0 = add_product(s0, p, w);
            s1 = add_product(s1, p + 8, w);
            s2 = add_product(s2, p + 16, w);
            s3 = add_product(s3, p + 24, w);
        }
        store_32(s0, s1, s2, s3, dst + i);
    }
    mix_rows_portable(src + i, stride, weights, taps, dst + i, n - i);
}

static const struct resize_kernels kernels_avx2 = {mix_columns_avx2, mix_rows_avx2};

const struct resize_kernels *resize_kernels_best(void) {
    return __builtin_cpu_supports("avx2") ? &kernels_avx2 : &resize_kernels_portable;
}
#else
const struct resize_kernels *resize_kernels_best(void) {
    return &resize_kernels_portable;
}
#endif
