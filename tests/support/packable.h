/* packable.h - a text model of random weights that was never a file: what packing needs, no more.
 */
#ifndef QUIRE_TESTS_SUPPORT_PACKABLE_H
#define QUIRE_TESTS_SUPPORT_PACKABLE_H

#include <stdbool.h>

#include "worker/engine/model.h"

#define PACKABLE_LAYERS 2
#define PACKABLE_WEIGHTS (7 * PACKABLE_LAYERS + 1)

struct packable {
    struct text_model model;
    struct text_layer layers[PACKABLE_LAYERS];
    struct weight *weights[PACKABLE_WEIGHTS]; /* in the order of a pack */
};

/* Weights of several types, some 5 MiB packed; the same for the same seed. */
void packable_open(struct packable *p, unsigned seed);
void packable_close(struct packable *p);

/* Whether every weight's tiles are what the weight becomes. */
bool packable_is_packed(const struct packable *p);

#endif
