/* rope.c - rotary positions. Angles are made in double: at position 8000 a float's rounding would
 * already be a thousandth of a radian. */
#include "worker/engine/rope.h"

#include <math.h>

void rope_frequencies(const struct text_model *m, double *out) {
    for (int32_t i = 0; i < m->head_dim / 2; i++) {
        double f = pow((double)m->rope_base, -2.0 * i / m->head_dim);
        if (m->rope_divisors != NULL)
            f /= (double)m->rope_divisors[i];
        out[i] = f * (double)m->rope_scale;
    }
}

void rope_turn(const double *frequencies, int32_t pairs, uint32_t position, float *cosines,
               float *sines) {
    for (int32_t i = 0; i < pairs; i++) {
        double angle = position * frequencies[i];
        cosines[i] = (float)cos(angle);
        sines[i] = (float)sin(angle);
    }
}
