/* tree.c - nodes, and the beginning and end of paths through them.
 *
 * What must hold between calls:
 * - promised <= free + evictable: every page promised can be had, at worst by evicting.
 * - A node on a path has all nodes above it on that path. So what is on nobody's path is whole
 *   subtrees, and `evictable` counts it.
 * - No two full children of one parent are equal; where a step makes one, its page is exchanged
 *   for the one that was there. That is also how tasks that computed the same at the same time end
 *   up on the same pages. */
#include "worker/engine/tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/must.h"
#include "worker/engine/tree_inside.h"

int tree_open(struct tree **out, struct pages *p, uint32_t max_paths, tree_dropped *dropped,
              void *arg, struct error *e) {
    *out = NULL;
    struct tree *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a tree of pages");
    t->pages = p;
    t->total = pages_total(p);
    MUST(pages_free(p) == t->total && t->total < UINT32_MAX / 4 && max_paths < UINT32_MAX / 4);
    t->dropped = dropped;
    t->arg = arg;
    t->max_paths = max_paths;
    for (t->n_heads = 1; t->n_heads < t->total;)
        t->n_heads *= 2;
    bool whole = getrandom(&t->seed, sizeof t->seed, 0) == (ssize_t)sizeof t->seed;
    t->tenants = tenants_open(t->total + max_paths);
    t->nodes = calloc(t->total, sizeof *t->nodes);
    t->units = calloc((size_t)t->total * PAGE_POSITIONS, sizeof *t->units);
    t->queue = calloc(t->total, sizeof *t->queue);
    whole = whole && t->tenants != NULL && t->nodes != NULL && t->units != NULL && t->queue != NULL;
    for (int i = 0; i < TREE_CHAINS; i++) {
        t->heads[i] = malloc(t->n_heads * sizeof *t->heads[i]);
        whole = whole && t->heads[i] != NULL;
        if (t->heads[i] != NULL)
            memset(t->heads[i], 0xff, t->n_heads * sizeof *t->heads[i]); /* PAGE_NONE */
    }
    if (!whole) {
        tree_close(t);
        return error_set(e, ERR_NOMEM, "no memory for a tree of %u pages", t->total);
    }
    for (uint32_t i = 0; i < t->total; i++)
        t->nodes[i].place = NOT_QUEUED;
    *out = t;
    return 0;
}

void tree_close(struct tree *t) {
    if (t == NULL)
        return;
    MUST(t->n_paths == 0);
    for (uint32_t i = 0; t->nodes != NULL && i < t->total; i++)
        if (t->nodes[i].valid > 0)
            pages_release(t->pages, i);
    tenants_close(t->tenants);
    free(t->nodes);
    free(t->units);
    free(t->queue);
    for (int i = 0; i < TREE_CHAINS; i++)
        free(t->heads[i]);
    free(t);
}

/* ---- nodes ---- */

void tree_pin(struct tree *t, page_id id) {
    struct node *node = &t->nodes[id];
    if (node->references++ > 0)
        return;
    t->evictable--;
    if (node->children == 0)
        tree_queue_remove(t, id);
}

void tree_unpin(struct tree *t, page_id id) {
    struct node *node = &t->nodes[id];
    MUST(node->references > 0);
    if (--node->references > 0)
        return;
    t->evictable++;
    if (node->children == 0)
        tree_queue_add(t, id);
}

void tree_drop(struct tree *t, page_id id) {
    struct node *node = &t->nodes[id];
    MUST(node->children == 0 && node->place == NOT_QUEUED);
    if (node->valid > 0) {
        tree_chain_remove(t, CHAIN_FIRST, id);
        if (node->valid == PAGE_POSITIONS)
            tree_chain_remove(t, CHAIN_FULL, id);
        if (node->parent >= t->total) {
            tenants_release(t->tenants, node->parent - t->total);
        } else {
            struct node *parent = &t->nodes[node->parent];
            if (--parent->children == 0 && parent->references == 0)
                tree_queue_add(t, node->parent);
        }
    }
    uint32_t tag = node->tag;
    *node = (struct node){.place = NOT_QUEUED};
    pages_release(t->pages, id);
    if (tag != 0 && t->dropped != NULL)
        t->dropped(t->arg, tag);
}

