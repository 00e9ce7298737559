/* feature_rig.c - opening, drawing, asking. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/support/feature_rig.h"

#include <stdlib.h>
#include <string.h>

struct engine *rig_engine;

static int open_engine(size_t feature_bytes) {
    struct engine_options o = {.model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                               .mmproj = QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf",
                               .threads = 1,
                               .kv_bytes = 1 << 20,
                               .feature_bytes = feature_bytes,
                               .max_sequences = 1};
    struct error e = {0};
    if (engine_open(&rig_engine, &o, &e) < 0)
        fail_msg("%s", e.text);
    return 0;
}

int rig_open(void **state) {
    (void)state;
    return open_engine(8u << 20);
}

int rig_open_small(void **state) {
    (void)state;
    return open_engine(RIG_SMALL_BYTES);
}

int rig_close(void **state) {
    (void)state;
    engine_close(rig_engine);
    rig_engine = NULL;
    return 0;
}

/* ---- pictures ---- */

struct bytes rig_png(uint32_t width, uint32_t height, uint8_t colour, bool interlaced,
                     rig_sample *sample) {
    struct png_spec spec = {.width = width,
                            .height = height,
                            .depth = 8,
                            .colour = colour,
                            .interlaced = interlaced,
                            .sample = sample};
    return png_make(&spec);
}

static uint32_t seed; /* of the picture that `noise` draws */

static uint16_t noise(uint32_t x, uint32_t y, int c) {
    uint32_t v =
        (x * 73856093u) ^ (y * 19349663u) ^ ((uint32_t)c * 83492791u) ^ (seed * 2654435761u);
    return (uint16_t)((v ^ v >> 13) & 255);
}

struct bytes rig_noise_png(uint32_t number, uint32_t width, uint32_t height) {
    seed = number;
    return rig_png(width, height, 2, false, noise);
}

void rig_release(struct bytes file) {
    free((void *)(uintptr_t)file.data);
}

/* ---- requests ---- */

struct bytes rig_named(const char *tenant) {
    return (struct bytes){(const uint8_t *)tenant, strlen(tenant)};
}

struct features rig_ask(const char *tenant, const struct shown *shown, size_t n) {
    struct features f;
    struct error e = {0};
    if (features_open(&f, rig_engine, rig_named(tenant), shown, n, &e) < 0)
        fail_msg("%s", e.text);
    return f;
}

int32_t rig_work_for(struct features *f, uint32_t picture, int64_t budget_us) {
    struct error e = {0};
    struct features_done done;
    if (features_work(f, picture, budget_us, &done, &e) < 0)
        fail_msg("%s", e.text);
    return done.tiles;
}

void rig_work(struct features *f, uint32_t picture) {
    (void)rig_work_for(f, picture, 0);
}

void rig_make_all(struct features *f) {
    for (uint32_t i = 0; i < f->count; i++)
        while (!features_complete(f, i))
            rig_work(f, i);
}

void rig_expect(const struct features *f, uint32_t decoded, uint32_t encoded) {
    assert_int_equal(f->pictures_decoded, decoded);
    assert_int_equal(f->pictures_encoded, encoded);
    assert_int_equal(f->tiles_encoded, RIG_TILES * encoded);
}

void rig_ask_alone(const char *tenant, struct shown shown, uint32_t decoded, uint32_t encoded) {
    struct features f = rig_ask(tenant, &shown, 1);
    rig_make_all(&f);
    rig_expect(&f, decoded, encoded);
    features_close(&f);
}

bool rig_same_digest(struct features *f, uint32_t i, struct features *g, uint32_t j) {
    uint64_t a[2], b[2];
    features_digest(f, i, a);
    features_digest(g, j, b);
    return memcmp(a, b, sizeof a) == 0;
}

size_t rig_picture_floats(void) {
    return (size_t)(RIG_TILES * rig_engine->vision_model.n_out *
                    rig_engine->vision_model.projection);
}

size_t rig_kept(void) {
    return feature_cache_count(rig_engine->feature_cache);
}
