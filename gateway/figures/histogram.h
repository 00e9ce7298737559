/* histogram.h - counts of values under fixed bounds, as Prometheus wants them. */
#ifndef QUIRE_GATEWAY_HISTOGRAM_H
#define QUIRE_GATEWAY_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 24 /* at most; values above the last are counted beyond it */

struct histogram {
    const double *bounds; /* ascending, borrowed: tables that live as long as the program */
    size_t n_bounds;
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* [i]: above bounds[i - 1], up to and with bounds[i] */
    uint64_t count;
    double sum;
};

void histogram_init(struct histogram *h, const double *bounds, size_t n_bounds);
/* Values that are not finite or are negative count as 0. */
void histogram_add(struct histogram *h, double value);
/* How many were at most bounds[i]; i == n_bounds: all. */
uint64_t histogram_upto(const struct histogram *h, size_t i);

#endif
