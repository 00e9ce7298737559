/* features.h - the embeddings of one request's pictures, made a piece at a time.
 *
 * A piece of work is decoding and resizing one picture, or one run of the vision tower, so that
 * other requests' tokens wait for one piece at most. Pixels live from a picture's decoding to its
 * last tile, embeddings until features_drop. */
#ifndef QUIRE_ENGINE_FEATURES_H
#define QUIRE_ENGINE_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/engine.h"

struct picture;

struct features {
    struct picture *pictures;       /* [count], owned */
    struct picture_layout *layouts; /* [count], owned; known from the start */
    size_t count;
    uint32_t tiles_total, tiles_done; /* over all pictures; dropped ones count as done */
    uint32_t pictures_encoded;        /* that the tower was run for */
};

/* Reads the pictures' headers and plans their tiles; the encoded bytes are borrowed until
 * features_close. ERR_BAD_REQUEST when the engine has no tower, ERR_BAD_PICTURE, ERR_LIMIT,
 * ERR_NOMEM; the sentence names the picture, counted from 1. A failed *f needs no close. */
int features_open(struct features *f, const struct engine *g, const struct bytes *encoded,
                  size_t count, struct error *e);
void features_close(struct features *f); /* a zeroed one is fine */

bool features_complete(const struct features *f, uint32_t picture);

/* One piece of work for a picture that is not complete. *tile tells whether it was a run of the
 * tower. ERR_BAD_PICTURE, ERR_NOMEM. */
int features_work(struct features *f, const struct engine *g, uint32_t picture, bool *tile,
                  struct error *e);

/* The embedding of one row, [n_embd]; the picture must be complete and not dropped. */
const float *features_row(const struct features *f, const struct engine *g, uint32_t picture,
                          uint32_t row);
/* Its embeddings are not needed again. */
void features_drop(struct features *f, uint32_t picture);

#endif
