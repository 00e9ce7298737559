/* features.h - the embeddings of one request's pictures, made a piece at a time, shared with
 * others.
 *
 * A picture is known once the digest of what the model sees of it is known. Whoever showed the same
 * bytes before, with the same options, made it known; else it takes one piece of work. Digests
 * decide which pages can be reused, so embeddings are made only for positions that have to be
 * computed. They live in the engine's feature_cache; requests of one tenant that show the same
 * pixels point to the same ones, also while they are being made: whoever has a turn runs the tower
 * for the next tile.
 *
 * A piece of work is decoding, resizing and digesting one picture, or a run of the vision tower,
 * so that other requests' tokens wait for one piece at most. A run of the tower can be cut into
 * pieces of a given time; whoever has a turn then goes on with the tiles that are under way, also
 * if they are another's, and begins its own after them.
 *
 * Pictures are counted as they are shown: one that stands twice in a request is two pictures here
 * that share their digest and embeddings. Used by the thread that computes. */
#ifndef QUIRE_ENGINE_FEATURES_H
#define QUIRE_ENGINE_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/engine.h"

/* One picture part of a request. */
struct shown {
    struct bytes encoded; /* borrowed until features_close */
    uint32_t max_pixels;  /* scaled down first to hold no more than that; 0: no bound */
    bool overview_only;   /* it is not cut into tiles */
};

struct picture;

struct features {
    const struct engine *engine;    /* borrowed */
    struct picture *pictures;       /* [count], owned */
    struct picture_layout *layouts; /* [count], owned; known from the start */
    size_t count;
    struct bytes tenant;       /* borrowed */
    uint32_t pictures_decoded; /* by this request; one that is made twice counts twice */
    uint32_t pictures_encoded; /* whose last tile this request began: one request counts each */
    uint32_t tiles_encoded;    /* begun by this request */
};

/* Reads the pictures' headers and plans their tiles. Borrows g, the tenant's name and the encoded
 * bytes until features_close; copies shown. ERR_BAD_REQUEST when the engine has no tower,
 * ERR_BAD_PICTURE, ERR_LIMIT, ERR_NOMEM; the sentence names the picture, counted from 1. A failed
 * *f needs no close. */
int features_open(struct features *f, const struct engine *g, struct bytes tenant,
                  const struct shown *shown, size_t count, struct error *e);
void features_close(struct features *f); /* a zeroed one is fine */

/* Whether the digest is known. Once true it stays true; it may become so through another request.
 */
bool features_known(struct features *f, uint32_t picture);
/* The digest of a known picture: equal ones give equal embeddings, row by row. It differs from one
 * process to the next, and is compared within one tenant only. */
void features_digest(const struct features *f, uint32_t picture, uint64_t out[2]);

/* Whether the embeddings are there. Asking holds those of a known picture, whole or half made,
 * until features_drop or features_close; so ask when they will be needed soon. True for a dropped
 * one. */
bool features_complete(struct features *f, uint32_t picture);

/* What a piece of work ended. */
struct features_done {
    int32_t tiles;        /* whose embeddings are there now, perhaps of another's picture */
    int64_t us_each_tile; /* that each of them took, over all their pieces */
};

/* One piece of work for a picture that is not complete. budget_us bounds the tower's part of it,
 * but for what it takes to begin tiles and for a millisecond or so; 0: no bound, tiles that are
 * begun are ended. The first piece of an unknown picture makes it known and encodes nothing; its
 * pixels are kept for the tower when there is room, else they are made again when embeddings are
 * asked for. ERR_BAD_PICTURE, ERR_NOMEM. */
int features_work(struct features *f, uint32_t picture, int64_t budget_us,
                  struct features_done *done, struct error *e);

/* The embedding of one row, [n_embd]; the picture must be complete and not dropped. */
const float *features_row(const struct features *f, uint32_t picture, uint32_t row);

/* This request does not need the picture's embeddings, or not any more; made or not, again and
 * again. Others may go on using them. */
void features_drop(struct features *f, uint32_t picture);

/* A number that its user keeps with the embeddings of a complete picture that is not dropped; 0 at
 * first. feature_cache_on_drop says who hears of it when they are given up. */
uint32_t *features_tag(struct features *f, uint32_t picture);

/* Tiles over all pictures; what was found made, and what was dropped, counts as done. */
void features_progress(const struct features *f, uint32_t *done, uint32_t *total);

#endif
