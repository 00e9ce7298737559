/* vec16_avx2.h - vec16.h in two registers. */
#ifndef QUIRE_ENGINE_VEC16_AVX2_H
#define QUIRE_ENGINE_VEC16_AVX2_H

#include <immintrin.h>

typedef struct {
    __m256 lo, hi;
} vec16;

V_INLINE vec16 v_pair(__m256 lo, __m256 hi) {
    return (vec16){lo, hi};
}
V_INLINE vec16 v_set1(float f) {
    __m256 a = _mm256_set1_ps(f);
    return v_pair(a, a);
}
V_INLINE vec16 v_load(const float *p) {
    return v_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
V_INLINE vec16 v_load_n(const float *p, int32_t n) { /* the rest is zero */
    float full[V_LANES] = {0};
    memcpy(full, p, (size_t)n * sizeof *p);
    return v_load(full);
}
V_INLINE void v_store(float *p, vec16 a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
V_INLINE void v_store_n(float *p, vec16 a, int32_t n) {
    float full[V_LANES];
    v_store(full, a);
    memcpy(p, full, (size_t)n * sizeof *p);
}
V_INLINE vec16 v_add(vec16 a, vec16 b) {
    return v_pair(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}
V_INLINE vec16 v_sub(vec16 a, vec16 b) {
    return v_pair(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}
V_INLINE vec16 v_mul(vec16 a, vec16 b) {
    return v_pair(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}
V_INLINE vec16 v_div(vec16 a, vec16 b) {
    return v_pair(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}
V_INLINE vec16 v_max(vec16 a, vec16 b) {
    return v_pair(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}
V_INLINE vec16 v_min(vec16 a, vec16 b) {
    return v_pair(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi));
}
V_INLINE vec16 v_fma(vec16 a, vec16 b, vec16 c) { /* a * b + c */
    return v_pair(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
V_INLINE vec16 v_round(vec16 a) {
    return v_pair(_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                  _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_INLINE __m256 v_power8(__m256 n) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
V_INLINE vec16 v_power_of_two(vec16 n) { /* n whole, -126..127 */
    return v_pair(v_power8(n.lo), v_power8(n.hi));
}
V_INLINE __m256 v_times_power8(__m256 p, __m256 shifted) {
    return _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}
/* p * 2^n; n: the lowest bits of shifted, which is n + 1.5 * 2^23 */
V_INLINE vec16 v_times_power(vec16 p, vec16 shifted) {
    return v_pair(v_times_power8(p.lo, shifted.lo), v_times_power8(p.hi, shifted.hi));
}

/* ---- numbers of other types ---- */

V_INLINE vec16 v_load_half(const uint16_t *p) {
    return v_pair(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
V_INLINE void v_store_half_n(uint16_t *p, vec16 a, int32_t n) {
    uint16_t full[V_LANES];
    _mm_storeu_si128((__m128i *)full, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(full + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
    memcpy(p, full, (size_t)n * sizeof *p);
}
V_INLINE __m256 v_bf16_8(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
V_INLINE vec16 v_load_bf16(const uint16_t *p) {
    return v_pair(v_bf16_8(p), v_bf16_8(p + 8));
}
V_INLINE vec16 v_set1_half(const uint8_t *p) { /* one half in all lanes */
    uint16_t h;
    memcpy(&h, p, sizeof h);
    __m256 a = _mm256_cvtph_ps(_mm_set1_epi16((short)h));
    return v_pair(a, a);
}
V_INLINE __m256 v_i8_8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
V_INLINE vec16 v_load_i8(const uint8_t *p) {
    return v_pair(v_i8_8(p), v_i8_8(p + 8));
}

/* ---- sums over lanes: 16 -> 8 -> 4 -> 2 -> 1, the upper half added to the lower each time ---- */

V_INLINE __m128 v_sum_to_4(vec16 a) {
    __m256 b = _mm256_add_ps(a.lo, a.hi);
    return _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
}
V_INLINE float v_sum(vec16 a) {
    __m128 b = v_sum_to_4(a);
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
V_INLINE float v_highest(vec16 a) {
    __m256 b = _mm256_max_ps(a.lo, a.hi);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

#endif
