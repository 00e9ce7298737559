/* snapshot.h - asking the broker for all that observer.h shows. */
#ifndef QUIRE_GATEWAY_SNAPSHOT_H
#define QUIRE_GATEWAY_SNAPSHOT_H

#include "client/quire.h"
#include "gateway/pool/observer.h"
#include "gateway/pool/windows.h"

#define SNAPSHOT_QUERY_MS 1000 /* one query waits so long at most */

/* Fills all of *s and adds to *w. After the first query that fails the others are not asked; then
 * s->stats are *last, or new, and there are neither workers nor requests. */
void snapshot_take(struct quire_client *c, struct windows *w, const struct quire_stats *last,
                   struct snapshot *s);

/* The client library's sentences about a connection name the endpoint, a path of this machine; what
 * is said here is shown to anybody. */
void snapshot_hide_endpoint(struct quire_error *e);

#endif
