/* tree.c - nodes in an array, found by their link through chains of a hash table, and kept in the
 * order of use.
 *
 * A path is touched from its end to its root, so a parent was always used later than its children
 * and the node used longest ago has none: taking it away breaks no path. The one exception is a
 * path of which only the end was told (the broker remembers the last 64 segments): then the first
 * of them may outlive its parent, and is shown as a root. */
#include "gateway/views/tree.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "gateway/views/names.h"

#define NONE (-1)
#define CHAINS 1024 /* of the hash table */

struct node {
    uint8_t link[16];
    char tenant[65];
    bool used, picture;
    enum quire_role role;
    uint32_t bytes, ends_at;
    uint64_t owners, requests; /* owners: bits, of tree.names */
    int64_t last_s;
    int parent, newer, older, next; /* next: in its chain */
};

struct tree {
    struct node nodes[TREE_NODES];
    int chains[CHAINS];
    int newest, oldest;
    int n_nodes;
    char names[TREE_OWNERS][65]; /* "": free */
};

int tree_open(struct tree **out) {
    struct tree *t = *out = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < CHAINS; i++)
        t->chains[i] = NONE;
    t->newest = t->oldest = NONE;
    return 0;
}

void tree_close(struct tree *t) {
    free(t);
}

/* Links are hashes: any of their bytes will do. */
static size_t chain_of(const uint8_t link[16]) {
    return (size_t)(link[0] | link[1] << 8) % CHAINS;
}

static int find(const struct tree *t, const uint8_t link[16], const char *tenant) {
    for (int i = t->chains[chain_of(link)]; i != NONE; i = t->nodes[i].next)
        if (memcmp(t->nodes[i].link, link, 16) == 0 && strcmp(t->nodes[i].tenant, tenant) == 0)
            return i;
    return NONE;
}

/* ---- the order of use ---- */

static void unlink_node(struct tree *t, int i) {
    struct node *n = &t->nodes[i];
    *(n->newer != NONE ? &t->nodes[n->newer].older : &t->newest) = n->older;
    *(n->older != NONE ? &t->nodes[n->older].newer : &t->oldest) = n->newer;
}

static void make_newest(struct tree *t, int i) {
    struct node *n = &t->nodes[i];
    n->newer = NONE;
    n->older = t->newest;
    *(t->newest != NONE ? &t->nodes[t->newest].newer : &t->oldest) = i;
    t->newest = i;
}

static void forget(struct tree *t, int i) {
    struct node *n = &t->nodes[i];
    unlink_node(t, i);
    int *at = &t->chains[chain_of(n->link)];
    while (*at != i)
        at = &t->nodes[*at].next;
    *at = n->next;
    for (int k = 0; k < t->n_nodes; k++)
        if (t->nodes[k].parent == i)
            t->nodes[k].parent = NONE;
    n->used = false;
}

/* A new node, newest of all; the oldest one's place when there is no other. */
static int make(struct tree *t, const uint8_t link[16], const char *tenant) {
    int i = t->n_nodes;
    if (i < TREE_NODES)
        t->n_nodes++;
    else {
        i = t->oldest;
        forget(t, i);
    }
    struct node *n = &t->nodes[i];
    *n = (struct node){.used = true, .parent = NONE};
    memcpy(n->link, link, 16);
    (void)strncpy(n->tenant, tenant, sizeof n->tenant - 1);
    n->next = t->chains[chain_of(link)];
    t->chains[chain_of(link)] = i;
    make_newest(t, i);
    return i;
}

/* ---- owners ---- */

/* The bit of a worker's name; a name that no node has gives its bit up, unless it is in `pinned`. 0
 * when there is no room. */
static uint64_t owner_bit(struct tree *t, const char *name, uint64_t pinned) {
    if (name[0] == '\0')
        return 0;
    for (size_t i = 0; i < TREE_OWNERS; i++)
        if (strcmp(t->names[i], name) == 0)
            return UINT64_C(1) << i;
    uint64_t in_use = pinned;
    for (int i = 0; i < t->n_nodes; i++)
        in_use |= t->nodes[i].owners;
    for (size_t i = 0; i < TREE_OWNERS; i++)
        if (!(in_use >> i & 1)) {
            memset(t->names[i], 0, sizeof t->names[i]);
            (void)strncpy(t->names[i], name, sizeof t->names[i] - 1);
            return UINT64_C(1) << i;
        }
    return 0;
}

