/* tile_int_vec512.h - tile_int_body.h's operations on 512 bits, but for dots. */
#include <immintrin.h>

#include "worker/engine/tile_int_inside.h"

#define LANES 16
#define UNROLL _Pragma("GCC unroll 8")

typedef __m512i vec_i;
typedef __m512 vec_f;

static inline vec_i load(const uint8_t *p) {
    return _mm512_load_si512(p);
}

static inline vec_i no_words(void) {
    return _mm512_setzero_si512();
}

static inline vec_i all_bytes(int b) {
    return _mm512_set1_epi8((char)b);
}

static inline vec_i all_words(int32_t w) {
    return _mm512_set1_epi32(w);
}

/* The four bytes at p, in every lane. */
static inline vec_i all_words_at(const void *p) {
    return _mm512_broadcastd_epi32(_mm_loadu_si32(p));
}

static inline vec_i and (vec_i a, vec_i b) {
    return _mm512_and_si512(a, b);
}

static inline vec_i xor (vec_i a, vec_i b) { return _mm512_xor_si512(a, b); }

    /* a | (b & mask) */
    static inline vec_i or_masked(vec_i a, vec_i b, vec_i mask) {
    return _mm512_ternarylogic_epi64(a, b, mask, 0xf8);
}

static inline vec_i shift_left(vec_i x, int n) {
    return _mm512_slli_epi16(x, n);
}

static inline vec_i shift_right(vec_i x, int n) {
    return _mm512_srli_epi16(x, n);
}

static inline vec_i looked_up(vec_i numbers) {
    static const uint8_t table[16] = {TILE_INT_TABLE};
    __m128i values = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), numbers);
}

static inline vec_i add_words(vec_i a, vec_i b) {
    return _mm512_add_epi32(a, b);
}

/* a's two 16-bit numbers times b's, added. */
static inline vec_i multiply_pairs(vec_i a, vec_i b) {
    return _mm512_madd_epi16(a, b);
}

static inline vec_f load_halves(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)p));
}

static inline vec_f load_unsigned(const uint8_t *p) {
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

static inline vec_f load_signed(const uint8_t *p) {
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

static inline vec_f all_floats(float f) {
    return _mm512_set1_ps(f);
}

static inline vec_f load_floats(const float *p) {
    return _mm512_loadu_ps(p);
}

static inline void store_floats(float *p, vec_f x) {
    _mm512_storeu_ps(p, x);
}

static inline vec_f to_floats(vec_i x) {
    return _mm512_cvtepi32_ps(x);
}

static inline vec_f times(vec_f a, vec_f b) {
    return _mm512_mul_ps(a, b);
}

static inline vec_f plus(vec_f a, vec_f b) {
    return _mm512_add_ps(a, b);
}

static inline vec_f negative(vec_f a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}

static inline vec_f fused(vec_f a, vec_f b, vec_f c) {
    return _mm512_fmadd_ps(a, b, c);
}
