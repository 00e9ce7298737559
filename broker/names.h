/* names.h - who is who: a peer's routing id on its socket, and short texts kept by value. */
#ifndef QUIRE_BROKER_NAMES_H
#define QUIRE_BROKER_NAMES_H

#include <stdbool.h>
#include <string.h>

#include "common/bytes.h"
#include "proto/limits.h"

/* A ZeroMQ routing id; at most 255 bytes by its definition. */
struct peer {
    uint8_t size;
    uint8_t id[255];
};

static inline bool peer_equal(const struct peer *a, const struct peer *b) {
    return a->size == b->size && memcmp(a->id, b->id, a->size) == 0;
}

/* False, and *p untouched, when the id is longer than a routing id can be. */
static inline bool peer_set(struct peer *p, struct bytes id) {
    if (id.size > sizeof p->id)
        return false;
    p->size = (uint8_t)id.size;
    if (id.size > 0)
        memcpy(p->id, id.data, id.size);
    return true;
}

/* A worker's or model's name: its bytes, with a NUL after them for printing. */
#define LABEL_BYTES 128
_Static_assert(LABEL_BYTES >= LIMIT_NAME_BYTES && LABEL_BYTES >= LIMIT_MODEL_BYTES,
               "a label holds every name that the wire may carry");

struct label {
    uint8_t size;
    char text[LABEL_BYTES + 1];
};

static inline struct bytes label_bytes(const struct label *l) {
    return (struct bytes){(const uint8_t *)l->text, l->size};
}

static inline bool label_is(const struct label *l, struct bytes text) {
    return l->size == text.size && (text.size == 0 || memcmp(l->text, text.data, text.size) == 0);
}

/* Keeps a copy. False, and *l untouched, when the text is longer than LABEL_BYTES. */
static inline bool label_set(struct label *l, struct bytes text) {
    if (text.size > LABEL_BYTES)
        return false;
    l->size = (uint8_t)text.size;
    if (text.size > 0)
        memcpy(l->text, text.data, text.size);
    l->text[text.size] = '\0';
    return true;
}

#endif
