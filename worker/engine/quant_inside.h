/* quant_inside.h - how expansion is put together; for quant*.c and their test only. */
#ifndef QUIRE_ENGINE_QUANT_INSIDE_H
#define QUIRE_ENGINE_QUANT_INSIDE_H

#include <string.h>

#include "worker/engine/quant.h"

/* Expands `blocks` whole blocks. */
typedef void quant_expander(const uint8_t *src, float *dst, size_t blocks);

/* Each needs all that those before it need, but for one thing: AVX512 can lack AVXVNNI's 256-bit
 * dot products of bytes, which it has no use for. */
enum quant_isa {
    QUANT_ISA_PORTABLE,
    QUANT_ISA_AVX2, /* with FMA and F16C */
    QUANT_ISA_AVXVNNI,
    QUANT_ISA_AVX512, /* F, BW, DQ, VL */
    QUANT_ISA_AVX512VNNI,
};
#define QUANT_ISAS 5

/* Whether this CPU can run it. */
bool quant_isa_available(enum quant_isa isa);
/* The best one available, or what the environment variable QUIRE_ISA (portable, avx2, avxvnni,
 * avx512, avx512vnni) says if it is available. Decided at the first call. */
enum quant_isa quant_isa_chosen(void);
/* The expander of a type for one instruction set; it falls back to lesser sets, never NULL. */
quant_expander *quant_expander_for(enum quant_isa isa, enum quant_type type);

/* The definitions of the K types and IQ4_XS (quant_k.c). */
quant_expander quant_expand_q2_k, quant_expand_q3_k, quant_expand_q4_k, quant_expand_q5_k,
    quant_expand_q6_k, quant_expand_iq4_xs;

/* The SIMD versions (quant_simd.c); NULL where there is none for that type or this architecture. */
quant_expander *quant_simd_expander(enum quant_isa isa, enum quant_type type);

/* The 16 values of IQ4_NL and IQ4_XS. */
extern const int8_t quant_iq4_values[16];

/* Scale and minimum of sub-block j (0..7) of Q4_K and Q5_K from their 12 packed bytes. */
static inline void quant_k_scale(const uint8_t *s, int j, uint8_t *scale, uint8_t *minimum) {
    if (j < 4) {
        *scale = s[j] & 63;
        *minimum = s[j + 4] & 63;
    } else {
        *scale = (uint8_t)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *minimum = (uint8_t)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
    }
}

static inline float quant_float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t quant_bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline uint16_t quant_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t quant_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
