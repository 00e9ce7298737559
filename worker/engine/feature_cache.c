/* feature_cache.c - a hash table of entries, and a list by last use of those that nobody holds.
 *
 * Only whole entries are ever in the list: what is half made when its last user leaves is freed on
 * the spot. So whatever is found in the list can be given up, and whatever is not is needed. */
#include "worker/engine/feature_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define BUCKETS 4096 /* a power of two; more entries only make the chains longer */

struct feature_cache {
    size_t capacity, bytes;
    size_t pixel_bytes; /* of `bytes`, those of pixels */
    size_t count;
    size_t floats_per_tile;
    feature_cache_drop *drop;
    void *arg;
    struct feature_entry *newest, *oldest; /* that nobody holds */
    struct feature_entry *buckets[BUCKETS];
};

int feature_cache_open(struct feature_cache **out, size_t capacity, size_t floats_per_tile,
                       struct error *e) {
    struct feature_cache *c = *out = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a cache of pictures");
    c->capacity = capacity;
    c->floats_per_tile = floats_per_tile;
    return 0;
}

void feature_cache_on_drop(struct feature_cache *c, feature_cache_drop *drop, void *arg) {
    c->drop = drop;
    c->arg = arg;
}

static size_t pixel_bytes(const struct prepared *p) {
    return ((size_t)p->refined.width * (size_t)p->refined.height +
            (size_t)p->overview.width * (size_t)p->overview.height) *
           3;
}

static size_t embedding_bytes(const struct feature_cache *c, const struct feature_entry *entry) {
    return (size_t)entry->n_tiles * c->floats_per_tile * sizeof(float);
}

static size_t head_bytes(size_t tenant_bytes) {
    return sizeof(struct feature_entry) + tenant_bytes;
}

static struct feature_entry **bucket_of(struct feature_cache *c, struct picture_digest digest) {
    return &c->buckets[digest.half[0] & (BUCKETS - 1)];
}

/* ---- the list by last use ---- */

static void list_add(struct feature_cache *c, struct feature_entry *entry) {
    entry->newer = NULL;
    entry->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = entry;
    c->newest = entry;
}

static void list_remove(struct feature_cache *c, struct feature_entry *entry) {
    *(entry->newer != NULL ? &entry->newer->older : &c->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &c->oldest) = entry->newer;
    entry->newer = entry->older = NULL;
}

/* ---- giving up ---- */

static void drop_pixels(struct feature_cache *c, struct feature_entry *entry) {
    size_t bytes = pixel_bytes(&entry->pixels);
    c->pixel_bytes -= bytes;
    c->bytes -= bytes;
    prepared_clear(&entry->pixels);
}

/* An entry that is in no list. */
static void give_up(struct feature_cache *c, struct feature_entry *entry) {
    struct feature_entry **link = bucket_of(c, entry->digest);
    while (*link != entry)
        link = &(*link)->next_in_bucket;
    *link = entry->next_in_bucket;
    drop_pixels(c, entry);
    if (entry->embeddings != NULL)
        c->bytes -= embedding_bytes(c, entry);
    c->bytes -= head_bytes(entry->tenant_bytes);
    c->count--;
    if (entry->tag != 0 && c->drop != NULL)
        c->drop(c->arg, entry->tag);
    free(entry->embeddings);
    free(entry);
}

static void give_up_oldest(struct feature_cache *c) {
    struct feature_entry *entry = c->oldest;
    list_remove(c, entry);
    give_up(c, entry);
}

static size_t pixel_share(const struct feature_cache *c) {
    return c->capacity / FEATURE_CACHE_PIXEL_SHARE;
}

/* Goes back within the bound as far as possible. Pixels that are being encoded may be more than
 * their share; they do not push out embeddings for that. */
static void trim(struct feature_cache *c) {
    while (c->oldest != NULL) {
        size_t share = pixel_share(c), pixels = c->pixel_bytes < share ? c->pixel_bytes : share;
        if (c->bytes - c->pixel_bytes + pixels <= c->capacity)
            return;
        give_up_oldest(c);
    }
}

