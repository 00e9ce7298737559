/* trail.h - what the broker keeps of a request's chain while it is under way: the links to look
 * for, and how many positions each segment is guessed to have.
 *
 * A chain longer than CHAIN_KEPT segments keeps its first and last ones: the first are what many
 * requests share, the last are what one conversation does. */
#ifndef QUIRE_BROKER_TRAIL_H
#define QUIRE_BROKER_TRAIL_H

#include "broker/affinity.h"
#include "broker/event.h"

#define CHAIN_KEPT 256

struct trail_segment {
    struct link link;
    uint32_t bytes;
    uint32_t end; /* where it ends in the prompt, guessed */
    uint8_t kind, role;
};

struct trail_picture {
    struct link link;
    uint32_t segment; /* the last of the request's segments that show it */
};

struct trail {
    uint8_t fingerprint[16];
    uint32_t kept;     /* used entries of segments */
    uint32_t skipped;  /* segments of the request between segments[CHAIN_KEPT/2 - 1] and the next */
    uint32_t pictures; /* used entries of picture; each once */
    uint32_t shown;    /* picture segments of the request */
    uint64_t text_bytes;
    struct trail_segment segments[CHAIN_KEPT];
    struct trail_picture picture[LIMIT_PICTURES];
};

/* How many positions things have on average; broker/predict.h learns it. */
struct sizes {
    double position_bytes;    /* of text, to one position */
    double picture_positions; /* of one picture */
    double picture_tiles;
};

void trail_keep(struct trail *t, const struct request_chain *chain, const struct sizes *sizes);

/* The guess for the whole prompt; 0 without a chain. */
static inline uint32_t trail_end(const struct trail *t) {
    return t->kept > 0 ? t->segments[t->kept - 1].end : 0;
}

/* How many of the request's segments end with kept segment i. */
static inline uint32_t trail_depth(const struct trail *t, uint32_t i) {
    return i < CHAIN_KEPT / 2 ? i + 1 : i + 1 + t->skipped;
}

/* What the workers hold of one request. */
struct held {
    int32_t kept;       /* index of the last kept segment it holds */
    uint32_t segments;  /* of the request, from the first */
    uint32_t positions; /* told, or guessed */
    bool coming;        /* promised, not told yet */
};

struct match {
    struct holder_set holders;              /* of some of its segments */
    struct held held[AFFINITY_HOLDERS];     /* of those */
    struct holder_set with[LIMIT_PICTURES]; /* embeddings of each of the trail's pictures */
    bool any;                               /* some holder has some segment or picture */
    int32_t known;                          /* the last kept segment of which positions were told */
    uint32_t known_positions;               /* where it ends */
    uint32_t positions;                     /* of the whole prompt, as told and guessed */
};

/* For every holder in `of` the longest prefix it holds. `touch`: counts as use of these links. */
void trail_match(const struct trail *t, struct affinity *a, const struct holder_set *of, bool touch,
                 uint32_t now_s, struct match *out);

/* Where kept segment i ends, as told or as guessed from what was told. */
uint32_t trail_place(const struct trail *t, const struct match *m, int32_t i);

/* The holder will compute all after the first `from` kept segments, and the pictures; and takes it
 * back. */
void trail_promise(const struct trail *t, struct affinity *a, int holder, uint32_t from,
                   uint32_t now_s);
void trail_withdraw(const struct trail *t, struct affinity *a, int holder, uint32_t from);

#endif
