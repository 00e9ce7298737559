/* vec16_avx512.h - vec16.h in one register. */
#ifndef QUIRE_ENGINE_VEC16_AVX512_H
#define QUIRE_ENGINE_VEC16_AVX512_H

#include <immintrin.h>

typedef __m512 vec16;

V_INLINE __mmask16 v_mask(int32_t n) { /* the first n lanes, n <= 16 */
    return (__mmask16)((1U << n) - 1U);
}
V_INLINE vec16 v_set1(float f) {
    return _mm512_set1_ps(f);
}
V_INLINE vec16 v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V_INLINE vec16 v_load_n(const float *p, int32_t n) { /* the rest is zero */
    return _mm512_maskz_loadu_ps(v_mask(n), p);
}
V_INLINE void v_store(float *p, vec16 a) {
    _mm512_storeu_ps(p, a);
}
V_INLINE void v_store_n(float *p, vec16 a, int32_t n) {
    _mm512_mask_storeu_ps(p, v_mask(n), a);
}
V_INLINE vec16 v_add(vec16 a, vec16 b) {
    return _mm512_add_ps(a, b);
}
V_INLINE vec16 v_sub(vec16 a, vec16 b) {
    return _mm512_sub_ps(a, b);
}
V_INLINE vec16 v_mul(vec16 a, vec16 b) {
    return _mm512_mul_ps(a, b);
}
V_INLINE vec16 v_div(vec16 a, vec16 b) {
    return _mm512_div_ps(a, b);
}
V_INLINE vec16 v_max(vec16 a, vec16 b) {
    return _mm512_max_ps(a, b);
}
V_INLINE vec16 v_min(vec16 a, vec16 b) {
    return _mm512_min_ps(a, b);
}
V_INLINE vec16 v_fma(vec16 a, vec16 b, vec16 c) { /* a * b + c */
    return _mm512_fmadd_ps(a, b, c);
}
V_INLINE vec16 v_round(vec16 a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V_INLINE vec16 v_power_of_two(vec16 n) { /* n whole, -126..127 */
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
/* p * 2^n; n: the lowest bits of shifted, which is n + 1.5 * 2^23 */
V_INLINE vec16 v_times_power(vec16 p, vec16 shifted) {
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
}

/* ---- numbers of other types ---- */

V_INLINE vec16 v_load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
V_INLINE void v_store_half_n(uint16_t *p, vec16 a, int32_t n) {
    _mm256_mask_storeu_epi16(p, v_mask(n),
                             _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_INLINE vec16 v_load_bf16(const uint16_t *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V_INLINE vec16 v_set1_half(const uint8_t *p) { /* one half in all lanes */
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)h));
}
V_INLINE vec16 v_load_i8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* ---- sums over lanes: 16 -> 8 -> 4 -> 2 -> 1, the upper half added to the lower each time ---- */

V_INLINE __m128 v_sum_to_4(vec16 a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    return _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
}
V_INLINE float v_sum(vec16 a) {
    __m128 b = v_sum_to_4(a);
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
V_INLINE float v_highest(vec16 a) {
    __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

#endif
