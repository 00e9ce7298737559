/* feature_cache.h - embeddings of pictures that outlive the requests they were made for.
 *
 * An entry is one picture as the model sees it, for one tenant: its embeddings, made tile by tile,
 * and until the last tile the pixels. Requests hold the entries they need. One that nobody holds
 * stays if it is whole and goes if it is not; among those that stay, the one not held for the
 * longest goes when there is no room. Entries that are held never go, so the cache may be larger
 * than its bound for as long as requests under way need that much.
 *
 * Used by one thread. features.c is its user; others ask for its size and hear what it drops. */
#ifndef QUIRE_ENGINE_FEATURE_CACHE_H
#define QUIRE_ENGINE_FEATURE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/picture_digest.h"

#define FEATURE_CACHE_PIXEL_SHARE                                                                  \
    4 /* pixels take the room of one part in so many at most                                       \
       */

struct feature_cache;

struct feature_entry {
    struct picture_digest digest;
    struct picture_layout layout;
    struct prepared pixels; /* zeroed while they are not there */
    float *embeddings;      /* [n_tiles][floats_per_tile]; NULL before the first tile */
    int32_t n_tiles, tiles_done;
    uint32_t tag;   /* its user's; 0: none */
    uint32_t users; /* who hold it; only the cache changes it */
    /* the cache's own */
    struct feature_entry *next_in_bucket;
    struct feature_entry *newer, *older; /* while nobody holds it */
    size_t tenant_bytes;
    uint8_t tenant[];
};

/* `capacity` bounds the bytes of entries: embeddings, pixels and what belongs to them; pixels that
 * are being encoded may go beyond their share of it. ERR_NOMEM.
 */
int feature_cache_open(struct feature_cache **out, size_t capacity, size_t floats_per_tile,
                       struct error *e);
/* Nothing may be held any more. NULL is fine. Tells nobody of what it drops. */
void feature_cache_close(struct feature_cache *c);

/* Called when an entry whose tag is not 0 is given up; must not call the cache. drop may be NULL.
 */
typedef void feature_cache_drop(void *arg, uint32_t tag);
void feature_cache_on_drop(struct feature_cache *c, feature_cache_drop *drop, void *arg);

/* The entry, held once more; NULL when there is none. */
struct feature_entry *feature_cache_hold(struct feature_cache *c, struct bytes tenant,
                                         struct picture_digest digest,
                                         const struct picture_layout *layout);
/* A new empty entry, held; there must be none like it. Copies the tenant's name. ERR_NOMEM. */
int feature_cache_add(struct feature_cache *c, struct bytes tenant, struct picture_digest digest,
                      const struct picture_layout *layout, struct feature_entry **out,
                      struct error *e);
void feature_cache_release(struct feature_cache *c, struct feature_entry *entry);

/* Whether these pixels may wait in the cache until somebody encodes them. */
bool feature_cache_has_room(const struct feature_cache *c, const struct prepared *pixels);
/* Moves them into an entry that has none. */
void feature_cache_give_pixels(struct feature_cache *c, struct feature_entry *entry,
                               struct prepared *pixels);
/* Room for all embeddings of an entry that has none yet. ERR_NOMEM. */
int feature_cache_begin(struct feature_cache *c, struct feature_entry *entry, struct error *e);
/* One more of its tiles is there; with the last, the pixels go. */
void feature_cache_tile_done(struct feature_cache *c, struct feature_entry *entry);

static inline bool feature_entry_complete(const struct feature_entry *entry) {
    return entry->tiles_done == entry->n_tiles;
}

size_t feature_cache_bytes(const struct feature_cache *c);
size_t feature_cache_count(const struct feature_cache *c);

#endif
