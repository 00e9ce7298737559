/* caused.c - two rings, since the order matters.
 *
 * UNSENT comes first: a request that never got out must be back in the queue before its worker is
 * taken for dead, or it would count as lost with it.
 *
 * The rings can't overflow. Each job has at most one WORK on its way, and one client, which can be
 * gone or stuck; each worker can be gone; and the peer of the message at hand may be nobody's
 * client or worker. */
#include "broker/shell/caused.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define STRANGERS 8

static bool ring_open(struct ring *r, size_t max) {
    r->max = max;
    r->events = calloc(max, sizeof *r->events);
    return r->events != NULL;
}

bool caused_open(struct caused *c, size_t slots) {
    memset(c, 0, sizeof *c);
    return ring_open(&c->unsent, slots) &&
           ring_open(&c->gone, 2 * slots + LIMIT_WORKERS + STRANGERS);
}

void caused_close(struct caused *c) {
    free(c->unsent.events);
    free(c->gone.events);
    memset(c, 0, sizeof *c);
}

static struct event *push(struct ring *r, enum event_type type, const struct peer *peer) {
    MUST(r->count < r->max);
    struct event *ev = &r->events[(r->first + r->count++) % r->max];
    memset(ev, 0, sizeof *ev);
    ev->type = type;
    ev->peer = *peer;
    return ev;
}

static bool pop(struct ring *r, struct event *out) {
    if (r->count == 0)
        return false;
    *out = r->events[r->first];
    r->first = (r->first + 1) % r->max;
    r->count--;
    return true;
}

void caused_unsent(struct caused *c, const struct peer *worker, uint64_t ticket, uint32_t attempt) {
    struct event *ev = push(&c->unsent, EVENT_UNSENT, worker);
    ev->unsent.ticket = ticket;
    ev->unsent.attempt = attempt;
}

void caused_by_peer(struct caused *c, enum event_type type, const struct peer *peer) {
    const struct ring *r = &c->gone;
    for (size_t i = 0; i < r->count; i++) {
        const struct event *ev = &r->events[(r->first + i) % r->max];
        if (ev->type == type && peer_equal(&ev->peer, peer))
            return;
    }
    (void)push(&c->gone, type, peer);
}

bool caused_next(struct caused *c, struct event *out) {
    return pop(&c->unsent, out) || pop(&c->gone, out);
}
