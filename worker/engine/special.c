/* special.c - all special tokens at once: an automaton, then a queue.
 *
 * The automaton (Aho and Corasick's) is built of the tokens written backwards and reads the text
 * from its end, so that at each place it knows the longest token that begins there, and by its
 * links the shorter ones. Each such place goes into a queue by (token's turn, place). The first in
 * the queue is what the reference would cut next: it is taken if its bytes are still free; if only
 * its tail is cut off, the next shorter token that begins there has its turn later.
 *
 * Spans that were taken before are at least as long as the one in question, so one that overlaps it
 * covers its first or its last byte. */
#include "worker/engine/special.h"

#include <stdlib.h>
#include <string.h>

#include "worker/engine/queue.h"

#define NONE UINT32_MAX
#define ROOT 0u

struct node {
    uint32_t fail;    /* the longest proper suffix that is a node too */
    uint32_t token;   /* index into order of the token that ends here, or NONE */
    uint32_t longest; /* like token, of this node or the nearest one down its fail links */
};

struct edge {
    uint64_t key; /* node << 8 | byte, plus 1; 0: free */
    uint32_t child;
};

struct special_set {
    const struct vocabulary *vocabulary;
    int32_t *order;    /* ids, in the order of their turns */
    uint32_t *shorter; /* per turn: the turn of the longest token that it begins with, or NONE */
    size_t count;
    struct node *nodes;
    size_t n_nodes;
    struct edge *edges; /* open addressing; a power of two */
    size_t n_edges;
    bool begins[256]; /* bytes that leave the root */
};

static struct edge *probe(const struct special_set *s, uint32_t node, uint8_t byte) {
    uint64_t key = ((uint64_t)node << 8 | byte) + 1;
    size_t mask = s->n_edges - 1;
    for (size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & mask;; i = (i + 1) & mask) {
        if (s->edges[i].key == key || s->edges[i].key == 0) {
            return &s->edges[i];
        }
    }
}

static uint32_t child_of(const struct special_set *s, uint32_t node, uint8_t byte) {
    const struct edge *edge = probe(s, node, byte);
    return edge->key == 0 ? NONE : edge->child;
}

/* Where the automaton goes from node on byte. */
static uint32_t step(const struct special_set *s, uint32_t node, uint8_t byte) {
    if (node == ROOT && !s->begins[byte]) {
        return ROOT;
    }
    for (;;) {
        uint32_t child = child_of(s, node, byte);
        if (child != NONE || node == ROOT) {
            return child != NONE ? child : ROOT;
        }
        node = s->nodes[node].fail;
    }
}

static struct bytes text_of(const struct special_set *s, size_t turn) {
    return text_table_at(&s->vocabulary->texts, (uint32_t)s->order[turn]);
}

static int compare_turns(const void *a, const void *b, void *context) {
    const struct vocabulary *v = context;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    size_t p = text_table_at(&v->texts, (uint32_t)x).size;
    size_t q = text_table_at(&v->texts, (uint32_t)y).size;
    return p != q ? (p > q ? -1 : 1) : (x > y) - (x < y);
}

/* Lists the special tokens, longest first, and sums their lengths. */
static int list_tokens(struct special_set *s, size_t *total) {
    const struct vocabulary *v = s->vocabulary;
    s->order = malloc((size_t)v->count * sizeof *s->order);
    if (s->order == NULL) {
        return ERR_NOMEM;
    }
    *total = 0;
    for (int32_t id = 0; id < v->count; id++) {
        struct bytes text = text_table_at(&v->texts, (uint32_t)id);
        uint8_t type = v->types[id];
        bool special = type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED || type == TOKEN_UNKNOWN;
        if (special && vocabulary_find(v, text) == id) {
            s->order[s->count++] = id;
            *total += text.size;
        }
    }
    qsort_r(s->order, s->count, sizeof *s->order, compare_turns, (void *)(uintptr_t)v);
    return 0;
}

static int take_memory(struct special_set *s, size_t total) {
    if (total >= NONE / 4) {
        return ERR_LIMIT;
    }
    s->n_edges = 16;
    while (s->n_edges < 2 * total) {
        s->n_edges *= 2;
    }
    s->nodes = malloc((total + 1) * sizeof *s->nodes);
    s->edges = calloc(s->n_edges, sizeof *s->edges);
    s->shorter = malloc((s->count + 1) * sizeof *s->shorter);
    return s->nodes == NULL || s->edges == NULL || s->shorter == NULL ? ERR_NOMEM : 0;
}

static uint32_t add_node(struct special_set *s) {
    s->nodes[s->n_nodes] = (struct node){ROOT, NONE, NONE};
    return (uint32_t)s->n_nodes++;
}

static void add_token(struct special_set *s, uint32_t turn) {
    struct bytes text = text_of(s, turn);
    uint32_t node = ROOT;
    s->begins[text.data[text.size - 1]] = true;
    for (size_t i = text.size; i-- > 0;) {
        struct edge *edge = probe(s, node, text.data[i]);
        if (edge->key == 0) {
            *edge = (struct edge){((uint64_t)node << 8 | text.data[i]) + 1, add_node(s)};
        }
        node = edge->child;
    }
    s->nodes[node].token = turn;
}

/* The fail links of the nodes at one depth need those of lesser depth, so each token is walked one
 * byte further in every round. */
