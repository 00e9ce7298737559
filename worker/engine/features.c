/* features.c - planned from headers, decoded late, given back early.
 *
 * Headers are read when the request comes, so that most bad pictures are refused before any work;
 * pixels are made only when a digest or an embedding is asked for. A request of many pictures holds
 * the pixels of those that have room in the cache and of the one it encodes, and the embeddings of
 * no more than its next chunk of positions needs.
 *
 * A picture goes through these states; the cache may let it skip any of them:
 *
 *     unknown -> known -> held (an entry of the cache: pixels, then tiles) -> complete -> dropped
 */
#include "worker/engine/features.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/engine/feature_cache.h"
#include "worker/engine/picture_table.h"

struct picture {
    struct shown shown;
    struct picture_digest encoded;
    int32_t n_tiles;
    bool known;
    struct picture_digest digest;
    struct feature_entry *entry; /* held, or NULL */
    bool dropped;
};

static struct picture_key key_of(const struct features *f, const struct picture *p) {
    return (struct picture_key){
        .tenant = f->tenant,
        .encoded = p->encoded,
        .encoded_bytes = p->shown.encoded.size,
        .options = {p->shown.max_pixels, p->shown.overview_only},
    };
}

static bool look_up(struct features *f, uint32_t i) {
    struct picture *p = &f->pictures[i];
    struct picture_key key = key_of(f, p);
    struct picture_seen seen;
    if (!picture_table_find(f->engine->picture_table, &key, &seen))
        return false;
    p->known = true;
    p->digest = seen.digest;
    f->layouts[i] = seen.layout;
    return true;
}

/* Bytes that are shown again and again are hashed once. */
static void digest_bytes(struct features *f, uint32_t i) {
    const struct bytes *encoded = &f->pictures[i].shown.encoded;
    for (uint32_t j = 0; j < i; j++) {
        const struct bytes *other = &f->pictures[j].shown.encoded;
        if (other->data == encoded->data && other->size == encoded->size) {
            f->pictures[i].encoded = f->pictures[j].encoded;
            return;
        }
    }
    f->pictures[i].encoded = digest_encoded(&f->engine->secret, *encoded);
}

static int plan(struct features *f, uint32_t i, struct error *e) {
    struct picture *p = &f->pictures[i];
    digest_bytes(f, i);
    if (!look_up(f, i)) {
        struct picture_options options = {p->shown.max_pixels, p->shown.overview_only};
        int32_t width, height;
        int rc = image_probe(p->shown.encoded, &width, &height, e);
        if (rc == 0)
            rc = preprocess_plan(&f->engine->vision_model, width, height, &options, &f->layouts[i],
                                 e);
        if (rc < 0) {
            error_prefix(e, "picture %u", i + 1);
            return rc;
        }
    }
    p->n_tiles = f->layouts[i].columns * f->layouts[i].rows + 1;
    return 0;
}

int features_open(struct features *f, const struct engine *g, struct bytes tenant,
                  const struct shown *shown, size_t count, struct error *e) {
    memset(f, 0, sizeof *f);
    if (count == 0)
        return 0;
    if (!g->sees)
        return error_set(e, ERR_BAD_REQUEST,
                         "the request has pictures, but the model \"%s\" reads text only",
                         g->text.name);
    f->engine = g;
    f->tenant = tenant;
    f->pictures = calloc(count, sizeof *f->pictures);
    f->layouts = calloc(count, sizeof *f->layouts);
    int rc = 0;
    if (f->pictures == NULL || f->layouts == NULL)
        rc = error_set(e, ERR_NOMEM, "no memory for %zu pictures", count);
    for (; rc == 0 && f->count < count; f->count++) {
        f->pictures[f->count].shown = shown[f->count];
        rc = plan(f, (uint32_t)f->count, e);
    }
    if (rc < 0)
        features_close(f);
    return rc;
}

void features_close(struct features *f) {
    for (uint32_t i = 0; i < f->count; i++)
        features_drop(f, i);
    free(f->pictures);
    free(f->layouts);
    memset(f, 0, sizeof *f);
}

/* ---- knowing ---- */

bool features_known(struct features *f, uint32_t picture) {
    MUST(picture < f->count);
    return f->pictures[picture].known || look_up(f, picture);
}

void features_digest(const struct features *f, uint32_t picture, uint64_t out[2]) {
    MUST(picture < f->count && f->pictures[picture].known);
    memcpy(out, f->pictures[picture].digest.half, sizeof f->pictures[picture].digest.half);
}

/* Decodes and resizes; what comes out is what the header promised. */
static int make_pixels(struct features *f, uint32_t i, struct prepared *out, struct error *e) {
    const struct picture *p = &f->pictures[i];
    struct picture_options options = {p->shown.max_pixels, p->shown.overview_only};
    struct image image;
    memset(out, 0, sizeof *out);
    int rc = image_decode(p->shown.encoded, &image, e);
    if (rc < 0)
        return rc;
    rc = preprocess_picture(&f->engine->vision_model, &image, &options, out, e);
    image_clear(&image);
    if (rc == 0 && memcmp(&out->layout, &f->layouts[i], sizeof out->layout) != 0) {
        prepared_clear(out);
        rc = error_set(e, ERR_BAD_PICTURE, "its size is not the one its header gives");
    }
    f->pictures_decoded += rc == 0;
    return rc;
}

