/* tree_path.c - how a path grows: by what its task computes, and by what it takes over.
 *
 * Keys and values of a position depend on the units up to it and on nothing else, so a path may
 * take over a node whenever the units match, and a page's first part whenever those do. */
#include <string.h>

#include "common/must.h"
#include "worker/engine/tree_inside.h"

/* Makes a page with its first unit a child of `parent`. */
static void link_node(struct tree *t, page_id id, uint32_t parent) {
    t->nodes[id].parent = parent;
    tree_chain_add(t, CHAIN_FIRST, id);
    if (parent >= t->total)
        tenants_retain(t->tenants, parent - t->total);
    else
        t->nodes[parent].children++;
}

/* Above page `i`. */
static uint32_t parent_of(const struct tree *t, const struct tree_path *path, uint32_t i) {
    return i > 0 ? path->sequence.pages[i - 1] : t->total + path->tenant;
}

static void count_promise(struct tree *t, struct tree_path *path) {
    MUST(path->promised > 0 && path->sequence.n_pages < path->sequence.capacity);
    path->promised--;
    t->promised--;
}

static void own_page(struct tree *t, struct tree_path *path, page_id id) {
    t->nodes[id].references = 1;
    count_promise(t, path);
    path->sequence.pages[path->sequence.n_pages++] = id;
}

void tree_reserve(struct tree *t, struct tree_path *path, uint32_t positions) {
    while (path->sequence.n_pages < tree_pages_for(positions)) {
        page_id id = tree_take_page(t);
        MUST(id != PAGE_NONE); /* promised */
        own_page(t, path, id);
    }
}

/* Puts `id`, which has all units of page i and perhaps more, in place of that page, which is this
 * path's alone. */
static void exchange(struct tree *t, struct tree_path *path, uint32_t i, page_id id) {
    page_id own = path->sequence.pages[i];
    MUST(t->nodes[own].references == 1 && own != id);
    tree_pin(t, id);
    path->sequence.pages[i] = id;
    if (t->nodes[id].tag == 0) {
        t->nodes[id].tag = t->nodes[own].tag;
        t->nodes[own].tag = 0;
    }
    tree_drop(t, own);
}

/* Adds units to the last known page, of which the path has `known` so far; m end within it. */
static void grow(struct tree *t, struct tree_path *path, const struct unit *units, uint32_t m) {
    uint32_t i = path->known / PAGE_POSITIONS;
    page_id id = path->sequence.pages[i];
    struct node *node = &t->nodes[id];
    MUST(node->valid == path->known % PAGE_POSITIONS && node->references == 1);
    memcpy(tree_units(t, id) + node->valid, units, m * sizeof *units);
    if (node->valid == 0)
        link_node(t, id, parent_of(t, path, i));
    if (node->valid + m == PAGE_POSITIONS) {
        page_id equal = tree_find_full(t, node->parent, tree_units(t, id));
        if (equal != PAGE_NONE) {
            node->valid = PAGE_POSITIONS - 1; /* it never was in the chain of full ones */
            exchange(t, path, i, equal);
        } else {
            node->valid = PAGE_POSITIONS;
            tree_chain_add(t, CHAIN_FULL, id);
        }
        path->tail_kept = 0;
    } else {
        node->valid += m;
    }
    path->known += m;
}

void tree_computed(struct tree *t, struct tree_path *path, const struct unit *units, uint32_t n) {
    MUST(path->sequence.positions == path->known + n);
    MUST(tree_pages_for(path->sequence.positions) <= path->sequence.n_pages);
    while (n > 0) {
        uint32_t room = PAGE_POSITIONS - path->known % PAGE_POSITIONS;
        uint32_t m = n < room ? n : room;
        grow(t, path, units, m);
        units += m;
        n -= m;
    }
}

/* ---- taking over ---- */

/* The units of the page after the known positions, or of the one that they end in: what is known of
 * it, then of units[n] as many as it takes. Returns how many those are in all. */
