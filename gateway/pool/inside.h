/* inside.h - what the files of gateway/pool/pool.h share. Private to this folder.
 *
 *     pool_ask --> WAITING --> SENT --> done or failed: gone
 *                     ^          |
 *                     +----------+ the broker went away, or a worker was lost: again()
 *
 * A request that was cancelled at the broker stays as DROPPED until its last event has come, since
 * as long the broker counts it to what this connection has under way. */
#ifndef QUIRE_GATEWAY_POOL_INSIDE_H
#define QUIRE_GATEWAY_POOL_INSIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/pool/passed.h"
#include "gateway/pool/pool.h"

#define CONNECTION_AIM 100       /* requests of one connection when all are in use */
#define CONNECTION_ROOM 120      /* at most; the broker allows 128 (--client-requests) */
#define CONNECTION_RETRY_MS 1000 /* before one that could not be made is tried again */
#define POOL_EVENTS 256          /* of one connection in one turn */
#define POOL_SPREAD_MS 300       /* pauses before the first resending are drawn from so much */
#define POOL_FULL_MS 50          /* pause when a connection takes no more messages */
#define POOL_GRACE_MS 2000       /* how much later than the broker the gateway sees a deadline */
#define POOL_RETRY_MS 1000       /* advice when as many requests as allowed are under way */

struct connection {
    struct quire_client *client; /* NULL: not opened, or it could not be */
    uint32_t in_flight;          /* sent over it; their last event has not come */
    int64_t retry_ms;            /* without a client: when to try again */
    bool used;                   /* it is to be open */
    bool stirred;                /* quire_next has to be asked, whatever its descriptor says */
};

enum request_state { REQUEST_WAITING, REQUEST_SENT, REQUEST_DROPPED };

struct pool_request {
    struct pool_request *before, *after; /* in pool.first.. */
    struct pool_request *same;           /* in its slot of pool.index, when it has been sent */
    enum request_state state;
    struct quire_request *request; /* borrowed */
    struct quire_options options;  /* with the seed */
    struct pool_listener listener;
    void *arg;
    uint8_t id[QUIRE_ID_BYTES];
    struct connection *connection; /* it was sent over; NULL before the first time */
    struct quire_error why;        /* of the last sending that did not go well */
    struct passed passed;
    uint32_t resends;
    bool stray;       /* the last sending may still lie in its connection, on its way to nobody */
    bool tell;        /* DROPPED: the broker has not been told yet */
    int64_t due_ms;   /* WAITING: not sent before */
    int64_t until_ms; /* WAITING: given up then */
    int64_t end_ms;   /* its deadline */
    int64_t asked_us, first_us; /* first_us: the first token; 0: not yet */
};

struct pool {
    char *endpoint; /* NULL: the client library's default */
    int epoll;
    uint32_t max_requests, n_connections; /* n_connections: room in the array */
    struct connection *connections;
    struct pool_request *first, *last; /* all, in the order in which they came */
    struct pool_request **index;       /* by id; index_mask + 1 slots */
    size_t index_mask;
    uint32_t live, waiting; /* live: WAITING or SENT; waiting: of them */
    uint32_t connected;
    int64_t away_ms; /* since when no connection is connected; 0: one is */
    int64_t next_ms; /* pool_mind has something to do; may be too early */
    uint64_t sent_again;
};

/* ---- connections.c ---- */

/* Makes the client of a connection. 0, or an error code with *error filled. */
int connection_open(struct pool *p, struct connection *c, struct quire_error *error);
/* Takes what has come over connections, POOL_EVENTS of each at most. */
void connections_turn(struct pool *p);
/* A connected one with room, or NULL; opens another when those there are fill up. */
struct connection *connections_choose(struct pool *p);

/* ---- requests.c ---- */

/* Sends a WAITING request if there is a way. 1: sent; 0: it goes on waiting; -1 with *fault: it
 * can't be sent. */
int request_try(struct pool *p, struct pool_request *r, int64_t now_ms, struct fault *fault);
/* Takes it out of all tables and frees it. */
void request_forget(struct pool *p, struct pool_request *r);
/* Ends it; the listener hears of it last. What is under way at the broker is cancelled. */
void request_fail(struct pool *p, struct pool_request *r, const struct fault *fault);
/* Nothing more is said of it; a SENT one becomes DROPPED. */
void request_drop(struct pool *p, struct pool_request *r);
void request_take(struct pool *p, const struct connection *c, struct quire_event *event);
/* All that was sent over c is lost. */
void requests_lost(struct pool *p, struct connection *c, const struct quire_error *why);
/* The broker is back: those that wait come as a drizzle and not as one. */
void requests_spread(struct pool *p, int64_t now_ms);
/* Sends what is due, ends what is overdue; sets next_ms. */
void requests_mind(struct pool *p, int64_t now_ms);

#endif
