/* affinity.h - who holds which link: the broker's memory of what every worker keeps.
 *
 * A link (proto/segments.h) stands for a whole prefix, so "the longest prefix that a worker holds"
 * is the last link of a chain that it holds. A holder is a number, 0..AFFINITY_HOLDERS-1, which
 * stands for one incarnation of a worker (broker/holders.h says which).
 *
 * A holder of a link has told so (affinity_add), or was sent a request that will make it one
 * (affinity_promise). All of it is a hint: a false entry costs a route, never an answer. The table
 * has a fixed size, forgets what was used longest ago, and allocates nothing after open. */
#ifndef QUIRE_BROKER_AFFINITY_H
#define QUIRE_BROKER_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/segments.h"

#define AFFINITY_HOLDERS 256
#define AFFINITY_MIN_LINKS 64

struct holder_set {
    uint64_t words[AFFINITY_HOLDERS / 64];
};

static inline bool holder_set_has(const struct holder_set *s, int holder) {
    return s->words[holder / 64] >> (holder % 64) & 1;
}
static inline void holder_set_add(struct holder_set *s, int holder) {
    s->words[holder / 64] |= (uint64_t)1 << (holder % 64);
}
static inline void holder_set_remove(struct holder_set *s, int holder) {
    s->words[holder / 64] &= ~((uint64_t)1 << (holder % 64));
}

struct affinity;

/* Room for `links` links, a power of two, AFFINITY_MIN_LINKS at least, 64 bytes each; the memory is
 * touched as it fills. ERR_NOMEM leaves *out NULL. */
int affinity_open(struct affinity **out, size_t links);
void affinity_close(struct affinity *a); /* NULL is fine */

/* A number that no link names; -1 when all are taken. */
int affinity_join(struct affinity *a);

/* Nothing is believed of this holder from now on. Its number is given out again once a sweep has
 * removed it from every link. */
void affinity_void(struct affinity *a, int holder);

/* Goes on with the removal of void holders, for at most `links` links of the table. */
void affinity_sweep(struct affinity *a, size_t links);

/* The holder keeps this link, which ends at `positions` of its prompt (0: a picture's embeddings).
 * before: the link before it in its chain, NULL when not known. now_s: seconds, any epoch. */
void affinity_add(struct affinity *a, int holder, const struct link *link, uint32_t positions,
                  const struct link *before, uint32_t now_s);
void affinity_drop(struct affinity *a, int holder, const struct link *link);

/* The holder is about to compute this link, until affinity_withdraw: counted, one for one. A link
 * keeps the promises of AFFINITY_PROMISES holders; more are not noted. first: of its chain. */
#define AFFINITY_PROMISES 2
void affinity_promise(struct affinity *a, int holder, const struct link *link,
                      const struct link *before, bool first, uint32_t now_s);
void affinity_withdraw(struct affinity *a, int holder, const struct link *link);

/* What the table says of one link. */
struct affinity_view {
    struct holder_set holders; /* that told so */
    struct holder_set coming;  /* that were promised, and did not tell yet */
    uint32_t positions;        /* 0 when nobody told */
};
bool affinity_find(const struct affinity *a, const struct link *link, struct affinity_view *out);

/* A hint to the processor that these links will be looked for soon. */
void affinity_prefetch(const struct affinity *a, const struct link *link);

/* Notes that the link was asked for. */
void affinity_touch(struct affinity *a, const struct link *link, uint32_t now_s);

/* Links that somebody holds. Those of void holders count until a sweep has passed them. */
size_t affinity_count(const struct affinity *a);

/* What would be lost with this holder. positions counts a link's own segment, where the link before
 * it is known. Walks the table. */
struct affinity_loss {
    uint64_t links, positions, pictures, shared_links;
};
void affinity_losses(const struct affinity *a, int holder, struct affinity_loss *out);

#endif
