/* exposition.h - lines of Prometheus' text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#ifndef QUIRE_GATEWAY_EXPOSITION_H
#define QUIRE_GATEWAY_EXPOSITION_H

#include <stdint.h>

#include "gateway/figures/histogram.h"
#include "gateway/text.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPOSITION_LABELS_BYTES 1024 /* one series' labels, escaped */

/* The two lines before a metric's series. type: "counter", "gauge", "histogram" or "summary". */
void exposition_head(struct text *t, const char *name, const char *type, const char *help);
/* One series; labels: what exposition_label made, or "". */
void exposition_count(struct text *t, const char *name, const char *labels, uint64_t value);
void exposition_value(struct text *t, const char *name, const char *labels, double value);
/* Adds key="value" to `labels` (empty at first), with what the format wants escaped; what is no
 * UTF-8 becomes U+FFFD. */
void exposition_label(char labels[EXPOSITION_LABELS_BYTES], const char *key, const char *value);

/* A metric that has one series without labels. */
void exposition_counter(struct text *t, const char *name, const char *help, uint64_t value);
void exposition_gauge(struct text *t, const char *name, const char *help, double value);
void exposition_histogram(struct text *t, const char *name, const char *help,
                          const struct histogram *h);
/* One series for each of the states, 1 at the one that holds: names[current], 0 at the others. */
void exposition_state(struct text *t, const char *name, const char *labels,
                      const char *const *names, size_t n, size_t current);

#endif
