/* reuse.c - links and the positions computed behind them, in an open-addressed map.
 *
 * Links are hashes already: the first bytes are the place in the map. */
#include "client/cli/replay/reuse.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024 /* a power of two */

struct slot {
    struct link link;
    uint32_t positions; /* 0: the slot is empty */
};

struct reuse {
    enum reuse_keying keying;
    struct slot *slots;
    size_t n_slots, used;
};

int reuse_open(struct reuse **out, enum reuse_keying keying) {
    struct reuse *r = calloc(1, sizeof *r);
    *out = NULL;
    if (r == NULL)
        return ERR_NOMEM;
    r->keying = keying;
    r->n_slots = FIRST_SLOTS;
    r->slots = calloc(r->n_slots, sizeof *r->slots);
    if (r->slots == NULL) {
        free(r);
        return ERR_NOMEM;
    }
    *out = r;
    return 0;
}

void reuse_close(struct reuse *r) {
    if (r != NULL)
        free(r->slots);
    free(r);
}

/* The slot that holds the link, or the empty one where it would go. */
static struct slot *find(struct slot *slots, size_t n_slots, const struct link *link) {
    uint64_t at;
    memcpy(&at, link->bytes, sizeof at);
    for (;; at++) {
        struct slot *slot = &slots[at & (n_slots - 1)];
        if (slot->positions == 0 || memcmp(&slot->link, link, sizeof *link) == 0)
            return slot;
    }
}

/* A request's pictures mixed into one of its links; both are hashes. */
static struct link key_of(const struct reuse *r, const struct outcome *o, size_t i) {
    struct link key = o->links[i];
    for (size_t k = 0; k < sizeof key.bytes && r->keying == REUSE_ONE_KEY; k++)
        key.bytes[k] ^= o->pictures.bytes[k];
    return key;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

uint32_t reuse_longest(const struct reuse *r, const struct outcome *o) {
    size_t n = o->n_prompt_links < o->n_ends ? o->n_prompt_links : o->n_ends;
    if (o->usage.prompt_positions == 0)
        return 0;
    for (size_t i = n; i-- > 0;) {
        struct link key = key_of(r, o, i);
        const struct slot *slot = find(r->slots, r->n_slots, &key);
        if (slot->positions > 0)
            return least(least(o->ends[i], slot->positions), o->usage.prompt_positions - 1);
    }
    return 0;
}

static int make_room(struct reuse *r) {
    if (2 * (r->used + 1) <= r->n_slots)
        return 0;
    struct slot *grown = calloc(2 * r->n_slots, sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < r->n_slots; i++)
        if (r->slots[i].positions > 0)
            *find(grown, 2 * r->n_slots, &r->slots[i].link) = r->slots[i];
    free(r->slots);
    r->slots = grown;
    r->n_slots *= 2;
    return 0;
}

/* The last token of an answer that was cut is drawn, but never computed: nothing follows it. */
static uint32_t computed_positions(const struct outcome *o) {
    uint32_t uncomputed = o->usage.answer_tokens > 0 && o->finish != QUIRE_FINISH_END;
    return o->usage.prompt_positions + o->usage.answer_tokens - uncomputed;
}

int reuse_add(struct reuse *r, const struct outcome *o) {
    uint32_t positions = computed_positions(o);
    for (size_t i = 0; i < o->n_links && positions > 0; i++) {
        struct link key = key_of(r, o, i);
        if (make_room(r) != 0)
            return ERR_NOMEM;
        struct slot *slot = find(r->slots, r->n_slots, &key);
        r->used += slot->positions == 0;
        slot->link = key;
        if (slot->positions < positions)
            slot->positions = positions;
    }
    return 0;
}
