/* peaks.c - see peaks.h.
 *
 * Twelve accumulators hide the latency of two instructions a cycle. They have a name each, since
 * the compiler keeps no array in registers here, and an empty asm claims to change them: without it
 * the loop would be left out. */
#include "tests/bench/peaks.h"

#include <string.h>

#include "worker/engine/quant_inside.h"

#define CHAINS 12

#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define KEEP(constraint)                                                                           \
    __asm__ volatile(""                                                                            \
                     : constraint(a0), constraint(a1), constraint(a2), constraint(a3),             \
                       constraint(a4), constraint(a5), constraint(a6), constraint(a7),             \
                       constraint(a8), constraint(a9), constraint(a10), constraint(a11))

/* ---- any CPU ---- */

/* Four lanes that a compiler may or may not join to vectors. */
static void f32_plain(uint64_t rounds) {
    float a[CHAINS][4] = {{0}};
    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) {
            for (int k = 0; k < 4; k++)
                a[i][k] = a[i][k] * 0.5F + 1.0F;
            __asm__ volatile("" : "+m"(a[i]));
        }
}

static void int8_plain(uint64_t rounds) {
    int32_t a[CHAINS] = {0};
    volatile int8_t source = 3;
    int8_t x = source, y = (int8_t)(source + 1);
    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) {
            a[i] += x * y;
            __asm__ volatile("" : "+r"(a[i]));
        }
}

static uint64_t read_plain(const uint8_t *p, size_t bytes) {
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i += sizeof sum) {
        uint64_t x;
        memcpy(&x, p + i, sizeof x);
        sum += x;
    }
    return sum;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* ---- AVX2 ---- */

__attribute__((target("avx2,fma"))) static void f32_avx2(uint64_t rounds) {
    const __m256 x = _mm256_set1_ps(0.5F), y = _mm256_set1_ps(1.0F);
#define START(i) __m256 a##i = x;
#define ROUND(i) a##i = _mm256_fmadd_ps(a##i, x, y);
    EACH(START)
    for (uint64_t r = 0; r < rounds; r++) {
        EACH(ROUND)
        KEEP("+x");
    }
#undef START
#undef ROUND
}

/* Without dot products of bytes: unsigned times signed, pairs to 16 bits, pairs of those to 32. */
__attribute__((target("avx2"))) static void int8_avx2(uint64_t rounds) {
    const __m256i start = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i x = start;
#define START(i) __m256i a##i = start;
#define ROUND(i)                                                                                   \
    __asm__ volatile("" : "+x"(x)); /* or one product would do for all of them */                  \
    a##i = _mm256_add_epi32(a##i, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
    EACH(START)
    for (uint64_t r = 0; r < rounds; r++) {
        EACH(ROUND)
        KEEP("+x");
    }
#undef START
#undef ROUND
}

__attribute__((target("avx2"))) static uint64_t read_avx2(const uint8_t *p, size_t bytes) {
    __m256i a[8];
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_setzero_si256();
    for (size_t at = 0; at < bytes; at += sizeof a)
        for (size_t i = 0; i < 8; i++)
            a[i] = _mm256_xor_si256(
                a[i], _mm256_load_si256((const __m256i *)(const void *)(p + at + 32 * i)));
    for (int i = 1; i < 8; i++)
        a[0] = _mm256_xor_si256(a[0], a[i]);
    return (uint64_t)_mm256_extract_epi64(a[0], 0) ^ (uint64_t)_mm256_extract_epi64(a[0], 1) ^
           (uint64_t)_mm256_extract_epi64(a[0], 2) ^ (uint64_t)_mm256_extract_epi64(a[0], 3);
}

__attribute__((target("avxvnni,avx2"))) static void int8_avx_vnni(uint64_t rounds) {
    const __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2);
#define START(i) __m256i a##i = x;
#define ROUND(i) a##i = _mm256_dpbusd_avx_epi32(a##i, x, y);
    EACH(START)
    for (uint64_t r = 0; r < rounds; r++) {
        EACH(ROUND)
        KEEP("+x");
    }
