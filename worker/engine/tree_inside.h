/* tree_inside.h - what the files of the tree share. */
#ifndef QUIRE_ENGINE_TREE_INSIDE_H
#define QUIRE_ENGINE_TREE_INSIDE_H

#include "worker/engine/tenants.h"
#include "worker/engine/tree.h"

#define NOT_QUEUED UINT32_MAX

/* Two chains that a node may be in, each found by a hash. */
enum tree_chain {
    CHAIN_FIRST, /* nodes with a unit: by parent and first unit */
    CHAIN_FULL,  /* nodes of 16: by parent and all units; no two of them are equal */
    TREE_CHAINS
};

/* Of page i, when that is taken. One with valid == 0 belongs to a path but is nobody's child yet. A
 * node that is not full is on one path at most, which alone may add to it. */
struct node {
    uint64_t key;    /* worth, for eviction */
    uint64_t used;   /* order in which nodes were left; decides among equal keys */
    uint32_t parent; /* a node, or total + the tenant's slot */
    uint32_t references, children;
    uint32_t valid; /* units, 0 .. 16 */
    uint32_t tag;
    uint32_t place; /* in the queue, NOT_QUEUED outside */
    struct {
        page_id next, previous;
    } chain[TREE_CHAINS];
};

struct tree {
    struct pages *pages;
    uint32_t total; /* pages */
    tree_dropped *dropped;
    void *arg;
    struct tenants *tenants;     /* [total + max_paths]: never full */
    struct node *nodes;          /* [total] */
    struct unit *units;          /* [total][16] */
    page_id *heads[TREE_CHAINS]; /* [n_heads] each; n_heads is a power of two */
    uint32_t n_heads;
    uint64_t seed; /* of the hashes: random, so that no prompts can be made to collide */

    page_id *queue; /* [total]: leaves on nobody's path, a heap with the least key first */
    uint32_t n_queue;
    uint64_t clock, uses;
    uint32_t n_paths, max_paths;
    uint32_t evictable, promised;
    uint64_t evicted;
};

static inline struct unit *tree_units(const struct tree *t, page_id id) {
    return t->units + (size_t)id * PAGE_POSITIONS;
}

static inline uint32_t tree_pages_for(uint32_t positions) {
    return positions / PAGE_POSITIONS + (positions % PAGE_POSITIONS != 0);
}

/* ---- tree_find.c ---- */

/* The child of `parent` with these 16 units; PAGE_NONE. */
page_id tree_find_full(const struct tree *t, uint32_t parent, const struct unit *units);
/* Of the children of `parent` other than `except`, the one with the longest leading run equal to
 * units[n], n >= 1; *run: how long. Among equals rather one that nobody adds to. PAGE_NONE when
 * none has the first unit. */
page_id tree_find_longest(const struct tree *t, uint32_t parent, const struct unit *units,
                          uint32_t n, page_id except, uint32_t *run);
/* Both go by the node's parent and units as they are. */
void tree_chain_add(struct tree *t, enum tree_chain which, page_id id);
void tree_chain_remove(struct tree *t, enum tree_chain which, page_id id);

/* ---- tree_evict.c ---- */

void tree_queue_add(struct tree *t, page_id id);
void tree_queue_remove(struct tree *t, page_id id);
/* A free page with one reference, for which the least worthy leaf may go. PAGE_NONE when all pages
 * are on paths. */
page_id tree_take_page(struct tree *t);

/* ---- tree.c ---- */

/* A path comes to a node, or leaves it. */
void tree_pin(struct tree *t, page_id id);
void tree_unpin(struct tree *t, page_id id);
/* Takes a node out of the tree and frees its page. */
void tree_drop(struct tree *t, page_id id);

#endif
