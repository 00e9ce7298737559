/* tree_find.c - a node's children by their units.
 *
 * Hashes only say where to look; units are compared in full. Chains are doubly linked through the
 * nodes, so that a node can leave one that is long: thousands of prompts may begin with the same
 * few words and go their own ways in the middle of one page. */
#include <string.h>

#include <xxhash.h>

#include "worker/engine/tree_inside.h"

#define PARENT_SPREAD 0x9e3779b97f4a7c15u /* odd: different parents give different seeds */

static page_id *head_of(const struct tree *t, enum tree_chain which, uint32_t parent,
                        const struct unit *units) {
    size_t n = which == CHAIN_FULL ? PAGE_POSITIONS : 1;
    uint64_t hash =
        XXH3_64bits_withSeed(units, n * sizeof *units, t->seed + parent * PARENT_SPREAD);
    return &t->heads[which][hash & (t->n_heads - 1)];
}

page_id tree_find_full(const struct tree *t, uint32_t parent, const struct unit *units) {
    page_id id = *head_of(t, CHAIN_FULL, parent, units);
    while (id != PAGE_NONE &&
           (t->nodes[id].parent != parent ||
            memcmp(tree_units(t, id), units, PAGE_POSITIONS * sizeof *units) != 0))
        id = t->nodes[id].chain[CHAIN_FULL].next;
    return id;
}

static uint32_t equal_run(const struct unit *a, const struct unit *b, uint32_t n) {
    uint32_t i = 0;
    while (i < n && memcmp(&a[i], &b[i], sizeof a[i]) == 0)
        i++;
    return i;
}

/* Nobody adds to it: rather this than one of equal use that may yet be dropped half way. */
static bool settled(const struct node *node) {
    return node->references == 0 || node->valid == PAGE_POSITIONS;
}

page_id tree_find_longest(const struct tree *t, uint32_t parent, const struct unit *units,
                          uint32_t n, page_id except, uint32_t *run) {
    page_id best = PAGE_NONE;
    *run = 0;
    page_id id = *head_of(t, CHAIN_FIRST, parent, units);
    for (int i = 0; i < TREE_CANDIDATES && id != PAGE_NONE; i++) {
        const struct node *node = &t->nodes[id];
        if (node->parent == parent && id != except) {
            uint32_t most = node->valid < n ? node->valid : n;
            uint32_t equal = equal_run(tree_units(t, id), units, most);
            if (equal > *run ||
                (equal > 0 && equal == *run && settled(node) && !settled(&t->nodes[best]))) {
                best = id;
                *run = equal;
            }
        }
        id = node->chain[CHAIN_FIRST].next;
    }
    return best;
}

void tree_chain_add(struct tree *t, enum tree_chain which, page_id id) {
    page_id *head = head_of(t, which, t->nodes[id].parent, tree_units(t, id));
    t->nodes[id].chain[which].next = *head;
    t->nodes[id].chain[which].previous = PAGE_NONE;
    if (*head != PAGE_NONE)
        t->nodes[*head].chain[which].previous = id;
    *head = id;
}

void tree_chain_remove(struct tree *t, enum tree_chain which, page_id id) {
    page_id next = t->nodes[id].chain[which].next;
    page_id previous = t->nodes[id].chain[which].previous;
    if (next != PAGE_NONE)
        t->nodes[next].chain[which].previous = previous;
    if (previous != PAGE_NONE)
        t->nodes[previous].chain[which].next = next;
    else
        *head_of(t, which, t->nodes[id].parent, tree_units(t, id)) = next;
}
