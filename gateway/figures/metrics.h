/* metrics.h - the parts of /metrics; figures_metrics puts them together. Only for this folder. */
#ifndef QUIRE_GATEWAY_METRICS_H
#define QUIRE_GATEWAY_METRICS_H

#include "gateway/figures/store.h"

static inline uint64_t metrics_rest(uint64_t all, uint64_t part) {
    return all > part ? all - part : 0;
}

/* quire_gateway_...: what this gateway served. */
void metrics_gateway(const struct figures *f, const struct pool_counts *p,
                     const struct figures_http *h, struct text *out);
/* quire_pool_...: what the broker says of the whole pool; other clients' requests are in it. */
void metrics_pool(const struct snapshot *s, struct text *out);
/* quire_pool_worker_...: one series for each worker. */
void metrics_workers(const struct figures *f, const struct snapshot *s, struct text *out);
/* process_...: this program, under the names that everybody uses. */
void metrics_process(struct text *out);

#endif
