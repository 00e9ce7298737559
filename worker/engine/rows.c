/* rows.c - activations quantised, 32 at a time; tile.h says how, for the smallest blocks and those
 * with an infinity or a NaN too. */
#include "worker/engine/rows_inside.h"

static uint32_t magnitude_bits(float f) {
    return quant_bits_of_float(f) & 0x7fffffff;
}

/* Adding and taking off 1.5 * 2^23 rounds to nearest even, whatever the instruction set. */
static int8_t rounded(float f) {
    return (int8_t)(int32_t)((f + 0x1.8p23f) - 0x1.8p23f);
}

static void quantise_portable(const float *x, size_t blocks, int8_t *q, float *scale,
                              int16_t *sums) {
    for (; blocks > 0; blocks--, x += ROWS_BLOCK, q += ROWS_BLOCK, scale++, sums += 2) {
        uint32_t most = 0;
        for (int i = 0; i < ROWS_BLOCK; i++)
            most = magnitude_bits(x[i]) > most ? magnitude_bits(x[i]) : most;
        float inverse = rows_block_scale(quant_float_of_bits(most), scale);
        int32_t total[2] = {0, 0};
        for (int i = 0; i < ROWS_BLOCK; i++) {
            q[i] = inverse > 0 ? rounded(x[i] * inverse) : 0;
            total[i / 16] += q[i];
        }
        sums[0] = (int16_t)total[0];
        sums[1] = (int16_t)total[1];
    }
}

void rows_quantise(enum quant_isa isa, struct rows *r, int32_t first, int32_t count) {
    size_t blocks = (size_t)(r->n_in / ROWS_BLOCK), at = (size_t)first * blocks;
    rows_quantiser *quantise = rows_simd_quantiser(isa);
    if (quantise == NULL)
        quantise = quantise_portable;
    quantise(r->x + ROWS_BLOCK * at, (size_t)count * blocks, r->q + ROWS_BLOCK * at, r->scale + at,
             r->sums + 2 * at);
}
