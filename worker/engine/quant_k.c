/* quant_k.c - the definitions of the types with 256 values in a block.
 *
 * Each has sub-blocks of 16 or 32 values with small integer scales; scale * d is rounded first,
 * then multiplied by the value, then the minimum is taken off. */
#include "worker/engine/quant_inside.h"

void quant_expand_q2_k(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 84) {
        const uint8_t *scales = src, *qs = src + 16;
        float d = quant_half_to_float(quant_u16(src + 80));
        float dmin = quant_half_to_float(quant_u16(src + 82));
        for (int g = 0; g < 16; g++, dst += 16) { /* 8 groups to a half of 32 bytes */
            const uint8_t *q = qs + 32 * (g / 8) + 16 * (g % 2);
            int shift = 2 * (g % 8 / 2);
            float scale = d * (float)(scales[g] & 15), minimum = dmin * (float)(scales[g] >> 4);
            for (int l = 0; l < 16; l++)
                dst[l] = scale * (float)(q[l] >> shift & 3) - minimum;
        }
    }
}

void quant_expand_q3_k(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 110) {
        const uint8_t *mask = src, *qs = src + 32, *s = src + 96;
        float d = quant_half_to_float(quant_u16(src + 108));
        for (int g = 0; g < 16; g++, dst += 16) {
            int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
            int scale = low | (s[8 + g % 4] >> (2 * (g / 4)) & 3) << 4;
            const uint8_t *q = qs + 32 * (g / 8) + 16 * (g % 2), *h = mask + 16 * (g % 2);
            int shift = 2 * (g % 8 / 2), bit = g / 2;
            float dl = d * (float)(scale - 32);
            for (int l = 0; l < 16; l++)
                dst[l] = dl * (float)((q[l] >> shift & 3) - (h[l] >> bit & 1 ? 0 : 4));
        }
    }
}

void quant_expand_q4_k(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 144) {
        float d = quant_half_to_float(quant_u16(src));
        float dmin = quant_half_to_float(quant_u16(src + 2));
        for (int j = 0; j < 8; j++, dst += 32) {
            const uint8_t *q = src + 16 + 32 * (j / 2);
            int shift = 4 * (j % 2);
            uint8_t sc, mn;
            quant_k_scale(src + 4, j, &sc, &mn);
            float scale = d * (float)sc, minimum = dmin * (float)mn;
            for (int l = 0; l < 32; l++)
                dst[l] = scale * (float)(q[l] >> shift & 15) - minimum;
        }
    }
}

void quant_expand_q5_k(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 176) {
        const uint8_t *high = src + 16;
        float d = quant_half_to_float(quant_u16(src));
        float dmin = quant_half_to_float(quant_u16(src + 2));
        for (int j = 0; j < 8; j++, dst += 32) {
            const uint8_t *q = src + 48 + 32 * (j / 2);
            int shift = 4 * (j % 2);
            uint8_t sc, mn;
            quant_k_scale(src + 4, j, &sc, &mn);
            float scale = d * (float)sc, minimum = dmin * (float)mn;
            for (int l = 0; l < 32; l++)
                dst[l] = scale * (float)((q[l] >> shift & 15) | (high[l] >> j & 1) << 4) - minimum;
        }
    }
}

void quant_expand_q6_k(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 210) {
        float d = quant_half_to_float(quant_u16(src + 208));
        for (int g = 0; g < 16; g++, dst += 16) { /* 8 groups to a half */
            int part = g % 8 / 2;                 /* which 32 of the half's 128 */
            const uint8_t *low = src + 64 * (g / 8) + 32 * (part % 2) + 16 * (g % 2);
            const uint8_t *high = src + 128 + 32 * (g / 8) + 16 * (g % 2);
            float scale = d * (float)(int8_t)src[192 + g];
            for (int l = 0; l < 16; l++) {
                int lo = low[l] >> (4 * (part / 2)) & 15, hi = high[l] >> (2 * part) & 3;
                dst[l] = scale * (float)((lo | hi << 4) - 32);
            }
        }
    }
}

void quant_expand_iq4_xs(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 136) {
        float d = quant_half_to_float(quant_u16(src));
        uint16_t scales_high = quant_u16(src + 2);
        for (int ib = 0; ib < 8; ib++, dst += 32) {
            const uint8_t *q = src + 8 + 16 * ib;
            int low = src[4 + ib / 2] >> (4 * (ib % 2)) & 15;
            int scale = low | (scales_high >> (2 * ib) & 3) << 4;
            float dl = d * (float)(scale - 32);
            for (int j = 0; j < 16; j++) {
                dst[j] = dl * (float)quant_iq4_values[q[j] & 15];
                dst[j + 16] = dl * (float)quant_iq4_values[q[j] >> 4];
            }
        }
    }
}
