/* tree.h - what was computed and may be used again: pages in a tree over their position units.
 *
 * A node is a page together with the units of its positions, so nodes go by their page's number. A
 * node of 16 units may have children, which continue it; one of fewer is the last page that some
 * task computed, or is computing. Roots are per tenant: tenants never meet.
 *
 * A path is one task's way from its root: it pins the nodes on it. Whatever a task computes is in
 * the tree at once and others may take it; a position once there never changes. Nodes on nobody's
 * path stay until their page is needed. Then the leaf goes first whose return is worth least: key =
 * clock + cost to compute it again, where the clock is the key of what went last, so that old
 * things go in the end whatever they cost (GreedyDual); among equal keys the one used longest ago.
 *
 * Pages are promised when a path begins and taken when a position needs them, so a path that has
 * begun never lacks one, and an answer that ends early has thrown nothing out for the rest.
 *
 * Nothing is allocated after tree_open, except by tree_begin. Used by one thread (the engine's). */
#ifndef QUIRE_ENGINE_TREE_H
#define QUIRE_ENGINE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/pages.h"
#include "worker/engine/sequence.h"

/* When children that leave a page midway are compared: at most so many of those that begin alike,
 * the newest first. */
#define TREE_CANDIDATES 256

/* What stands at a position. Compared as bytes, so it has no padding. */
struct unit {
    int32_t token;      /* -1: a row of a picture's embeddings */
    uint32_t row;       /* 0 for a token */
    uint64_t digest[2]; /* of what the model sees of the picture; 0 for a token */
};
_Static_assert(sizeof(struct unit) == 24, "no padding");

/* What it takes to compute positions again, in microseconds. */
struct tree_cost {
    uint32_t position_us;         /* each */
    uint32_t picture_position_us; /* an embedding's: on top, its share of the vision tower */
};

/* A node with this tag goes. Called inside tree_begin, tree_reserve, tree_computed, tree_follow and
 * tree_end; must not call the tree. */
typedef void tree_dropped(void *arg, uint32_t tag);

struct tree;

/* A tree over all pages of p, of which nobody else may take any; borrows p. At most max_paths at a
 * time. `dropped` may be NULL. ERR_NOMEM. */
int tree_open(struct tree **out, struct pages *p, uint32_t max_paths, tree_dropped *dropped,
              void *arg, struct error *e);
/* All paths must have ended. Gives the pages back, tells nobody of tags. NULL is fine. */
void tree_close(struct tree *t);

/* ---- paths ---- */

/* A zeroed one has not begun. Its sequence is what the decoder computes on: between tree_reserve
 * and tree_computed a step may advance sequence.positions. */
struct tree_path {
    struct sequence sequence; /* pages[i] is the node of positions 16 i .. 16 i + 15 */
    uint32_t known;           /* positions that the tree knows of; <= sequence.positions */
    uint32_t tenant;          /* slot */
    uint32_t promised;        /* pages that it may still take */
    uint32_t tail_kept;       /* valid positions that its last page had when it was taken over */
    bool begun;
};

/* Begins a path for a prompt of n >= 1 units and an answer, `most` positions in all (>= n): matches
 * the prompt, pins what matches, and promises pages for the rest. At most n - 1 positions are
 * matched, since the last one's logits are wanted; sequence.positions tells how many. A tenant
 * longer than TENANT_BYTES is our own bug.
 * ERR_LIMIT when others' paths leave too few pages: try again when one of them has ended.
 * ERR_NOMEM. Both leave the path as it was. */
int tree_begin(struct tree *t, struct tree_path *path, struct bytes tenant,
               const struct unit *units, uint32_t n, uint32_t most, struct error *e);

/* Takes over what others have computed meanwhile, from the path's positions on: units[n] are those
 * that follow its known positions, and all may be taken. Returns how many were. */
uint32_t tree_follow(struct tree *t, struct tree_path *path, const struct unit *units, uint32_t n);

/* Makes sure that pages exist for `positions` in all, at most `most` of tree_begin. */
void tree_reserve(struct tree *t, struct tree_path *path, uint32_t positions);

/* A step has computed n more positions: sequence.positions is known + n. Pages that turn out equal
 * to others' are exchanged for those and given back. */
void tree_computed(struct tree *t, struct tree_path *path, const struct unit *units, uint32_t n);

/* Ends a path: its nodes stay in the tree, their worth counted from now. Without keep_tail a page
 * that is not full is dropped, or put back to how it was taken over. Fine if it never began. */
void tree_end(struct tree *t, struct tree_path *path, bool keep_tail, struct tree_cost cost);

/* What tree_end with keep_tail would do about a last page that another node holds in full already:
 * exchanges it, so that tags may be set on nodes that stay. */
void tree_settle(struct tree *t, struct tree_path *path);

/* ---- tags: a number of the user's on a node, 0 for none ---- */

uint32_t tree_tag(const struct tree *t, page_id node);
/* The node is on some path. When a page is exchanged, its tag moves along; if both have one, the
 * one that goes is told as dropped. */
void tree_set_tag(struct tree *t, page_id node, uint32_t tag);

/* ---- counts ---- */

struct tree_counts {
    uint32_t free;      /* pages without a node */
    uint32_t evictable; /* nodes on nobody's path */
    uint32_t promised;  /* to paths, not yet taken; <= free + evictable */
    uint64_t evicted;   /* since open */
};
struct tree_counts tree_counts(const struct tree *t);

#endif
