/* router.h - which worker gets a request: the one whose first token is predicted soonest.
 *
 *     T(w) = wait + encode of the pictures w lacks + prefill of the positions w lacks
 *
 * With nothing to reuse anywhere, and workers alike, it is exactly the least loaded. A worker
 * without credit may win; then the request waits for it. broker/predict.h has the arithmetic. */
#ifndef QUIRE_BROKER_ROUTER_H
#define QUIRE_BROKER_ROUTER_H

#include "broker/hot.h"
#include "broker/trail.h"
#include "broker/workers.h"

/* A prompt that a worker is about to compute is computed a second time elsewhere only if that is
 * sooner by more than this factor: so that identical requests follow the first. */
#define FOLLOW_PERCENT 150

#define SERVICE_GUESS_US 1000000 /* of one request, before any has ended */

struct router {
    uint64_t choices; /* made so far; the round robin's clock */
    enum routing_policy policy;
    struct hot hot;
};

/* A request as the router sees it. */
struct route {
    struct needs needs;
    const struct trail *trail; /* kept == 0: nothing is known of it */
    struct sizes sizes;
    const struct averages *averages; /* for the workers' pace */
    double later;                    /* requests likely to come to each worker soon */
    int64_t waited_us;               /* for a worker that had no credit */
    int64_t service_us;              /* of a request at a worker that has ended none */
};

struct candidate {
    struct worker *worker;
    bool credit; /* it can take a request now */
    struct held held;
    uint32_t missing_positions, missing_pictures;
    struct cost cost;                                 /* as the worker's rates say */
    struct effort effort;                             /* that, and the wait */
    int64_t wait_us, encode_us, prefill_us, total_us; /* as foreseen */
};

struct plan {
    struct match match;
    struct candidate candidates[LIMIT_WORKERS]; /* that fit and take work */
    size_t n;
    struct candidate *best;  /* NULL: none fits, or none has credit and it does not matter which */
    struct candidate *ready; /* the best of those with credit; NULL */
    /* NULL, or whose prefix, which ends with this link of the trail, the request waits for while
     * another could begin; the best, unless others have waited for it long enough by now. */
    const struct candidate *owner;
    const struct link *prefix;
};

/* Who would take the request now, and what is predicted of each. Changes only the time at which the
 * links were used, and that only with `touch`. */
void router_plan(const struct router *r, struct workers *t, struct affinity *a,
                 const struct route *route, bool touch, int64_t now_us, struct plan *out);

/* Counts the choice, for the round robin and for what the owner's prefix is waited for. */
void router_chose(struct router *r, const struct plan *p, const struct candidate *c,
                  int64_t waited_us, int64_t now_us);

/* A worker has credit for a request with these needs. */
bool router_has_credit(const struct workers *t, const struct needs *n, int64_t now_us);

/* True when some worker would take such a request as soon as it has credit. */
bool router_serves(const struct workers *t, const struct needs *n);

/* Makes the workers' rates anew from what they report; after a heartbeat, or when one comes. */
void router_settle_rates(struct workers *t);

#endif
