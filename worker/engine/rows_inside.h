/* rows_inside.h - what the versions of rows_quantise share; for rows*.c only. */
#ifndef QUIRE_ENGINE_ROWS_INSIDE_H
#define QUIRE_ENGINE_ROWS_INSIDE_H

#include <math.h>

#include "worker/engine/tile.h"

/* Quantises so many blocks of ROWS_BLOCK values that lie one after the other. */
typedef void rows_quantiser(const float *x, size_t blocks, int8_t *q, float *scale, int16_t *sums);

/* NULL: none for this set. */
rows_quantiser *rows_simd_quantiser(enum quant_isa isa);

#define ROWS_LEAST 0x1p-110f /* blocks with nothing above it are zeros: 127 / it is finite */

/* Sets the scale of a block whose largest magnitude is `most` and returns what to multiply its
 * values by; 0: all its q are 0. */
static inline float rows_block_scale(float most, float *scale) {
    if (!isfinite(most) || most < ROWS_LEAST) {
        *scale = isfinite(most) ? 0.0f : NAN;
        return 0;
    }
    *scale = most / 127;
    return 127 / most;
}

#endif
