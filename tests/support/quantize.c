/* quantize.c - see quantize.h; the rounding is that of the usual quantisers. */
#include "tests/support/quantize.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/quantize_k.h"

#define BLOCK 32

bool quant_can_quantize(enum quant_type type) {
    return type == QUANT_F32 || type == QUANT_F16 || type == QUANT_Q8_0 || type == QUANT_Q4_0 ||
           type == QUANT_Q4_K || type == QUANT_Q6_K;
}

static void put_half(uint8_t *p, float f) {
    uint16_t h = quant_float_to_half(f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

/* The value of largest magnitude, with its sign. */
static float largest(const float *x) {
    float max = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > fabsf(max))
            max = x[i];
    return max;
}

static void block_q8_0(const float *x, uint8_t *dst) {
    float d = fabsf(largest(x)) / 127.0f, inverse = d != 0 ? 1 / d : 0;
    put_half(dst, d);
    for (int i = 0; i < BLOCK; i++)
        dst[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

static uint8_t nibble(float x) {
    int q = (int)(x + 8.5f);
    return (uint8_t)(q > 15 ? 15 : q);
}

static void block_q4_0(const float *x, uint8_t *dst) {
    float d = largest(x) / -8.0f, inverse = d != 0 ? 1 / d : 0;
    put_half(dst, d);
    for (int i = 0; i < BLOCK / 2; i++)
        dst[2 + i] = (uint8_t)(nibble(x[i] * inverse) | nibble(x[i + BLOCK / 2] * inverse) << 4);
}

typedef void block_quantizer(const float *x, uint8_t *dst);

static block_quantizer *quantizer_of(enum quant_type type) {
    switch (type) {
    case QUANT_Q8_0:
        return block_q8_0;
    case QUANT_Q4_0:
        return block_q4_0;
    case QUANT_Q4_K:
        return quantize_block_q4_k;
    default:
        return quantize_block_q6_k;
    }
}

void quant_quantize_row(enum quant_type type, const float *src, void *dst, size_t n) {
    MUST(quant_can_quantize(type));
    uint8_t *out = dst;
    if (type == QUANT_F32) {
        memcpy(out, src, n * sizeof *src);
    } else if (type == QUANT_F16) {
        for (size_t i = 0; i < n; i++)
            put_half(out + 2 * i, src[i]);
    } else {
        const struct quant_traits *t = quant_traits(type);
        for (size_t i = 0; i < n; i += t->block, out += t->block_bytes)
            quantizer_of(type)(src + i, out);
    }
}
