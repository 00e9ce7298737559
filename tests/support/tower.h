/* tower.h - a random vision tower, and a plain computation of it in double precision. */
#ifndef QUIRE_TESTS_SUPPORT_TOWER_H
#define QUIRE_TESTS_SUPPORT_TOWER_H

#include <stddef.h>

#include "worker/engine/model.h"

struct tower_shape {
    enum quant_type type; /* of the blocks' matrices and the projector; patches are F32 */
    int32_t image_size, patch_size, n_embd, n_ff, n_head, n_layer, scale, projection;
};

struct tower {
    struct vision_model model;
    float *pixels; /* [3][image_size][image_size] */
};

void tower_open(struct tower *t, struct tower_shape shape);
void tower_close(struct tower *t);
size_t tower_out_floats(const struct tower *t);
/* What vision_encode should make of the tower's pixels. */
void tower_encode_plainly(const struct tower *t, double *out);

#endif
