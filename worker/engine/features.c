/* features.c - planned from headers, decoded late, dropped early.
 *
 * Headers are read when the request comes, so that most bad pictures are refused before any work;
 * pixels are made only when the prompt gets there. A request of many pictures therefore never holds
 * the pixels of more than one, nor the embeddings of more than its next chunk of positions needs.
 */
#include "worker/engine/features.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

struct picture {
    struct bytes encoded;     /* borrowed */
    struct prepared prepared; /* while tiles are to be encoded */
    float *embeddings;        /* [n_tiles][n_out][projection] */
    int32_t n_tiles, tiles_done;
};

static int plan(struct features *f, const struct engine *g, size_t i, struct bytes encoded,
                struct error *e) {
    int32_t width, height;
    int rc = image_probe(encoded, &width, &height, e);
    if (rc == 0)
        rc = preprocess_plan(&g->vision_model, width, height, &f->layouts[i], e);
    if (rc < 0) {
        error_prefix(e, "picture %zu", i + 1);
        return rc;
    }
    f->pictures[i].encoded = encoded;
    f->pictures[i].n_tiles = f->layouts[i].columns * f->layouts[i].rows + 1;
    f->tiles_total += (uint32_t)f->pictures[i].n_tiles;
    return 0;
}

int features_open(struct features *f, const struct engine *g, const struct bytes *encoded,
                  size_t count, struct error *e) {
    memset(f, 0, sizeof *f);
    if (count == 0)
        return 0;
    if (!g->sees)
        return error_set(e, ERR_BAD_REQUEST,
                         "the request has pictures, but the model \"%s\" reads text only",
                         g->text.name);
    f->pictures = calloc(count, sizeof *f->pictures);
    f->layouts = calloc(count, sizeof *f->layouts);
    if (f->pictures == NULL || f->layouts == NULL) {
        features_close(f);
        return error_set(e, ERR_NOMEM, "no memory for %zu pictures", count);
    }
    f->count = count;
    for (size_t i = 0; i < count; i++) {
        int rc = plan(f, g, i, encoded[i], e);
        if (rc < 0) {
            features_close(f);
            return rc;
        }
    }
    return 0;
}

void features_close(struct features *f) {
    for (size_t i = 0; i < f->count; i++) {
        prepared_clear(&f->pictures[i].prepared);
        free(f->pictures[i].embeddings);
    }
    free(f->pictures);
    free(f->layouts);
    memset(f, 0, sizeof *f);
}

bool features_complete(const struct features *f, uint32_t picture) {
    MUST(picture < f->count);
    return f->pictures[picture].tiles_done == f->pictures[picture].n_tiles;
}

static size_t tile_floats(const struct engine *g) {
    return (size_t)g->vision_model.n_out * (size_t)g->vision_model.projection;
}

static int decode(struct picture *p, const struct picture_layout *planned, const struct engine *g,
                  struct error *e) {
    struct image image;
    int rc = image_decode(p->encoded, &image, e);
    if (rc < 0)
        return rc;
    rc = preprocess_picture(&g->vision_model, &image, &p->prepared, e);
    image_clear(&image);
    if (rc < 0)
        return rc;
    if (memcmp(&p->prepared.layout, planned, sizeof *planned) != 0)
        return error_set(e, ERR_BAD_PICTURE, "its size is not the one its header gives");
    size_t bytes;
    if (!size_mul((size_t)p->n_tiles, tile_floats(g) * sizeof(float), &bytes) ||
        (p->embeddings = malloc(bytes)) == NULL)
        return error_set(e, ERR_NOMEM, "no memory for the embeddings of %d tiles", p->n_tiles);
    return 0;
}

int features_work(struct features *f, const struct engine *g, uint32_t picture, bool *tile,
                  struct error *e) {
    MUST(!features_complete(f, picture));
    struct picture *p = &f->pictures[picture];
    *tile = p->embeddings != NULL;
    if (!*tile) {
        int rc = decode(p, &f->layouts[picture], g, e);
        if (rc < 0)
            error_prefix(e, "picture %u", picture + 1);
        return rc;
    }
    preprocess_tile(&g->vision_model, &p->prepared, p->tiles_done, g->pixels);
    vision_encode(g->vision, g->pixels, p->embeddings + (size_t)p->tiles_done * tile_floats(g));
    if (p->tiles_done++ == 0)
        f->pictures_encoded++;
    f->tiles_done++;
    if (p->tiles_done == p->n_tiles)
        prepared_clear(&p->prepared);
    return 0;
}

const float *features_row(const struct features *f, const struct engine *g, uint32_t picture,
                          uint32_t row) {
    MUST(features_complete(f, picture) && f->pictures[picture].embeddings != NULL);
    return f->pictures[picture].embeddings + (size_t)row * (size_t)g->vision_model.projection;
}

void features_drop(struct features *f, uint32_t picture) {
    MUST(features_complete(f, picture));
    free(f->pictures[picture].embeddings);
    f->pictures[picture].embeddings = NULL;
}
