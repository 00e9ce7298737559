/* feature_rig.h - an engine that sees, pictures of noise, and requests that do nothing but look. */
#ifndef QUIRE_TESTS_SUPPORT_FEATURE_RIG_H
#define QUIRE_TESTS_SUPPORT_FEATURE_RIG_H

#include "common/bytes.h"
#include "tests/support/png_make.h"
#include "worker/engine/features.h"

#define RIG_TILES 2                        /* this model's pictures: one tile and the overview */
#define RIG_SMALL_BYTES ((size_t)20 << 10) /* room for three pictures' embeddings, for no pixels   \
                                            */

/* The tests' fixtures; rig_engine is there in between. */
extern struct engine *rig_engine;
int rig_open(void **state);       /* with room for all */
int rig_open_small(void **state); /* with RIG_SMALL_BYTES */
int rig_close(void **state);

/* ---- pictures: files in new memory ---- */

typedef uint16_t rig_sample(uint32_t x, uint32_t y, int channel);
struct bytes rig_png(uint32_t width, uint32_t height, uint8_t colour, bool interlaced,
                     rig_sample *sample);
/* Noise that differs from number to number. */
struct bytes rig_noise_png(uint32_t number, uint32_t width, uint32_t height);
void rig_release(struct bytes file);

/* ---- requests; what fails fails the test ---- */

struct bytes rig_named(const char *tenant);
struct features rig_ask(const char *tenant, const struct shown *shown, size_t n);
void rig_work(struct features *f, uint32_t picture); /* one piece without a bound */
/* One piece of features_work's budget; returns the tiles that it ended. */
int32_t rig_work_for(struct features *f, uint32_t picture, int64_t budget_us);
void rig_make_all(struct features *f);
/* What the request had to do; the pictures are encoded with their tiles. */
void rig_expect(const struct features *f, uint32_t decoded, uint32_t encoded);
/* A whole request of one picture: what it had to do. */
void rig_ask_alone(const char *tenant, struct shown shown, uint32_t decoded, uint32_t encoded);

bool rig_same_digest(struct features *f, uint32_t i, struct features *g, uint32_t j);
size_t rig_picture_floats(void); /* of all tiles */
size_t rig_kept(void);           /* entries in the cache */

#endif
