/* picture_digest.h - 128 bits that stand for a picture within this process.
 *
 * XXH3-128 under a secret that is drawn when the process starts, so that nobody outside can make
 * two pictures that share one. Two digests are made of a picture: of its encoded bytes, which says
 * that it was decoded before, and of the 8-bit pixels that go to normalisation, which says that the
 * model sees the same. */
#ifndef QUIRE_ENGINE_PICTURE_DIGEST_H
#define QUIRE_ENGINE_PICTURE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/model.h"
#include "worker/engine/preprocess.h"

struct picture_digest {
    uint64_t half[2];
};

static inline bool picture_digest_equal(struct picture_digest a, struct picture_digest b) {
    return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

#define DIGEST_SECRET_BYTES 192

struct digest_secret {
    uint8_t bytes[DIGEST_SECRET_BYTES];
};

/* ERR_INTERNAL when the system gives no random numbers. */
int digest_secret_draw(struct digest_secret *out, struct error *e);

struct picture_digest digest_encoded(const struct digest_secret *s, struct bytes encoded);

/* Of the pixels, their dimensions, the layout and what normalises them. */
struct picture_digest digest_prepared(const struct digest_secret *s, const struct vision_model *m,
                                      const struct prepared *p);

#endif
