/* fingerprint.c - what makes one model's pages unlike another's, in 128 bits.
 *
 * Hashed in the file's order, each with its length: the keys that steer the computation and the
 * vocabulary, then every tensor's name, shape, type and samples of its data. Samples and not all
 * of it, since hashing a gigabyte would read it all at start; evenly spaced windows tell any two
 * trainings or quantisations apart. It is no defence against somebody who edits weights between
 * the samples on purpose. */
#include "worker/engine/gguf_inside.h"
#include "worker/engine/model.h"

#include <string.h>

#include <xxhash.h>

#include "common/must.h"

#define SAMPLES 8u
#define SAMPLE_BYTES 64u

static void add_bytes(XXH3_state_t *s, const void *data, size_t n) {
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)n >> (8 * i));
    MUST(XXH3_128bits_update(s, length, sizeof length) == XXH_OK);
    if (n > 0)
        MUST(XXH3_128bits_update(s, data, n) == XXH_OK);
}

static void add_u64(XXH3_state_t *s, uint64_t v) {
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    add_bytes(s, b, sizeof b);
}

/* Names, authors, licences: general.* does not steer anything, but for the architecture. */
static bool is_silent(struct bytes name) {
    static const char general[] = "general.", arch[] = "general.architecture";
    return name.size >= sizeof general - 1 && memcmp(name.data, general, sizeof general - 1) == 0 &&
           !(name.size == sizeof arch - 1 && memcmp(name.data, arch, sizeof arch - 1) == 0);
}

static size_t value_bytes(const struct gguf_key *k) {
    if (k->type == VALUE_STRING)
        return k->count;
    if (k->type != VALUE_ARRAY)
        return gguf_value_bytes(k->type);
    if (k->element_type != VALUE_STRING)
        return k->count * gguf_value_bytes(k->element_type);
    const uint8_t *end = k->value;
    for (size_t i = 0; i < k->count; i++)
        (void)gguf_next_string(&end);
    return (size_t)(end - k->value);
}

static void add_keys(XXH3_state_t *s, const struct gguf *g) {
    for (size_t i = 0; i < g->n_keys; i++) {
        const struct gguf_key *k = &g->keys[i];
        if (is_silent(k->name))
            continue;
        add_bytes(s, k->name.data, k->name.size);
        add_u64(s, k->type);
        add_u64(s, k->type == VALUE_ARRAY ? k->element_type : 0);
        add_bytes(s, k->value, value_bytes(k));
    }
}

static void add_tensor(XXH3_state_t *s, const struct gguf_tensor *t) {
    add_bytes(s, t->name.data, t->name.size);
    add_u64(s, t->type);
    for (int d = 0; d < GGUF_MAX_DIMS; d++)
        add_u64(s, (uint64_t)t->ne[d]);
    if (t->bytes <= SAMPLES * SAMPLE_BYTES) {
        add_bytes(s, t->data, t->bytes);
        return;
    }
    size_t last = t->bytes - SAMPLE_BYTES; /* where the last window starts */
    for (size_t i = 0; i < SAMPLES; i++)
        add_bytes(s, (const uint8_t *)t->data + last / (SAMPLES - 1) * i, SAMPLE_BYTES);
}

static void add_file(XXH3_state_t *s, const struct gguf *g) {
    add_u64(s, g->n_keys);
    add_keys(s, g);
    add_u64(s, g->n_tensors);
    for (size_t i = 0; i < g->n_tensors; i++)
        add_tensor(s, &g->tensors[i]);
}

void model_fingerprint(const struct gguf *text, const struct gguf *mmproj, uint8_t out[16]) {
    static const char domain[] = "quire model fingerprint 1";
    XXH3_state_t *s = XXH3_createState();
    MUST(s != NULL && XXH3_128bits_reset(s) == XXH_OK);
    add_bytes(s, domain, sizeof domain - 1);
    add_file(s, text);
    if (mmproj != NULL)
        add_file(s, mmproj);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(s));
    memcpy(out, canonical.digest, 16);
    (void)XXH3_freeState(s);
}
