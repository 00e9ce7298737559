/* gather.c - see gather.h. A request waits in a place of a fixed table, from when it ended until
 * its explanation is there. */
#include "gateway/views/gather.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"

struct place {
    struct gather *gather;
    enum { PLACE_FREE, PLACE_WAITING, PLACE_ASKED } state;
    uint64_t number; /* of its arrival */
    uint8_t id[QUIRE_ID_BYTES];
    char tenant[65], worker[65];
};

struct gather {
    struct observer *observer;
    struct tree *tree;
    struct place places[GATHER_QUEUE + GATHER_PER_TICK];
    uint64_t arrived;
    unsigned allowance; /* questions until the next tick */
};

int gather_open(struct gather **out, struct observer *o, struct tree *t) {
    struct gather *g = *out = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    g->observer = o;
    g->tree = t;
    g->allowance = GATHER_PER_TICK;
    for (size_t i = 0; i < GATHER_QUEUE + GATHER_PER_TICK; i++)
        g->places[i].gather = g;
    return 0;
}

void gather_close(struct gather *g) {
    free(g);
}

static void answered(void *arg, const struct observer_answer *a) {
    struct place *p = arg;
    if (a->rc == 0 && a->explanation != NULL)
        tree_merge(p->gather->tree, a->explanation, p->tenant, p->worker, (int64_t)time(NULL));
    p->state = PLACE_FREE;
}

static struct place *oldest_waiting(struct gather *g) {
    struct place *oldest = NULL;
    for (size_t i = 0; i < GATHER_QUEUE + GATHER_PER_TICK; i++) {
        struct place *p = &g->places[i];
        if (p->state == PLACE_WAITING && (oldest == NULL || p->number < oldest->number))
            oldest = p;
    }
    return oldest;
}

static void ask(struct gather *g) {
    struct place *p;
    while (g->allowance > 0 && (p = oldest_waiting(g)) != NULL) {
        struct fault unused;
        p->state = PLACE_ASKED;
        g->allowance--;
        if (observer_ask(g->observer, OBSERVER_EXPLAIN, NULL, p->id, answered, p, &unused) != 0)
            p->state = PLACE_FREE; /* its queue is full: people's questions go first */
    }
}

void gather_add(struct gather *g, const struct record *r) {
    if (strcmp(r->outcome, "done") != 0 || r->n_segments == 0)
        return;
    struct place *p = NULL;
    for (size_t i = 0; i < GATHER_QUEUE + GATHER_PER_TICK && p == NULL; i++)
        if (g->places[i].state == PLACE_FREE)
            p = &g->places[i];
    if (p == NULL)
        return;
    p->state = PLACE_WAITING;
    p->number = g->arrived++;
    memcpy(p->id, r->id, sizeof p->id);
    memcpy(p->tenant, r->tenant, sizeof p->tenant);
    memcpy(p->worker, r->worker, sizeof p->worker);
    ask(g);
}

void gather_tick(struct gather *g) {
    g->allowance = GATHER_PER_TICK;
    ask(g);
}