/* ---- a path's life ---- */

/* Of the pages that a prompt matches in full, those that are on somebody's path. */
static uint32_t count_shared(const struct tree *t, struct bytes tenant, const struct unit *units,
                             uint32_t n) {
    uint32_t slot = tenants_find(t->tenants, tenant), shared = 0;
    if (slot == TENANT_NONE)
        return 0;
    page_id id = t->total + slot;
    for (; n >= PAGE_POSITIONS; n -= PAGE_POSITIONS, units += PAGE_POSITIONS) {
        id = tree_find_full(t, id, units);
        if (id == PAGE_NONE || t->nodes[id].references == 0)
            break; /* below it nothing is on a path */
        shared++;
    }
    return shared;
}

int tree_begin(struct tree *t, struct tree_path *path, struct bytes tenant,
               const struct unit *units, uint32_t n, uint32_t most, struct error *e) {
    MUST(!path->begun && n >= 1 && most >= n && t->n_paths < t->max_paths);
    uint32_t needed = tree_pages_for(most);
    uint32_t left = pages_free(t->pages) + t->evictable - t->promised;
    uint32_t shared = count_shared(t, tenant, units, n - 1);
    if (needed - shared > left)
        return error_set(e, ERR_LIMIT, "%u positions take %u pages; %u are shared and %u are left",
                         most, needed, shared, left);
    struct tree_path begun = {.begun = true, .promised = needed};
    int rc = sequence_open(&begun.sequence, most, e);
    if (rc < 0)
        return rc;
    begun.tenant = tenants_take(t->tenants, tenant);
    MUST(begun.tenant != TENANT_NONE);
    t->promised += needed;
    t->n_paths++;
    *path = begun;
    (void)tree_follow(t, path, units, n - 1);
    return 0;
}

static void drop_tail(struct tree *t, struct tree_path *path) {
    page_id own = path->sequence.pages[path->sequence.n_pages - 1];
    if (path->tail_kept > 0) {
        t->nodes[own].valid = path->tail_kept;
        return;
    }
    path->sequence.n_pages--;
    tree_drop(t, own);
}

void tree_end(struct tree *t, struct tree_path *path, bool keep_tail, struct tree_cost cost) {
    if (!path->begun)
        return;
    struct sequence *s = &path->sequence;
    while (s->n_pages > tree_pages_for(path->known)) /* reserved for a step that was not made */
        tree_drop(t, s->pages[--s->n_pages]);
    if (keep_tail)
        tree_settle(t, path);
    else if (path->known % PAGE_POSITIONS != 0)
        drop_tail(t, path);
    for (uint32_t i = s->n_pages; i-- > 0;) { /* leaves first: they are to go first */
        struct node *node = &t->nodes[s->pages[i]];
        uint64_t us = 0;
        for (uint32_t k = 0; k < node->valid; k++)
            us += cost.position_us +
                  (tree_units(t, s->pages[i])[k].token < 0 ? cost.picture_position_us : 0);
        node->key = t->clock + us;
        node->used = ++t->uses;
        tree_unpin(t, s->pages[i]);
    }
    t->promised -= path->promised;
    tenants_release(t->tenants, path->tenant);
    t->n_paths--;
    free(s->pages);
    *path = (struct tree_path){0};
}

/* ---- tags and counts ---- */

uint32_t tree_tag(const struct tree *t, page_id node) {
    MUST(node < t->total);
    return t->nodes[node].tag;
}

void tree_set_tag(struct tree *t, page_id node, uint32_t tag) {
    MUST(node < t->total && t->nodes[node].references > 0);
    t->nodes[node].tag = tag;
}

struct tree_counts tree_counts(const struct tree *t) {
    return (struct tree_counts){
        .free = pages_free(t->pages),
        .evictable = t->evictable,
        .promised = t->promised,
        .evicted = t->evicted,
    };
}
