/* quant.c - the tensor types: their sizes, the definitions of the plain ones, and the choice of a
 * kernel.
 *
 * A definition here is one multiplication and at most one addition per value, each rounded on its
 * own (never fused), so that every kernel can reproduce it to the bit. These files are compiled
 * with -ffp-contract=off for that reason. Which NaN comes out where a scale is NaN is left open. */
#include "worker/engine/quant_inside.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "common/log.h"
#include "common/must.h"

const struct quant_traits *quant_traits(uint32_t type_id) {
    static const struct quant_traits table[] = {
        [QUANT_F32] = {"F32", 1, 4},         [QUANT_F16] = {"F16", 1, 2},
        [QUANT_Q4_0] = {"Q4_0", 32, 18},     [QUANT_Q4_1] = {"Q4_1", 32, 20},
        [QUANT_Q5_0] = {"Q5_0", 32, 22},     [QUANT_Q5_1] = {"Q5_1", 32, 24},
        [QUANT_Q8_0] = {"Q8_0", 32, 34},     [QUANT_Q2_K] = {"Q2_K", 256, 84},
        [QUANT_Q3_K] = {"Q3_K", 256, 110},   [QUANT_Q4_K] = {"Q4_K", 256, 144},
        [QUANT_Q5_K] = {"Q5_K", 256, 176},   [QUANT_Q6_K] = {"Q6_K", 256, 210},
        [QUANT_IQ4_NL] = {"IQ4_NL", 32, 18}, [QUANT_IQ4_XS] = {"IQ4_XS", 256, 136},
        [QUANT_BF16] = {"BF16", 1, 2},
    };
    if (type_id >= sizeof table / sizeof table[0] || table[type_id].block == 0)
        return NULL;
    return &table[type_id];
}

size_t quant_row_bytes(enum quant_type type, size_t n) {
    const struct quant_traits *t = quant_traits(type);
    MUST(t != NULL);
    return n / t->block * t->block_bytes;
}

/* ---- halves ---- */

float quant_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 31, fraction = h & 0x3ff;
    if (exponent == 31) /* infinity, or a NaN, which becomes quiet as the hardware's does */
        return quant_float_of_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent != 0)
        return quant_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction * 0x1p-24f; /* zero or subnormal: exact */
    return quant_float_of_bits(sign | quant_bits_of_float(small));
}

uint16_t quant_float_to_half(float f) {
    uint32_t bits = quant_bits_of_float(f);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN: quiet, upper fraction bits kept */
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) {
        /* Below 2^-14: adding 0.5 puts the subnormal half's last bit at the float's last bit, so
         * that the addition rounds to nearest even. */
        float sum = quant_float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (quant_bits_of_float(sum) - 0x3f000000));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded >> 13) - (112 << 10)));
}

/* ---- definitions ---- */

static void expand_f32(const uint8_t *src, float *dst, size_t blocks) {
    memcpy(dst, src, blocks * sizeof *dst);
}

static void expand_f16(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t i = 0; i < blocks; i++)
        dst[i] = quant_half_to_float(quant_u16(src + 2 * i));
}

static void expand_bf16(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t i = 0; i < blocks; i++)
        dst[i] = quant_float_of_bits((uint32_t)quant_u16(src + 2 * i) << 16);
}

static void expand_q4_0(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 18, dst += 32) {
        float d = quant_half_to_float(quant_u16(src));
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)((src[2 + j] & 15) - 8);
            dst[j + 16] = d * (float)((src[2 + j] >> 4) - 8);
        }
    }
}

static void expand_q4_1(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 20, dst += 32) {
        float d = quant_half_to_float(quant_u16(src));
        float m = quant_half_to_float(quant_u16(src + 2));
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)(src[4 + j] & 15) + m;
            dst[j + 16] = d * (float)(src[4 + j] >> 4) + m;
        }
    }
}

static void expand_q5_0(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 22, dst += 32) {
        float d = quant_half_to_float(quant_u16(src));
        uint32_t high = quant_u32(src + 2);
        for (int j = 0; j < 16; j++) {
            int lo = (src[6 + j] & 15) | (int)(high >> j & 1) << 4;
            int hi = src[6 + j] >> 4 | (int)(high >> (j + 16) & 1) << 4;
            dst[j] = d * (float)(lo - 16);
            dst[j + 16] = d * (float)(hi - 16);
        }
    }
}

static void expand_q5_1(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 24, dst += 32) {
        float d = quant_half_to_float(quant_u16(src));
        float m = quant_half_to_float(quant_u16(src + 2));
        uint32_t high = quant_u32(src + 4);
        for (int j = 0; j < 16; j++) {
            int lo = (src[8 + j] & 15) | (int)(high >> j & 1) << 4;
            int hi = src[8 + j] >> 4 | (int)(high >> (j + 16) & 1) << 4;
            dst[j] = d * (float)lo + m;
            dst[j + 16] = d * (float)hi + m;
        }
    }
}