/* The same bytes may stand in the request several times. */
static void make_known(struct features *f, uint32_t i, struct picture_digest digest) {
    struct picture_key key = key_of(f, &f->pictures[i]);
    struct picture_seen seen = {digest, f->layouts[i]};
    picture_table_put(f->engine->picture_table, &key, &seen);
    const struct shown *shown = &f->pictures[i].shown;
    for (uint32_t j = 0; j < f->count; j++) {
        struct picture *p = &f->pictures[j];
        if (!p->known && picture_digest_equal(p->encoded, key.encoded) &&
            p->shown.encoded.size == shown->encoded.size &&
            p->shown.max_pixels == shown->max_pixels &&
            p->shown.overview_only == shown->overview_only) {
            p->known = true;
            p->digest = digest;
        }
    }
}

static struct feature_entry *hold(const struct features *f, uint32_t i) {
    return feature_cache_hold(f->engine->feature_cache, f->tenant, f->pictures[i].digest,
                              &f->layouts[i]);
}

static int look(struct features *f, uint32_t i, struct error *e) {
    struct picture *p = &f->pictures[i];
    struct feature_cache *cache = f->engine->feature_cache;
    struct prepared pixels;
    int rc = make_pixels(f, i, &pixels, e);
    if (rc < 0)
        return rc;
    make_known(f, i, digest_prepared(&f->engine->secret, &f->engine->vision_model, &pixels));
    p->entry = hold(f, i);
    if (p->entry == NULL && feature_cache_has_room(cache, &pixels)) {
        rc = feature_cache_add(cache, f->tenant, p->digest, &f->layouts[i], &p->entry, e);
        if (rc == 0)
            feature_cache_give_pixels(cache, p->entry, &pixels);
    }
    prepared_clear(&pixels);
    return rc;
}

/* ---- making ---- */

bool features_complete(struct features *f, uint32_t picture) {
    MUST(picture < f->count);
    struct picture *p = &f->pictures[picture];
    if (p->dropped)
        return true;
    if (p->entry == NULL && features_known(f, picture))
        p->entry = hold(f, picture);
    return p->entry != NULL && feature_entry_complete(p->entry);
}

/* The next tiles of an entry that has its pixels. */
static int begin_tiles(struct features *f, struct feature_entry *entry, struct error *e) {
    const struct engine *g = f->engine;
    if (entry->embeddings == NULL) {
        int rc = feature_cache_begin(g->feature_cache, entry, e);
        if (rc < 0)
            return rc;
    }
    int32_t tiles = encoder_begin(g->encoder, entry);
    f->tiles_encoded += (uint32_t)tiles;
    f->pictures_encoded += entry->tiles_done + tiles == entry->n_tiles;
    return 0;
}

/* Goes on with the tiles under way; this entry's are begun if there are none. */
static int encode(struct features *f, struct feature_entry *entry, int64_t budget_us,
                  struct features_done *done, struct error *e) {
    const struct engine *g = f->engine;
    if (!encoder_busy(g->encoder)) {
        int rc = begin_tiles(f, entry, e);
        if (rc < 0)
            return rc;
    }
    done->tiles = encoder_work(g->encoder, g->feature_cache, budget_us, &done->us_each_tile);
    return 0;
}

/* An entry for a known picture that has none, and pixels for an entry that has none. */
static int prepare(struct features *f, uint32_t i, struct error *e) {
    struct picture *p = &f->pictures[i];
    struct feature_cache *cache = f->engine->feature_cache;
    struct prepared pixels;
    int rc = make_pixels(f, i, &pixels, e);
    if (rc == 0 && p->entry == NULL)
        rc = feature_cache_add(cache, f->tenant, p->digest, &f->layouts[i], &p->entry, e);
    if (rc == 0)
        feature_cache_give_pixels(cache, p->entry, &pixels);
    prepared_clear(&pixels);
    return rc;
}

int features_work(struct features *f, uint32_t picture, int64_t budget_us,
                  struct features_done *done, struct error *e) {
    MUST(!features_complete(f, picture));
    struct picture *p = &f->pictures[picture];
    int rc;
    *done = (struct features_done){0};
    if (p->entry != NULL && p->entry->pixels.overview.rgb != NULL)
        rc = encode(f, p->entry, budget_us, done, e);
    else if (p->known)
        rc = prepare(f, picture, e);
    else
        rc = look(f, picture, e);
    if (rc < 0)
        error_prefix(e, "picture %u", picture + 1);
    return rc;
}

/* ---- using ---- */

static struct feature_entry *complete_entry(const struct features *f, uint32_t picture) {
    MUST(picture < f->count);
    struct feature_entry *entry = f->pictures[picture].entry;
    MUST(entry != NULL && feature_entry_complete(entry));
    return entry;
}

const float *features_row(const struct features *f, uint32_t picture, uint32_t row) {
    return complete_entry(f, picture)->embeddings +
           (size_t)row * (size_t)f->engine->vision_model.projection;
}

uint32_t *features_tag(struct features *f, uint32_t picture) {
    return &complete_entry(f, picture)->tag;
}

void features_drop(struct features *f, uint32_t picture) {
    MUST(picture < f->count);
    struct picture *p = &f->pictures[picture];
    if (p->entry != NULL && p->entry->users == 1)
        encoder_forget(f->engine->encoder, p->entry);
    if (p->entry != NULL)
        feature_cache_release(f->engine->feature_cache, p->entry);
    p->entry = NULL;
    p->dropped = true;
}

void features_progress(const struct features *f, uint32_t *done, uint32_t *total) {
    *done = *total = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct picture *p = &f->pictures[i];
        *total += (uint32_t)p->n_tiles;
        if (p->dropped)
            *done += (uint32_t)p->n_tiles;
        else if (p->entry != NULL)
            *done += (uint32_t)p->entry->tiles_done;
    }
}
