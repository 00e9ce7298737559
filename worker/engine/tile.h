/* tile.h - weights in the order kernels read them, and products of one tile.
 *
 * A tile is TILE_OUTPUTS weight rows (outputs), interleaved so that one vector holds the same input
 * of many outputs. A kernel's lane is an output, from the first input to the last: nothing is ever
 * summed across lanes, and one output's sum has one order, whatever the number of rows beside it,
 * the width of the vectors or the number of threads. So one row and a thousand rows, a prompt in
 * one piece or in many, give the same bits.
 *
 *     float formats    sum = fma(w[k], x[k], sum) for k = 0 .. n_in-1
 *     integer formats  for each block of 32 inputs, in order: an exact integer dot product of the
 *                      quantised weights and activations, then sum = fma(scale(w) * scale(x),
 *                      (float)dot, sum), in the order that the format's kernel states.
 *
 * Tiles of one weight lie one after the other; rows past n_out are zeros. The bytes are the same
 * for every instruction set, so that a pack can be shared and kept. */
#ifndef QUIRE_ENGINE_TILE_H
#define QUIRE_ENGINE_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/engine/model.h"
#include "worker/engine/quant_inside.h"

#define TILE_OUTPUTS 32
#define TILE_ALIGN 64 /* bytes; of every tile's first byte and of every tile's size */
#define ROWS_BLOCK 32 /* inputs that share a scale of quantised activations */

/* Activations as kernels read them. x is [n_rows][n_in] f32 and always there. Integer formats read,
 * where n_in is a multiple of ROWS_BLOCK, what rows_quantise made of it, for each block, where
 * most is its largest |x|:
 *     scale = most / 127, q = x * (127 / most) rounded to nearest even, -127..127
 *     most is an infinity or a NaN     scale = NaN, q = 0: every sum that it enters is NaN
 *     most < 2^-110, or 0              scale = 0, q = 0
 * Each operation is rounded to f32 in turn. */
struct rows {
    int32_t n_rows, n_in;
    const float *x;
    int8_t *q;     /* [n_rows][n_in] */
    float *scale;  /* [n_rows][n_in / ROWS_BLOCK] */
    int16_t *sums; /* [n_rows][n_in / 16]: of q, 16 at a time */
};

struct tile_call {
    const uint8_t *tile;
    const struct rows *rows;
    float *y;         /* [n_rows], y_stride floats apart; the tile's first output of row 0 */
    int32_t y_stride; /* floats */
    int32_t outputs;  /* of the tile that exist: 1..TILE_OUTPUTS; no others are written */
    bool add;         /* y += sum instead of y = sum */
    float *scratch;   /* of this thread, tile_scratch_floats(n_in) floats, aligned to 64 */
};

/* How weights of one type are packed; every type has one. */
struct tile_format {
    const char *name;
    bool integer;                  /* kernels read rows' quantised part */
    size_t (*bytes)(int32_t n_in); /* of a tile; a multiple of TILE_ALIGN */
    /* Weight rows first .. first + TILE_OUTPUTS - 1 of w as a tile. */
    void (*pack)(const struct weight *w, int32_t first, uint8_t *tile);
};

typedef void tile_kernel(const struct tile_call *c);

const struct tile_format *tile_format_of(enum quant_type type);
/* Falls back to lesser sets; all of them give the same bits. */
tile_kernel *tile_kernel_of(enum quant_type type, enum quant_isa isa);

size_t tile_scratch_floats(int32_t n_in);

/* Quantises rows first .. first + count - 1 of r->x into r's arrays. The same bits on every set. */
void rows_quantise(enum quant_isa isa, struct rows *r, int32_t first, int32_t count);

#endif
