/* merge.c - a queue of candidate pairs, and windows over long pieces.
 *
 * An entry of the queue is current while its left symbol still has the entry's rank: whatever
 * changes a symbol or its right neighbour also changes that rank. Each join adds at most two
 * entries, so n symbols cost O(n log n) whatever they are. A handful, which is nearly every piece,
 * is done by looking at all pairs each time, which is quicker than any queue.
 *
 * A long piece is joined window by window, which stay in the processor's cache. What makes that
 * exact: symbols t1 ... tn are the result for their text if and only if for every i the two symbols
 *     ti, ti+1 are the result for theirs.
 * (As long as no join crosses a boundary, the joins on both sides of it come in the same order in
 * the whole text as in the two symbols' text alone, since the order looks at nothing else; so the
 * first join that crosses would cross in both, or in neither.) Therefore, if two overlapping
 * windows have a symbol of the same bytes in common, the symbols of the first up to it and those of
 * the second from it on are together the result for both. Windows overlap by some symbols, and
 * nearly always agree on the first. If they agree on none, the piece is joined as a whole. */
#include "worker/engine/merge.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/error.h"

#define SHORT_SYMBOLS 16 /* up to this many need no queue */
#define WINDOW_BYTES 512 /* at least */
#define WINDOW_LONGEST 6 /* at least this many times the longest symbol */
#define WINDOW_MOST_BYTES (1u << 16)
#define OVERLAP_SYMBOLS 4 /* at least */
#define OVERLAP_BYTES 32  /* at least */

struct merge_node {
    struct merge_symbol symbol;
    uint32_t previous, next; /* indices; MERGE_NONE at both ends */
    uint32_t rank;           /* of joining it with the next; MERGE_NONE: no rule does */
};

void merger_clear(struct merger *m) {
    free(m->nodes);
    free(m->list.symbols);
    least_clear(&m->keys);
    *m = (struct merger){0};
}

static int list_reserve(struct merge_list *l, size_t more) {
    if (more > l->capacity - l->count) {
        size_t capacity = (l->count + more) * 2 + 64;
        struct merge_symbol *symbols = realloc(l->symbols, capacity * sizeof *symbols);
        if (symbols == NULL) {
            return ERR_NOMEM;
        }
        l->symbols = symbols;
        l->capacity = capacity;
    }
    return 0;
}

static int nodes_reserve(struct merger *m, size_t count) {
    if (count > m->capacity) {
        struct merge_node *nodes = malloc(2 * count * sizeof *nodes);
        if (nodes == NULL) {
            return ERR_NOMEM;
        }
        free(m->nodes);
        m->nodes = nodes;
        m->capacity = 2 * count;
    }
    return 0;
}

/* One window: bytes [from, ...) of piece, and the rules. */
struct window {
    struct merge_node *nodes;
    uint32_t count; /* symbols before anything was joined */
    struct bytes piece;
    const struct merge_rules *rules;
};

static void rank_node(struct window *w, uint32_t i) {
    struct merge_node *n = &w->nodes[i];
    n->rank = n->next == MERGE_NONE ? MERGE_NONE
                                    : w->rules->rank(w->rules->context, w->piece, &n->symbol,
                                                     &w->nodes[n->next].symbol);
}

/* Fills the window with the first symbols from `from` on, until it has `bytes` or the piece ends.
 */
static void fill(struct window *w, uint32_t from, size_t bytes) {
    w->count = 0;
    for (uint32_t at = from; at < w->piece.size && at - from < bytes; w->count++) {
        struct merge_node *n = &w->nodes[w->count];
        n->symbol = w->rules->first(w->rules->context, w->piece, at);
        n->previous = w->count == 0 ? MERGE_NONE : w->count - 1;
        n->next = w->count + 1;
        at = n->symbol.end;
    }
    w->nodes[w->count - 1].next = MERGE_NONE;
    for (uint32_t i = 0; i < w->count; i++) {
        rank_node(w, i);
    }
}

/* Joins node `left` with the next one and ranks the two new pairs. */
static void join(struct window *w, uint32_t left) {
    struct merge_node *n = &w->nodes[left], *gone = &w->nodes[n->next];
    n->symbol.value = w->rules->value(w->rules->context, n->rank);
    n->symbol.end = gone->symbol.end;
    n->next = gone->next;
    gone->rank = MERGE_NONE;
    if (n->next != MERGE_NONE) {
        w->nodes[n->next].previous = left;
    }
    rank_node(w, left);
    if (n->previous != MERGE_NONE) {
        rank_node(w, n->previous);
    }
}

static void join_few(struct window *w) {
    for (;;) {
        uint32_t best = 0;
        for (uint32_t i = 0; i != MERGE_NONE; i = w->nodes[i].next) {
            if (w->nodes[i].rank < w->nodes[best].rank) {
                best = i;
            }
        }
        if (w->nodes[best].rank == MERGE_NONE) {
            return;
        }
        join(w, best);
    }
}

