/* pool_view.h - the pool as the page shows it: the "pool" event of GET /quire/live. Pure. */
#ifndef QUIRE_GATEWAY_POOL_VIEW_H
#define QUIRE_GATEWAY_POOL_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/figures/figures.h"
#include "gateway/pool/observer.h"
#include "gateway/pool/pool.h"

/* requests: say what is in flight in the whole pool, one by one. percentiles: taken over. now_s:
 * wall clock. NULL: no memory. */
json_t *pool_view(const struct snapshot *s, json_t *percentiles, const struct pool_counts *p,
                  const struct figures_http *h, bool requests, int64_t now_s);

#endif
