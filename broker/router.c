/* router.c - the least loaded worker that fits.
 *
 * Load is the number of requests the broker has under way there: that is exact at this moment,
 * while a heartbeat's figures are up to one interval old and would send a burst to one worker. Free
 * pages, which only a heartbeat knows, break ties; then the worker that was chosen longest ago.
 *
 * What a worker already holds of a request will enter here, as another figure that `better`
 * compares before the others. */
#include "broker/router.h"

static bool available(const struct worker *w, const struct needs *n, int64_t now_us) {
    return w->used && worker_takes_new(w) && w->in_flight < w->credits &&
           w->paused_until_us <= now_us && worker_fits(w, n);
}

static bool better(const struct worker *a, const struct worker *b, const struct needs *n) {
    bool a_avoided = n->avoid != 0 && a->incarnation == n->avoid;
    bool b_avoided = n->avoid != 0 && b->incarnation == n->avoid;
    if (a_avoided != b_avoided)
        return b_avoided;
    if (a->in_flight != b->in_flight)
        return a->in_flight < b->in_flight;
    if (a->load.pages_free != b->load.pages_free)
        return a->load.pages_free > b->load.pages_free;
    return a->chosen < b->chosen;
}

struct worker *router_choose(struct router *r, struct workers *t, const struct needs *n,
                             int64_t now_us) {
    struct worker *best = NULL;
    for (int i = 0; i < t->end; i++) {
        struct worker *w = &t->slots[i];
        if (available(w, n, now_us) && (!best || better(w, best, n)))
            best = w;
    }
    if (best)
        best->chosen = ++r->choices;
    return best;
}

bool router_serves(struct workers *t, const struct needs *n) {
    for (int i = 0; i < t->end; i++) {
        const struct worker *w = &t->slots[i];
        if (w->used && worker_takes_new(w) && worker_fits(w, n))
            return true;
    }
    return false;
}