void feature_cache_close(struct feature_cache *c) {
    if (c == NULL)
        return;
    c->drop = NULL;
    while (c->oldest != NULL)
        give_up_oldest(c);
    MUST(c->count == 0);
    free(c);
}

/* ---- holding ---- */

static bool is(const struct feature_entry *entry, struct bytes tenant, struct picture_digest digest,
               const struct picture_layout *layout) {
    return picture_digest_equal(entry->digest, digest) &&
           entry->layout.columns == layout->columns && entry->layout.rows == layout->rows &&
           entry->layout.embeddings_per_tile == layout->embeddings_per_tile &&
           entry->tenant_bytes == tenant.size &&
           (tenant.size == 0 || memcmp(entry->tenant, tenant.data, tenant.size) == 0);
}

struct feature_entry *feature_cache_hold(struct feature_cache *c, struct bytes tenant,
                                         struct picture_digest digest,
                                         const struct picture_layout *layout) {
    struct feature_entry *entry = *bucket_of(c, digest);
    while (entry != NULL && !is(entry, tenant, digest, layout))
        entry = entry->next_in_bucket;
    if (entry != NULL && entry->users++ == 0)
        list_remove(c, entry);
    return entry;
}

int feature_cache_add(struct feature_cache *c, struct bytes tenant, struct picture_digest digest,
                      const struct picture_layout *layout, struct feature_entry **out,
                      struct error *e) {
    size_t bytes = head_bytes(tenant.size);
    struct feature_entry *entry = *out = calloc(1, bytes);
    if (entry == NULL)
        return error_set(e, ERR_NOMEM, "no memory for the embeddings of a picture");
    entry->digest = digest;
    entry->layout = *layout;
    entry->n_tiles = layout->columns * layout->rows + 1;
    entry->users = 1;
    entry->tenant_bytes = tenant.size;
    if (tenant.size > 0)
        memcpy(entry->tenant, tenant.data, tenant.size);
    struct feature_entry **bucket = bucket_of(c, digest);
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    c->bytes += bytes;
    c->count++;
    trim(c);
    return 0;
}

void feature_cache_release(struct feature_cache *c, struct feature_entry *entry) {
    MUST(entry->users > 0);
    if (--entry->users > 0)
        return;
    if (!feature_entry_complete(entry)) {
        give_up(c, entry);
        return;
    }
    list_add(c, entry);
    trim(c);
}

/* ---- making ---- */

bool feature_cache_has_room(const struct feature_cache *c, const struct prepared *pixels) {
    size_t share = pixel_share(c), bytes = pixel_bytes(pixels);
    return bytes <= share && c->pixel_bytes <= share - bytes;
}

void feature_cache_give_pixels(struct feature_cache *c, struct feature_entry *entry,
                               struct prepared *pixels) {
    MUST(entry->pixels.overview.rgb == NULL);
    size_t bytes = pixel_bytes(pixels);
    entry->pixels = *pixels;
    memset(pixels, 0, sizeof *pixels);
    c->pixel_bytes += bytes;
    c->bytes += bytes;
    trim(c);
}

int feature_cache_begin(struct feature_cache *c, struct feature_entry *entry, struct error *e) {
    MUST(entry->embeddings == NULL);
    size_t bytes;
    if (!size_mul((size_t)entry->n_tiles, c->floats_per_tile, &bytes) ||
        !size_mul(bytes, sizeof(float), &bytes))
        return error_set(e, ERR_NOMEM, "the embeddings of %d tiles are too many", entry->n_tiles);
    c->bytes += bytes;
    trim(c); /* what goes makes room before more is asked for */
    entry->embeddings = malloc(bytes);
    if (entry->embeddings != NULL)
        return 0;
    c->bytes -= bytes;
    return error_set(e, ERR_NOMEM, "no memory for the embeddings of %d tiles", entry->n_tiles);
}

void feature_cache_tile_done(struct feature_cache *c, struct feature_entry *entry) {
    MUST(!feature_entry_complete(entry));
    entry->tiles_done++;
    if (feature_entry_complete(entry))
        drop_pixels(c, entry);
}

size_t feature_cache_bytes(const struct feature_cache *c) {
    return c->bytes;
}

size_t feature_cache_count(const struct feature_cache *c) {
    return c->count;
}