static uint64_t owners_of(struct tree *t, const struct quire_explanation *e,
                          const struct quire_explained_segment *s) {
    uint64_t bits = 0;
    for (size_t i = 0; i < s->n_owners; i++)
        if (s->owners[i] < e->n_workers)
            bits |= owner_bit(t, e->workers[s->owners[i]].name, bits);
    return bits;
}

/* ---- merging ---- */

static int merge_segment(struct tree *t, const struct quire_explanation *e, size_t i, int parent,
                         const char *tenant) {
    const struct quire_explained_segment *s = &e->segments[i];
    int at = find(t, s->link, tenant);
    if (at == NONE)
        at = make(t, s->link, tenant);
    struct node *n = &t->nodes[at];
    if (parent != NONE)
        n->parent = parent;
    n->picture = s->picture;
    n->role = s->role;
    n->bytes = s->bytes;
    n->ends_at = s->positions;
    n->owners = owners_of(t, e, s);
    n->requests++;
    return at;
}

void tree_merge(struct tree *t, const struct quire_explanation *e, const char *tenant,
                const char *answered_by, int64_t now_s) {
    /* A path as long as the tree would push out its own beginning. */
    size_t first = e->n_segments > TREE_NODES / 2 ? e->n_segments - TREE_NODES / 2 : 0;
    int path[TREE_NODES / 2], parent = NONE;
    size_t length = 0;
    for (size_t i = first; i < e->n_segments; i++) {
        parent = merge_segment(t, e, i, parent, tenant);
        /* Until the whole path is there, its nodes must not be the oldest. */
        unlink_node(t, parent);
        make_newest(t, parent);
        path[length++] = parent;
    }
    uint64_t answered = length > 0 ? owner_bit(t, answered_by, 0) : 0;
    while (length-- > 0) {
        struct node *n = &t->nodes[path[length]];
        n->owners |= answered;
        n->last_s = now_s;
        unlink_node(t, path[length]);
        make_newest(t, path[length]);
    }
}

/* ---- showing ---- */

static json_t *owners_json(const struct tree *t, uint64_t owners) {
    json_t *array = json_array();
    for (size_t i = 0; i < TREE_OWNERS; i++)
        if (owners >> i & 1)
            (void)json_array_append_new(array, json_string(t->names[i]));
    return array;
}

static json_t *node_json(const struct tree *t, const struct node *n) {
    char link[33], parent[33];
    name_hex(n->link, 16, link);
    if (n->parent != NONE)
        name_hex(t->nodes[n->parent].link, 16, parent);
    return json_pack("{ss ss? ss ss sI sI so sI sI}", "link", link, "parent",
                     n->parent != NONE ? parent : NULL, "kind", name_kind(n->picture), "role",
                     name_role(n->role), "bytes", (json_int_t)n->bytes, "ends_at",
                     (json_int_t)n->ends_at, "owners", owners_json(t, n->owners), "requests",
                     (json_int_t)n->requests, "last", (json_int_t)n->last_s);
}

json_t *tree_json(const struct tree *t, const char *tenant) {
    json_t *nodes = json_array();
    bool shown[TREE_NODES] = {false};
    for (int i = t->newest; i != NONE; i = t->nodes[i].older) {
        if (tenant != NULL && strcmp(tenant, t->nodes[i].tenant) != 0)
            continue;
        /* Parents come before children in this order but for paths whose beginning was not told. */
        int path[TREE_NODES];
        size_t length = 0;
        for (int k = i; k != NONE && !shown[k] && length < TREE_NODES; k = t->nodes[k].parent) {
            shown[k] = true;
            path[length++] = k;
        }
        while (length-- > 0)
            (void)json_array_append_new(nodes, node_json(t, &t->nodes[path[length]]));
    }
    return json_pack("{so}", "nodes", nodes);
}