static void link_nodes(struct special_set *s, uint32_t *ends) {
    size_t live = s->count;
    for (size_t i = 0; i < live; i++) {
        ends[i] = ROOT;
    }
    for (size_t depth = 0; live > 0; depth++) {
        while (live > 0 && text_of(s, live - 1).size <= depth) {
            live--; /* the shortest are last */
        }
        for (size_t turn = 0; turn < live; turn++) {
            struct bytes text = text_of(s, turn);
            uint8_t byte = text.data[text.size - 1 - depth];
            uint32_t parent = ends[turn], node = child_of(s, parent, byte);
            ends[turn] = node;
            struct node *n = &s->nodes[node];
            n->fail = parent == ROOT ? ROOT : step(s, s->nodes[parent].fail, byte);
            n->longest = n->token != NONE ? n->token : s->nodes[n->fail].longest;
        }
    }
    for (size_t turn = 0; turn < s->count; turn++) {
        s->shorter[turn] = s->nodes[s->nodes[ends[turn]].fail].longest;
    }
}

int special_open(struct special_set **out, const struct vocabulary *v, struct error *e) {
    size_t total;
    uint32_t *ends = NULL;
    struct special_set *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL) {
        return error_set(e, ERR_NOMEM, "no memory for the special tokens");
    }
    s->vocabulary = v;
    int rc = list_tokens(s, &total);
    rc = rc != 0 ? rc : take_memory(s, total);
    ends = rc == 0 ? malloc((s->count + 1) * sizeof *ends) : NULL;
    if (ends == NULL) {
        special_close(s);
        return error_set(e, rc != 0 ? rc : ERR_NOMEM, "no room for the special tokens");
    }
    add_node(s);
    for (size_t turn = 0; turn < s->count; turn++) {
        add_token(s, (uint32_t)turn);
    }
    link_nodes(s, ends);
    free(ends);
    *out = s;
    return 0;
}

void special_close(struct special_set *s) {
    if (s != NULL) {
        free(s->order);
        free(s->shorter);
        free(s->nodes);
        free(s->edges);
        free(s);
    }
}

/* What one search holds. */
struct search {
    const struct special_set *set;
    const struct special_range *ranges;
    size_t n_ranges;
    struct queue queue; /* turn << 32 | place */
    uint8_t *taken;     /* a bit per byte of the text */
};

static bool is_taken(const struct search *f, size_t place) {
    return (f->taken[place / 8] >> (place % 8) & 1) != 0;
}

/* The end of the range that begins at or before place; 0 if none does. */
static size_t range_end(const struct search *f, size_t place) {
    size_t low = 0, high = f->n_ranges;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->ranges[middle].start <= place) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? f->ranges[low - 1].end : 0;
}

/* Queues the longest token, of `turn` and the shorter ones it begins with, that may stand at place:
 * guarded ones must lie in one range. */
static int queue_place(struct search *f, uint32_t turn, size_t place) {
    const struct special_set *s = f->set;
    size_t end = turn == NONE ? 0 : range_end(f, place);
    while (turn != NONE && (s->vocabulary->flags[s->order[turn]] & TOKEN_GUARDED) != 0 &&
           place + text_of(s, turn).size > end) {
        turn = s->shorter[turn];
    }
    return turn == NONE ? 0 : queue_push(&f->queue, (uint64_t)turn << 32 | place);
}

static int queue_places(struct search *f, struct bytes text) {
    const struct special_set *s = f->set;
    uint32_t node = ROOT;
    int rc = 0;
    for (size_t place = text.size; place-- > 0 && rc == 0;) {
        node = step(s, node, text.data[place]);
        rc = queue_place(f, s->nodes[node].longest, place);
    }
    return rc;
}

static void take(struct search *f, size_t place, size_t end) {
    for (; place < end; place++) {
        f->taken[place / 8] |= (uint8_t)(1u << place % 8);
    }
}

static int compare_places(const void *a, const void *b) {
    const struct special_span *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Takes queued places in turn; what it takes fits in out, which has room for them all. */
static int settle(struct search *f, struct special_list *out) {
    const struct special_set *s = f->set;
    while (f->queue.count > 0) {
        uint64_t entry = queue_pop(&f->queue);
        uint32_t turn = (uint32_t)(entry >> 32);
        size_t place = (uint32_t)entry, end = place + text_of(s, turn).size;
        if (is_taken(f, place)) {
            continue;
        }
        if (!is_taken(f, end - 1)) {
            take(f, place, end);
            out->spans[out->count++] = (struct special_span){place, end, s->order[turn]};
        } else if (queue_place(f, s->shorter[turn], place) != 0) {
            return ERR_NOMEM;
        }
    }
    qsort(out->spans, out->count, sizeof *out->spans, compare_places);
    return 0;
}

int special_find(const struct special_set *s, struct bytes text, const struct special_range *ranges,
                 size_t n_ranges, struct special_list *out) {
    struct search f = {.set = s, .ranges = ranges, .n_ranges = n_ranges};
    *out = (struct special_list){0};
    if (text.size > UINT32_MAX) {
        return ERR_LIMIT;
    }
    int rc = queue_places(&f, text);
    if (rc == 0 && f.queue.count > 0) {
        f.taken = calloc(text.size / 8 + 1, 1);
        out->spans = malloc(f.queue.count * sizeof *out->spans);
        rc = f.taken == NULL || out->spans == NULL ? ERR_NOMEM : settle(&f, out);
    }
    if (rc != 0) {
        free(out->spans);
        *out = (struct special_list){0};
    }
    free(f.taken);
    queue_clear(&f.queue);
    return rc;
}
