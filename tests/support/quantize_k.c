/* quantize_k.c - Q4_K and Q6_K blocks: the plain way, each group by its own extremes. */
#include "tests/support/quantize_k.h"

#include <math.h>
#include <string.h>

#include "tests/support/quantize.h"

#define BLOCK 256

static void put_half(uint8_t *p, float f) {
    uint16_t h = quant_float_to_half(f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

static float inverse(float x) {
    return x != 0 ? 1 / x : 0;
}

static int rounded(float x, int least, int most) {
    int q = (int)lrintf(x);
    return q < least ? least : q > most ? most : q;
}

/* Six-bit scale and minimum of group j, 0..7, of the eight in 12 bytes. */
static void put_scale(uint8_t *p, int j, int scale, int minimum) {
    if (j < 4) {
        p[j] = (uint8_t)(p[j] | scale);
        p[j + 4] = (uint8_t)(p[j + 4] | minimum);
        return;
    }
    p[j + 4] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
    p[j - 4] = (uint8_t)(p[j - 4] | (scale >> 4) << 6);
    p[j] = (uint8_t)(p[j] | (minimum >> 4) << 6);
}

void quantize_block_q4_k(const float *x, uint8_t *dst) {
    float step[8], below[8], most_step = 0, most_below = 0;
    for (int j = 0; j < 8; j++) {
        float low = 0, high = 0;
        for (int l = 0; l < 32; l++) {
            low = fminf(low, x[32 * j + l]);
            high = fmaxf(high, x[32 * j + l]);
        }
        step[j] = (high - low) / 15;
        below[j] = -low;
        most_step = fmaxf(most_step, step[j]);
        most_below = fmaxf(most_below, below[j]);
    }
    memset(dst, 0, 144);
    put_half(dst, most_step / 63);
    put_half(dst + 2, most_below / 63);
    for (int j = 0; j < 8; j++) {
        int scale = rounded(step[j] * inverse(most_step / 63), 0, 63);
        int minimum = rounded(below[j] * inverse(most_below / 63), 0, 63);
        float per_step = inverse(most_step / 63 * (float)scale);
        float floor_value = most_below / 63 * (float)minimum;
        put_scale(dst + 4, j, scale, minimum);
        for (int l = 0; l < 32; l++) {
            uint8_t *q = dst + 16 + 32 * (j / 2) + l;
            int value = rounded((x[32 * j + l] + floor_value) * per_step, 0, 15);
            *q = (uint8_t)(*q | value << (4 * (j % 2)));
        }
    }
}

void quantize_block_q6_k(const float *x, uint8_t *dst) {
    float step[16], most = 0;
    for (int g = 0; g < 16; g++) {
        float largest = 0;
        for (int l = 0; l < 16; l++)
            largest = fmaxf(largest, fabsf(x[16 * g + l]));
        step[g] = largest / 31;
        most = fmaxf(most, step[g]);
    }
    memset(dst, 0, 210);
    put_half(dst + 208, most / 127);
    for (int g = 0; g < 16; g++) {
        int scale = rounded(step[g] * inverse(most / 127), 0, 127), part = g % 8 / 2;
        float per_step = inverse(most / 127 * (float)scale);
        uint8_t *low = dst + 64 * (g / 8) + 32 * (part % 2) + 16 * (g % 2);
        uint8_t *high = dst + 128 + 32 * (g / 8) + 16 * (g % 2);
        dst[192 + g] = (uint8_t)scale;
        for (int l = 0; l < 16; l++) {
            int value = rounded(x[16 * g + l] * per_step, -32, 31) + 32;
            low[l] = (uint8_t)(low[l] | (value & 15) << (4 * (part / 2)));
            high[l] = (uint8_t)(high[l] | (value >> 4) << (2 * part));
        }
    }
}