static uint64_t key_of(const struct window *w, uint32_t i) {
    uint32_t rank = w->nodes[i].rank;
    return rank == MERGE_NONE ? LEAST_NONE : (uint64_t)rank << 32 | i;
}

static void join_many(struct window *w, struct least *keys) {
    for (uint32_t i = 0; i < w->count; i++) {
        keys->level[0][i] = key_of(w, i);
    }
    least_build(keys, w->count);
    for (uint64_t key = least_get(keys); key != LEAST_NONE; key = least_get(keys)) {
        uint32_t left = (uint32_t)key, gone = w->nodes[left].next;
        uint32_t before = w->nodes[left].previous;
        before = before == MERGE_NONE ? left : before;
        join(w, left);
        keys->level[0][before] = key_of(w, before);
        keys->level[0][left] = key_of(w, left);
        keys->level[0][gone] = LEAST_NONE;
        least_update(keys, before, left, gone);
    }
}

/* Appends the result for the window from `from` on to m->list. *end is where the window ends. */
static int run_window(struct merger *m, struct bytes piece, const struct merge_rules *rules,
                      uint32_t from, size_t bytes, uint32_t *end) {
    size_t left = piece.size - from;
    size_t most = bytes < left ? bytes : left;
    int rc = nodes_reserve(m, most);
    rc = rc != 0 ? rc : list_reserve(&m->list, most);
    rc = rc != 0 ? rc : least_reserve(&m->keys, most);
    if (rc != 0) {
        return rc;
    }
    struct window w = {.nodes = m->nodes, .piece = piece, .rules = rules};
    fill(&w, from, most);
    *end = w.nodes[w.count - 1].symbol.end;
    if (w.count <= SHORT_SYMBOLS) {
        join_few(&w);
    } else {
        join_many(&w, &m->keys);
    }
    for (uint32_t i = 0; i != MERGE_NONE; i = w.nodes[i].next) {
        m->list.symbols[m->list.count++] = w.nodes[i].symbol;
    }
    return 0;
}

/* Where in the list, which ends at byte `end`, the overlap with the next window should begin. */
static size_t overlap_start(const struct merge_list *l, size_t first, uint32_t end) {
    size_t i = l->count;
    while (i > first + 1 &&
           (l->count - i < OVERLAP_SYMBOLS || end - l->symbols[i].place < OVERLAP_BYTES)) {
        i--;
    }
    return i;
}

/* Symbols [first, second) of the list are one window's, [second, count) the next one's, and both
 * begin at the same byte. Leaves what they are together; false when they have no symbol in common.
 */
static bool stitch(struct merge_list *l, size_t first, size_t second) {
    size_t a = first, b = second;
    struct merge_symbol *s = l->symbols;
    while (a < second && b < l->count) {
        if (s[a].place == s[b].place && s[a].end == s[b].end) {
            while (b < l->count) {
                s[a++] = s[b++];
            }
            l->count = a;
            return true;
        }
        if (s[a].place <= s[b].place) {
            a++;
        } else {
            b++;
        }
    }
    return false;
}

/* *joined is false when two windows did not agree. */
static int run_windows(struct merger *m, struct bytes piece, const struct merge_rules *rules,
                       size_t bytes, bool *joined) {
    uint32_t end;
    int rc = run_window(m, piece, rules, 0, bytes, &end);
    *joined = true;
    for (size_t first = 0; rc == 0 && *joined && end < piece.size;) {
        size_t overlap = overlap_start(&m->list, first, end), second = m->list.count;
        rc = run_window(m, piece, rules, m->list.symbols[overlap].place, bytes, &end);
        *joined = rc == 0 && stitch(&m->list, overlap, second);
        first = overlap;
    }
    return rc;
}

int merger_run(struct merger *m, struct bytes piece, const struct merge_rules *rules) {
    uint32_t end;
    m->list.count = 0;
    if (piece.size == 0 || piece.size > MERGE_MAX_BYTES) {
        return piece.size == 0 ? 0 : ERR_LIMIT;
    }
    size_t bytes = rules->longest * WINDOW_LONGEST;
    bytes = bytes < WINDOW_BYTES ? WINDOW_BYTES : bytes;
    bytes = bytes < WINDOW_MOST_BYTES ? bytes : WINDOW_MOST_BYTES;
    if (piece.size > 2 * bytes) {
        bool joined;
        int rc = run_windows(m, piece, rules, bytes, &joined);
        if (rc != 0 || joined) {
            return rc;
        }
        m->list.count = 0;
    }
    return run_window(m, piece, rules, 0, piece.size, &end);
}