static uint32_t next_units(const struct tree *t, const struct tree_path *path,
                           const struct unit *units, uint32_t n, struct unit out[PAGE_POSITIONS]) {
    uint32_t begun = path->known % PAGE_POSITIONS, room = PAGE_POSITIONS - begun;
    uint32_t m = n < room ? n : room;
    if (begun > 0)
        memcpy(out, tree_units(t, path->sequence.pages[path->known / PAGE_POSITIONS]),
               begun * sizeof *out);
    memcpy(out + begun, units, m * sizeof *out);
    return begun + m;
}

static void now_known(struct tree_path *path, uint32_t positions) {
    path->known = positions;
    path->sequence.positions = positions;
}

/* The next page as a whole. */
static bool take_full(struct tree *t, struct tree_path *path,
                      const struct unit page[PAGE_POSITIONS]) {
    uint32_t i = path->known / PAGE_POSITIONS;
    page_id found = tree_find_full(t, parent_of(t, path, i), page);
    if (found == PAGE_NONE)
        return false;
    if (i < path->sequence.n_pages) {
        exchange(t, path, i, found);
    } else {
        tree_pin(t, found);
        count_promise(t, path);
        path->sequence.pages[path->sequence.n_pages++] = found;
    }
    path->tail_kept = 0;
    now_known(path, (i + 1) * PAGE_POSITIONS);
    return true;
}

/* A page of the path's own, without evicting `source`. False when nothing else is left: then the
 * positions have to be computed, after all, into the page that is now `source`. */
static bool own_page_beside(struct tree *t, struct tree_path *path, page_id source) {
    tree_pin(t, source);
    page_id id = tree_take_page(t);
    tree_unpin(t, source);
    if (id != PAGE_NONE)
        own_page(t, path, id);
    return id != PAGE_NONE;
}

/* The first part of a page that others go on from, or went, differently. page[n] is what is wanted,
 * n < 16 or no child has it all. */
static void take_part(struct tree *t, struct tree_path *path, const struct unit *page, uint32_t n) {
    uint32_t i = path->known / PAGE_POSITIONS, begun = path->known % PAGE_POSITIONS, run;
    page_id own = begun > 0 ? path->sequence.pages[i] : PAGE_NONE;
    page_id source = tree_find_longest(t, parent_of(t, path, i), page, n, own, &run);
    if (source == PAGE_NONE || run <= begun)
        return;
    if (begun == 0 && t->nodes[source].references == 0 && t->nodes[source].valid == run &&
        run < PAGE_POSITIONS) { /* nobody adds to it: this path may */
        tree_pin(t, source);
        count_promise(t, path);
        path->sequence.pages[path->sequence.n_pages++] = source;
        path->tail_kept = run;
        now_known(path, path->known + run);
        return;
    }
    if (begun == 0 && !own_page_beside(t, path, source))
        return;
    pages_copy(t->pages, path->sequence.pages[i], source, begun, run - begun);
    grow(t, path, page + begun, run - begun);
    path->sequence.positions = path->known;
}

uint32_t tree_follow(struct tree *t, struct tree_path *path, const struct unit *units, uint32_t n) {
    uint32_t from = path->known;
    MUST(path->sequence.positions == from && path->sequence.n_pages == tree_pages_for(from));
    while (path->known - from < n) {
        struct unit page[PAGE_POSITIONS];
        uint32_t taken = path->known - from;
        uint32_t wanted = next_units(t, path, units + taken, n - taken, page);
        if (wanted == PAGE_POSITIONS && take_full(t, path, page))
            continue;
        take_part(t, path, page, wanted);
        break;
    }
    return path->known - from;
}

void tree_settle(struct tree *t, struct tree_path *path) {
    uint32_t run, i = path->known / PAGE_POSITIONS, begun = path->known % PAGE_POSITIONS;
    if (!path->begun || begun == 0)
        return;
    page_id own = path->sequence.pages[i];
    if (t->nodes[own].references > 1 || t->nodes[own].valid > begun)
        return; /* it was exchanged before: others go on from what is there */
    page_id other =
        tree_find_longest(t, parent_of(t, path, i), tree_units(t, own), begun, own, &run);
    if (other == PAGE_NONE || run < begun)
        return;
    /* One that somebody is adding to may yet be dropped; when that task ends it comes to ours. */
    if (t->nodes[other].references == 0 || t->nodes[other].valid == PAGE_POSITIONS)
        exchange(t, path, i, other);
}
