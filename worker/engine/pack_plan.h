/* pack_plan.h - where each weight of a text model lies in its pack, and what the bytes there are.
 *
 * A pack is the tiles (tile.h) of all matrices of the model in the order in which a step reads
 * them: of each layer q, k, v, attn_out, gate, up, down; then output. token_embd is not in it: it
 * is gathered by row from the file. Tied to output, it is both. */
#ifndef QUIRE_ENGINE_PACK_PLAN_H
#define QUIRE_ENGINE_PACK_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/model.h"
#include "worker/engine/tile.h"

struct packed_weight {
    struct weight *weight;
    const struct tile_format *format;
    size_t offset;     /* of its first tile in the pack */
    size_t tile_bytes; /* a multiple of TILE_ALIGN, as is offset */
    size_t bytes;
};

struct pack_plan {
    struct packed_weight *weights;
    size_t n_weights;
    size_t bytes;        /* of the whole pack */
    size_t source_bytes; /* of the same in the file, but for a tied output: read there by row */
    size_t tile_bytes;   /* of the largest tile */
};

/* Borrows m until pack_plan_close. ERR_NOMEM, ERR_LIMIT when the sizes pass size_t. */
int pack_plan_open(struct pack_plan *out, struct text_model *m, struct error *e);
void pack_plan_close(struct pack_plan *p);

/* Writes bytes from..to of the pack into out. A tile that begins or ends outside goes through
 * `scratch` (p->tile_bytes, aligned to TILE_ALIGN, as is out; from is a multiple of TILE_ALIGN). */
void pack_plan_fill(const struct pack_plan *p, size_t from, size_t to, uint8_t *out,
                    uint8_t *scratch);

/* Differs between two plans whose packs' bytes would mean something else: other types, shapes or
 * places, or tiles that this build fills in another way. */
uint64_t pack_plan_digest(const struct pack_plan *p);

/* Bytes of one weight in tiles, and its tiles; `tiles` is aligned to TILE_ALIGN. */
size_t pack_weight_bytes(const struct weight *w);
void pack_weight(const struct weight *w, uint8_t *tiles);

#endif
