/* picture_digest.c - hashing pictures.
 *
 * The prepared picture is hashed in parts of known length (each image by itself, then their hashes
 * with the dimensions), so that no two pictures become the same run of bytes. */
#include "worker/engine/picture_digest.h"

#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

_Static_assert(DIGEST_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "a secret is as long as XXH3 wants");

int digest_secret_draw(struct digest_secret *out, struct error *e) {
    if (getrandom(out->bytes, sizeof out->bytes, 0) != (ssize_t)sizeof out->bytes)
        return error_set(e, ERR_INTERNAL, "the system gave no random numbers for a secret");
    return 0;
}

static struct picture_digest hash(const struct digest_secret *s, const void *data, size_t size) {
    XXH128_hash_t h = XXH3_128bits_withSecret(data, size, s->bytes, sizeof s->bytes);
    return (struct picture_digest){{h.low64, h.high64}};
}

struct picture_digest digest_encoded(const struct digest_secret *s, struct bytes encoded) {
    return hash(s, encoded.data, encoded.size);
}

static struct picture_digest hash_pixels(const struct digest_secret *s, const struct image *i) {
    return hash(s, i->rgb, (size_t)i->width * (size_t)i->height * 3);
}

struct picture_digest digest_prepared(const struct digest_secret *s, const struct vision_model *m,
                                      const struct prepared *p) {
    struct {
        struct picture_digest refined, overview;
        int32_t sides[4];
        int32_t layout[3];
        int32_t tile_side;
        float mean[3], std[3];
    } whole;
    memset(&whole, 0, sizeof whole);
    whole.refined = hash_pixels(s, &p->refined);
    whole.overview = hash_pixels(s, &p->overview);
    whole.sides[0] = p->refined.width;
    whole.sides[1] = p->refined.height;
    whole.sides[2] = p->overview.width;
    whole.sides[3] = p->overview.height;
    whole.layout[0] = p->layout.columns;
    whole.layout[1] = p->layout.rows;
    whole.layout[2] = p->layout.embeddings_per_tile;
    whole.tile_side = m->image_size;
    memcpy(whole.mean, m->mean, sizeof whole.mean);
    memcpy(whole.std, m->std, sizeof whole.std);
    return hash(s, &whole, sizeof whole);
}
