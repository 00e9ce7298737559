/* random_weight.h - weight matrices of any type with sane random values, the same every time. */
#ifndef QUIRE_TESTS_SUPPORT_RANDOM_WEIGHT_H
#define QUIRE_TESTS_SUPPORT_RANDOM_WEIGHT_H

#include "worker/engine/model.h"

struct random_source {
    uint64_t state;
};
uint32_t random_bits(struct random_source *r);
float random_float(struct random_source *r); /* in [-1, 1) */
void random_floats(struct random_source *r, float *out, size_t n);

/* All types that quant.h names. */
extern const enum quant_type random_weight_types[];
extern const int random_weight_type_count;

/* A matrix of about -1..1 values; n_in must be a multiple of the type's block. The caller frees
 * data. Its buffer ends exactly with the last row, so that reading past it is seen. */
struct weight random_weight(struct random_source *r, enum quant_type type, int32_t n_out,
                            int32_t n_in);

#endif
