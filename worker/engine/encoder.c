/* encoder.c - pixels of an entry's tiles into the tower, its results into the entry. */
#include "worker/engine/encoder.h"

#include <stdlib.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/must.h"
#include "worker/engine/preprocess.h"
#include "worker/engine/vision.h"

struct encoder {
    const struct vision_model *model;
    struct vision *vision;
    float *pixels;               /* [3][S][S]: the tile that goes into the tower */
    struct feature_entry *entry; /* whose tiles are under way; NULL: nobody's */
    int32_t tiles;
    int64_t spent_us; /* on them */
};

int encoder_open(struct encoder **out, const struct vision_model *m, struct team *t,
                 struct error *e) {
    *out = NULL;
    struct encoder *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a vision tower");
    c->model = m;
    int rc = vision_open(&c->vision, m, t, e);
    size_t side = (size_t)m->image_size, pixels;
    if (rc == 0 &&
        (!size_mul(side, side, &pixels) || !size_mul(pixels, 3 * sizeof(float), &pixels) ||
         (c->pixels = malloc(pixels)) == NULL))
        rc = error_set(e, ERR_NOMEM, "no memory for a tile of %zux%zu pixels", side, side);
    if (rc < 0) {
        encoder_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void encoder_close(struct encoder *c) {
    if (c == NULL)
        return;
    vision_close(c->vision);
    free(c->pixels);
    free(c);
}

size_t encoder_scratch_bytes(const struct encoder *c) {
    return vision_scratch_bytes(c->vision);
}

bool encoder_busy(const struct encoder *c) {
    return c->entry != NULL;
}

int32_t encoder_begin(struct encoder *c, struct feature_entry *entry) {
    MUST(c->entry == NULL && entry->embeddings != NULL && entry->pixels.overview.rgb != NULL);
    int64_t begin_us = clock_us();
    int32_t left = entry->n_tiles - entry->tiles_done, most = vision_tiles(c->vision);
    c->entry = entry;
    c->tiles = left < most ? left : most;
    vision_begin(c->vision);
    for (int32_t i = 0; i < c->tiles; i++) {
        preprocess_tile(c->model, &entry->pixels, entry->tiles_done + i, c->pixels);
        vision_add(c->vision, c->pixels);
    }
    c->spent_us = clock_us() - begin_us;
    return c->tiles;
}

int32_t encoder_work(struct encoder *c, struct feature_cache *cache, int64_t budget_us,
                     int64_t *us_each) {
    struct feature_entry *entry = c->entry;
    MUST(entry != NULL);
    int64_t begin_us = clock_us();
    size_t tile_floats = (size_t)c->model->n_out * (size_t)c->model->projection;
    float *out = entry->embeddings + (size_t)entry->tiles_done * tile_floats;
    bool done = vision_advance(c->vision, out, budget_us);
    c->spent_us += clock_us() - begin_us;
    if (!done)
        return 0;
    for (int32_t i = 0; i < c->tiles; i++)
        feature_cache_tile_done(cache, entry);
    c->entry = NULL;
    *us_each = c->spent_us / c->tiles;
    return c->tiles;
}

void encoder_forget(struct encoder *c, const struct feature_entry *entry) {
    if (c->entry == entry)
        c->entry = NULL;
}
