/* histogram.c - a value belongs to the first bucket whose bound it does not pass. */
#include "gateway/figures/histogram.h"

#include <math.h>
#include <string.h>

#include "common/must.h"

void histogram_init(struct histogram *h, const double *bounds, size_t n_bounds) {
    MUST(n_bounds <= HISTOGRAM_BOUNDS);
    memset(h, 0, sizeof *h);
    h->bounds = bounds;
    h->n_bounds = n_bounds;
}

void histogram_add(struct histogram *h, double value) {
    if (!isfinite(value) || value < 0)
        value = 0;
    size_t i = 0;
    while (i < h->n_bounds && value > h->bounds[i])
        i++;
    h->counts[i]++;
    h->count++;
    h->sum += value;
}

uint64_t histogram_upto(const struct histogram *h, size_t i) {
    uint64_t sum = 0;
    for (size_t k = 0; k <= i && k <= h->n_bounds; k++)
        sum += h->counts[k];
    return sum;
}
