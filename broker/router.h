/* router.h - which worker gets a request. */
#ifndef QUIRE_BROKER_ROUTER_H
#define QUIRE_BROKER_ROUTER_H

#include "broker/workers.h"

struct router {
    uint64_t choices; /* made so far; the round robin's clock */
};

/* The worker that should take a request with these needs now, or NULL when none that fits has
 * credit. Counts as a choice only for the round robin; sends nothing, takes no credit. */
struct worker *router_choose(struct router *r, struct workers *t, const struct needs *n,
                             int64_t now_us);

/* True when some worker would take such a request as soon as it has credit. */
bool router_serves(struct workers *t, const struct needs *n);

#endif
