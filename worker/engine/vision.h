/* vision.h - the SigLIP tower and the idefics3 projector: one tile to its embeddings. */
#ifndef QUIRE_ENGINE_VISION_H
#define QUIRE_ENGINE_VISION_H

#include "common/error.h"
#include "worker/engine/matmul.h"
#include "worker/engine/model.h"
#include "worker/engine/team.h"

struct vision; /* activations for one tile at a time */
/* Borrows model and team. */
int vision_open(struct vision **out, const struct vision_model *m, struct team *t,
                struct error *e);
void vision_close(struct vision *v);
size_t vision_scratch_bytes(const struct vision *v);

/* pixels: [3][S][S] from preprocess_tile; out: [n_out][projection]. Allocates nothing. */
void vision_encode(struct vision *v, const float *pixels, float *out);

#endif