static void expand_q8_0(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 34, dst += 32) {
        float d = quant_half_to_float(quant_u16(src));
        for (int j = 0; j < 32; j++)
            dst[j] = d * (float)(int8_t)src[2 + j];
    }
}

const int8_t quant_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

static void expand_iq4_nl(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 18, dst += 32) {
        float d = quant_half_to_float(quant_u16(src));
        for (int j = 0; j < 16; j++) {
            dst[j] = d * (float)quant_iq4_values[src[2 + j] & 15];
            dst[j + 16] = d * (float)quant_iq4_values[src[2 + j] >> 4];
        }
    }
}

static quant_expander *definition(enum quant_type type) {
    switch (type) {
    case QUANT_F32:
        return expand_f32;
    case QUANT_F16:
        return expand_f16;
    case QUANT_BF16:
        return expand_bf16;
    case QUANT_Q4_0:
        return expand_q4_0;
    case QUANT_Q4_1:
        return expand_q4_1;
    case QUANT_Q5_0:
        return expand_q5_0;
    case QUANT_Q5_1:
        return expand_q5_1;
    case QUANT_Q8_0:
        return expand_q8_0;
    case QUANT_Q2_K:
        return quant_expand_q2_k;
    case QUANT_Q3_K:
        return quant_expand_q3_k;
    case QUANT_Q4_K:
        return quant_expand_q4_k;
    case QUANT_Q5_K:
        return quant_expand_q5_k;
    case QUANT_Q6_K:
        return quant_expand_q6_k;
    case QUANT_IQ4_NL:
        return expand_iq4_nl;
    case QUANT_IQ4_XS:
        return quant_expand_iq4_xs;
    }
    MUST(!"a known tensor type");
    return NULL;
}

/* ---- the choice ---- */

#if defined(__x86_64__)
/* Not every compiler's __builtin_cpu_supports knows these two. */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

static bool has_avxvnni(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
}
#endif

bool quant_isa_available(enum quant_isa isa) {
#if defined(__x86_64__)
    if (isa == QUANT_ISA_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (isa == QUANT_ISA_AVXVNNI)
        return quant_isa_available(QUANT_ISA_AVX2) && has_avxvnni();
    if (isa == QUANT_ISA_AVX512)
        return quant_isa_available(QUANT_ISA_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq");
    if (isa == QUANT_ISA_AVX512VNNI)
        return quant_isa_available(QUANT_ISA_AVX512) && __builtin_cpu_supports("avx512vnni");
#endif
    return isa == QUANT_ISA_PORTABLE;
}

static enum quant_isa choose_isa(void) {
    static const char *const names[QUANT_ISAS] = {"portable", "avx2", "avxvnni", "avx512",
                                                  "avx512vnni"};
    int best = QUANT_ISAS - 1;
    while (!quant_isa_available((enum quant_isa)best))
        best--;
    const char *wish = getenv("QUIRE_ISA");
    if (wish == NULL || wish[0] == '\0')
        return (enum quant_isa)best;
    for (int i = 0; i < QUANT_ISAS; i++)
        if (strcmp(wish, names[i]) == 0 && quant_isa_available((enum quant_isa)i))
            return (enum quant_isa)i;
    log_warn("isa-ignored", "QUIRE_ISA=%s is unknown or not this CPU's; using %s", wish,
             names[best]);
    return (enum quant_isa)best;
}

enum quant_isa quant_isa_chosen(void) {
    /* Threads that race here compute the same value. */
    static atomic_int chosen = -1;
    int isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (isa < 0) {
        isa = (int)choose_isa();
        atomic_store_explicit(&chosen, isa, memory_order_relaxed);
    }
    return (enum quant_isa)isa;
}

quant_expander *quant_expander_for(enum quant_isa isa, enum quant_type type) {
    for (int i = (int)isa; i > (int)QUANT_ISA_PORTABLE; i--) {
        quant_expander *f = quant_simd_expander((enum quant_isa)i, type);
        if (f != NULL)
            return f;
    }
    return definition(type);
}

void quant_expand_row(enum quant_type type, const void *src, float *dst, size_t n) {
    const struct quant_traits *t = quant_traits(type);
    MUST(t != NULL);
    quant_expander_for(quant_isa_chosen(), type)(src, dst, n / t->block);
}

void quant_expand_row_reference(enum quant_type type, const void *src, float *dst, size_t n) {
    const struct quant_traits *t = quant_traits(type);
    MUST(t != NULL);
    definition(type)(src, dst, n / t->block);
}
