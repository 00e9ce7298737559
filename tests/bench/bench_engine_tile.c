/* bench_engine_tile.c - a picture's tile through the tower. */
#include "tests/bench/bench_engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "worker/engine/gguf.h"
#include "worker/engine/vision.h"

struct tile {
    struct gguf *gguf;
    struct vision_model model;
    struct team *team;
    struct vision *vision;
    float *pixels, *out;
};

static void close_tile(struct tile *t) {
    free(t->pixels);
    free(t->out);
    vision_close(t->vision);
    vision_model_release(&t->model);
    team_close(t->team);
    gguf_close(t->gguf);
}

static int open_tile(struct tile *t, const char *path, int threads, struct error *e) {
    int rc = gguf_open(&t->gguf, path, e);
    if (rc == 0)
        rc = team_open(&t->team, threads, e);
    if (rc == 0)
        rc = vision_model_bind(&t->model, t->gguf, 0, e);
    if (rc == 0)
        rc = vision_open(&t->vision, &t->model, t->team, e);
    if (rc != 0)
        return rc;
    size_t n = 3 * (size_t)t->model.image_size * (size_t)t->model.image_size;
    t->pixels = calloc(n, sizeof *t->pixels);
    t->out = calloc((size_t)t->model.n_out * (size_t)t->model.projection, sizeof *t->out);
    if (t->pixels == NULL || t->out == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a tile");
    for (size_t i = 0; i < n; i++)
        t->pixels[i] = (float)(i % 255) / 127.5F - 1;
    return 0;
}

static double tile_seconds(void *arg) {
    struct tile *t = arg;
    int64_t start = clock_us();
    vision_encode(t->vision, t->pixels, t->out);
    return (double)(clock_us() - start) * 1e-6;
}

int bench_vision(struct bench *b, const char *path, const char *text) {
    struct error e = {0};
    struct tile t = {0};
    char what[32];
    int rc = open_tile(&t, path, b->threads, &e);
    if (rc == 0)
        rc = limits_open(&b->limits, t.team, &e);
    if (rc == 0) {
        (void)snprintf(what, sizeof what, "tile of %dx%d", t.model.image_size, t.model.image_size);
        bench_measure(b, &(struct bench_task){.model = bench_name(path),
                                              .what = what,
                                              .need = work_tile(&t.model),
                                              .seconds = tile_seconds,
                                              .arg = &t,
                                              .ask = {.kind = text ? PEER_TILE : PEER_NOTHING,
                                                      .model = text,
                                                      .mmproj = path}});
    } else {
        fprintf(stderr, "bench-engine: %s\n", e.text);
    }
    limits_close(b->limits);
    b->limits = NULL;
    close_tile(&t);
    return rc;
}
