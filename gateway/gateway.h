/* gateway.h - the parts of a running gateway, and who owns them: main.c opens them in this order
 * and closes them in reverse. All run on one thread, but for the observer's own. */
#ifndef QUIRE_GATEWAY_GATEWAY_H
#define QUIRE_GATEWAY_GATEWAY_H

#include "gateway/options.h"

struct keys;     /* access/keys.h: who may ask, from a file */
struct limits;   /* access/limits.h: what each key has in flight and used this minute */
struct figures;  /* figures/figures.h: histograms, counters, the last requests */
struct pool;     /* pool/pool.h: requests at the broker */
struct observer; /* pool/observer.h: what the broker says about the pool, on a thread of its own */
struct views;    /* views/views.h: live streams and the tree of segments */
struct server;   /* http/server.h */
struct route;    /* http/exchange.h */

struct gateway {
    struct options options;
    struct keys *keys; /* NULL without a key file */
    struct limits *limits;
    struct figures *figures;
    struct pool *pool;
    struct observer *observer;
    struct views *views;
    struct server *server;
    /* Called when the server begins to stop; NULL: nobody has to know. Set by views_open. */
    void (*stopping)(struct gateway *g);
    const struct route *const *routes; /* tables, each ended by an empty entry; NULL ends them */
};

#endif