#undef START
#undef ROUND
}

/* ---- AVX-512 ---- */

__attribute__((target("avx512f"))) static void f32_avx512(uint64_t rounds) {
    const __m512 x = _mm512_set1_ps(0.5F), y = _mm512_set1_ps(1.0F);
#define START(i) __m512 a##i = x;
#define ROUND(i) a##i = _mm512_fmadd_ps(a##i, x, y);
    EACH(START)
    for (uint64_t r = 0; r < rounds; r++) {
        EACH(ROUND)
        KEEP("+v");
    }
#undef START
#undef ROUND
}

__attribute__((target("avx512f,avx512vnni"))) static void int8_avx512_vnni(uint64_t rounds) {
    const __m512i x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-2);
#define START(i) __m512i a##i = x;
#define ROUND(i) a##i = _mm512_dpbusd_epi32(a##i, x, y);
    EACH(START)
    for (uint64_t r = 0; r < rounds; r++) {
        EACH(ROUND)
        KEEP("+v");
    }
#undef START
#undef ROUND
}

/* A full vector is a line of the cache, and two pages' lines are asked for at once: what the
 * prefetchers of one page leave idle, the other's use. */
__attribute__((target("avx512f"))) static uint64_t read_avx512(const uint8_t *p, size_t bytes) {
    __m512i a[8];
    for (int i = 0; i < 8; i++)
        a[i] = _mm512_setzero_si512();
    const uint8_t *q = p + bytes / 2;
    for (size_t at = 0; at < bytes / 2; at += sizeof a / 2)
        for (size_t i = 0; i < 4; i++) {
            a[i] = _mm512_xor_si512(a[i], _mm512_load_si512(p + at + 64 * i));
            a[i + 4] = _mm512_xor_si512(a[i + 4], _mm512_load_si512(q + at + 64 * i));
        }
    for (int i = 1; i < 8; i++)
        a[0] = _mm512_xor_si512(a[0], a[i]);
    return (uint64_t)_mm512_reduce_or_epi64(a[0]);
}
#endif

/* ---- choice ---- */

/* Operations of one round: chains * lanes * 2, or of bytes chains * 32-bit lanes * 4 * 2. */
const struct peak *peak_f32(void) {
    static const struct peak plain = {"plain C", CHAINS * 4 * 2, f32_plain};
#if defined(__x86_64__)
    static const struct peak avx2 = {"AVX2", CHAINS * 8 * 2, f32_avx2};
    static const struct peak avx512 = {"AVX-512", CHAINS * 16 * 2, f32_avx512};
    if (quant_isa_available(QUANT_ISA_AVX512))
        return &avx512;
    if (quant_isa_available(QUANT_ISA_AVX2))
        return &avx2;
#endif
    return &plain;
}

const struct peak *peak_int8(void) {
    static const struct peak plain = {"plain C", CHAINS * 2, int8_plain};
#if defined(__x86_64__)
    static const struct peak avx2 = {"AVX2", CHAINS * 32 * 2, int8_avx2};
    static const struct peak avx_vnni = {"AVX-VNNI", CHAINS * 32 * 2, int8_avx_vnni};
    static const struct peak avx512 = {"AVX-512 VNNI", CHAINS * 64 * 2, int8_avx512_vnni};
    if (quant_isa_available(QUANT_ISA_AVX512VNNI))
        return &avx512;
    if (quant_isa_available(QUANT_ISA_AVXVNNI))
        return &avx_vnni;
    if (quant_isa_available(QUANT_ISA_AVX2))
        return &avx2;
#endif
    return &plain;
}

uint64_t peak_read(const uint8_t *p, size_t bytes) {
#if defined(__x86_64__)
    if (quant_isa_available(QUANT_ISA_AVX512))
        return read_avx512(p, bytes);
    if (quant_isa_available(QUANT_ISA_AVX2))
        return read_avx2(p, bytes);
#endif
    return read_plain(p, bytes);
}
