/* rope.h - the angles that positions turn queries and keys by. */
#ifndef QUIRE_ENGINE_ROPE_H
#define QUIRE_ENGINE_ROPE_H

#include <stdint.h>

#include "worker/engine/model.h"

/* out[i] for i < head_dim / 2: radians per position of pair i. */
void rope_frequencies(const struct text_model *m, double *out);

/* cosines[i], sines[i] of position * frequencies[i], i < pairs. */
void rope_turn(const double *frequencies, int32_t pairs, uint32_t position, float *cosines,
               float *sines);

#endif
