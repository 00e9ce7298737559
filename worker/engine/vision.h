/* vision.h - the SigLIP tower and the idefics3 projector: tiles to their embeddings.
 *
 * Tiles are encoded a few at once, and in pieces as short as the caller likes. The bits of an
 * embedding depend on its pixels and the weights alone: not on the tiles beside it, the threads,
 * the pieces or the set of instructions. */
#ifndef QUIRE_ENGINE_VISION_H
#define QUIRE_ENGINE_VISION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/model.h"
#include "worker/engine/team.h"

/* Tiles at once: each takes some 23 MB of activations at 1024 patches x 768. Two threads gain
 * nothing by a second tile, so there is one for so many members of the team. */
#define VISION_TILES_MAX 4
#define VISION_MEMBERS_PER_TILE 4

struct vision; /* activations of the tiles that are under way */
/* Borrows model and team. */
int vision_open(struct vision **out, const struct vision_model *m, struct team *t, struct error *e);
void vision_close(struct vision *v); /* NULL is fine */
size_t vision_scratch_bytes(const struct vision *v);

int32_t vision_tiles(const struct vision *v); /* how many may be under way together */

/* Nothing below allocates. Forgets tiles that are under way. */
void vision_begin(struct vision *v);
/* One more tile, before the first advance; its embeddings will follow those of the tiles before it.
 * pixels: [3][S][S] from preprocess_tile, not needed afterwards. */
void vision_add(struct vision *v, const float *pixels);
/* Goes on for about budget_us, beyond it by what one part of a layer takes (a millisecond or so);
 * 0: to the end. out: [tiles][n_out][projection], the same in every call. True when it is whole. */
bool vision_advance(struct vision *v, float *out, int64_t budget_us);

/* One tile from beginning to end; out: [n_out][projection]. */
void vision_encode(struct vision *v, const float *pixels, float *out);

#endif
