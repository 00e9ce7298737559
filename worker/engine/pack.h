/* pack.h - the weights of a text model in tiles, as products read them.
 *
 * In private memory, or, with a directory, in a file there that all workers of the machine map, so
 * that many of them hold the weights once and only the first to start packs them (pack_file.h).
 * When the file can't be used for whatever reason, that is logged, and memory of this process's own
 * takes its place: packs make starting quick and workers small, but are never needed. */
#ifndef QUIRE_ENGINE_PACK_H
#define QUIRE_ENGINE_PACK_H

#include "common/error.h"
#include "worker/engine/model.h"
#include "worker/engine/pack_file.h"
#include "worker/engine/team.h"

enum pack_origin {
    PACK_PRIVATE, /* packed into memory of this process */
    PACK_BUILT,   /* packed into a shared file */
    PACK_MAPPED,  /* found as a shared file */
};

struct pack;

/* Packs or finds all products' weights of m and sets their `tiles`, which are valid until
 * pack_close. share: NULL for private memory; read during the call only. ERR_NOMEM, ERR_LIMIT. */
int pack_open(struct pack **out, struct text_model *m, struct team *t,
              const struct pack_share *share, struct error *e);
void pack_close(struct pack *p); /* NULL is fine; before text_model_release */

enum pack_origin pack_origin(const struct pack *p);
size_t pack_bytes(const struct pack *p);

/* What a pack of m will take, and how much of the file is not read any more once it is there.
 * ERR_NOMEM, ERR_LIMIT. */
int pack_measure(struct text_model *m, size_t *bytes, size_t *source_bytes, struct error *e);

#endif
