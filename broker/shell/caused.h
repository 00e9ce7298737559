/* caused.h - events that sending has caused, waiting for the core. */
#ifndef QUIRE_BROKER_SHELL_CAUSED_H
#define QUIRE_BROKER_SHELL_CAUSED_H

#include "broker/event.h"

/* A ring of events. */
struct ring {
    struct event *events;
    size_t first, count, max;
};

struct caused {
    struct ring unsent, gone;
};

/* Room for `slots` jobs. False without memory; caused_close is then still allowed. */
bool caused_open(struct caused *c, size_t slots);
void caused_close(struct caused *c); /* a zeroed one is fine */

void caused_unsent(struct caused *c, const struct peer *worker, uint64_t ticket, uint32_t attempt);

/* EVENT_CLIENT_GONE, EVENT_CLIENT_STUCK, EVENT_WORKER_GONE; one that waits already is not added. */
void caused_by_peer(struct caused *c, enum event_type type, const struct peer *peer);

/* False when there is none. */
bool caused_next(struct caused *c, struct event *out);

#endif
