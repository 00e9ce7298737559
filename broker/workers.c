/* workers.c - a flat table, walked from end to end: 256 entries at most, and the walks happen when
 * a request arrives or ends, not for every token. */
#include "broker/workers.h"

#include "common/must.h"

struct worker *workers_add(struct workers *t) {
    for (int i = 0; i < LIMIT_WORKERS; i++) {
        struct worker *w = &t->slots[i];
        if (w->used)
            continue;
        memset(w, 0, sizeof *w);
        w->used = true;
        w->holder = -1;
        t->count++;
        if (i >= t->end)
            t->end = i + 1;
        return w;
    }
    return NULL;
}

void workers_remove(struct workers *t, struct worker *w) {
    MUST(w->used);
    MUST(w->in_flight == 0);
    w->used = false;
    t->count--;
    while (t->end > 0 && !t->slots[t->end - 1].used)
        t->end--;
}

struct worker *workers_find_peer(struct workers *t, const struct peer *peer) {
    for (int i = 0; i < t->end; i++)
        if (t->slots[i].used && peer_equal(&t->slots[i].peer, peer))
            return &t->slots[i];
    return NULL;
}

struct worker *workers_find_name(struct workers *t, struct bytes name) {
    for (int i = 0; i < t->end; i++)
        if (t->slots[i].used && label_is(&t->slots[i].name, name))
            return &t->slots[i];
    return NULL;
}

int workers_slot(const struct workers *t, const struct worker *w) {
    return (int)(w - t->slots);
}

bool worker_takes_new(const struct worker *w) {
    return !w->gone && !w->drain_asked && !w->drain_self;
}

static bool can_go_on(const struct worker *w, const struct needs *n) {
    return w->resumes && w->context >= n->context &&
           memcmp(w->fingerprint, n->fingerprint, sizeof n->fingerprint) == 0;
}

bool worker_fits(const struct worker *w, const struct needs *n) {
    if (n->resumes && !can_go_on(w, n))
        return false;
    return (n->model.size == 0 || label_is(&w->model, n->model)) && (w->vision || !n->pictures) &&
           (w->extended || !n->extended);
}

enum worker_state worker_state_of(const struct worker *w) {
    if (worker_takes_new(w))
        return WORKER_UP;
    return w->in_flight > 0 ? WORKER_DRAINING : WORKER_DRAINED;
}
