/* live.h - those who watch GET /quire/live: the pool every second, requests as they end. */
#ifndef QUIRE_GATEWAY_LIVE_H
#define QUIRE_GATEWAY_LIVE_H

#include "gateway/figures/figures.h"
#include "gateway/gateway.h"
#include "gateway/http/exchange.h"

#define VIEWS_SUBSCRIBERS 32                 /* at a time; more are told to come back */
#define LIVE_EVENT_BYTES ((size_t)512 << 10) /* one event; below the exchange's own bound */

struct live;
int live_open(struct live **out, struct gateway *g); /* ERR_NOMEM */
void live_close(struct live *l);                     /* NULL is fine; the server is closed */

void live_add(struct live *l, struct exchange *x); /* begins the answer, or refuses with 503 */
void live_pool(struct live *l);                    /* there is a new snapshot: tells everyone */
void live_record(struct live *l, const struct record *r); /* tells those who may know of it */
void live_stop(struct live *l);                           /* ends all of them */

#endif
