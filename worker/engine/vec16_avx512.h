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

/* ---- values of weights ---- */

V_INLINE vec16 v_load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
V_INLINE vec16 v_load_half_n(const uint16_t *p, int32_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v_mask(n), p));
}
V_INLINE void v_store_half_n(uint16_t *p, vec16 a, int32_t n) {
    _mm256_mask_storeu_epi16(p, v_mask(n),
                             _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V_INLINE vec16 v_load_bf16(const uint16_t *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V_INLINE vec16 v_load_bf16_n(const uint16_t *p, int32_t n) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(v_mask(n), p));
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

/* Small whole numbers, one to a lane. */
typedef __m512i vec16i;
V_INLINE vec16i v_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
V_INLINE vec16i v_low_nibbles(vec16i bytes) {
    return _mm512_and_si512(bytes, _mm512_set1_epi32(15));
}
V_INLINE vec16i v_high_nibbles(vec16i bytes) {
    return _mm512_srli_epi32(bytes, 4);
}
/* adds 16 in lane i when bit i of bits is set */
V_INLINE vec16i v_add_bit4(vec16i a, uint32_t bits) {
    return _mm512_mask_or_epi32(a, (__mmask16)bits, a, _mm512_set1_epi32(16));
}
V_INLINE vec16 v_float_minus(vec16i a, int32_t offset) {
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(a, _mm512_set1_epi32(offset)));
}
/* Tables of sixteen values: picking one is cheaper than making it. */
#define V_TABLES 1
V_INLINE vec16 v_steps(float first) { /* first, first + 1, ... */
    return _mm512_add_ps(_mm512_set1_ps(first),
                         _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}
V_INLINE vec16 v_pick(vec16 table, vec16i index) { /* by the low four bits */
    return _mm512_permutexvar_ps(index, table);
}
/* the same from `set` in lanes whose bit is set, from `clear` in the others */
V_INLINE vec16 v_pick_either(vec16 clear, vec16 set, uint32_t bits, vec16i index) {
    return _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(index, clear), (__mmask16)bits, index,
                                      set);
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
V_INLINE void v_sum4(vec16 a, vec16 b, vec16 c, vec16 d, float out[4]) {
    __m128 a4 = v_sum_to_4(a), b4 = v_sum_to_4(b), c4 = v_sum_to_4(c), d4 = v_sum_to_4(d);
    _MM_TRANSPOSE4_PS(a4, b4, c4, d4);
    _mm_storeu_ps(out, _mm_add_ps(_mm_add_ps(a4, c4), _mm_add_ps(b4, d4)));
}
V_INLINE float v_highest(vec16 a) {
    __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

#endif
