/* windows.h - what happened in the last 1, 5 and 15 minutes, out of counters that only grow. */
#ifndef QUIRE_GATEWAY_WINDOWS_H
#define QUIRE_GATEWAY_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/quire.h"
#include "gateway/pool/observer.h"

#define WINDOWS 3
#define WINDOWS_SAMPLES 901   /* one a second for 15 minutes, and the one before them */
#define WINDOWS_SAMPLE_MS 950 /* what comes sooner replaces the last one */

struct windows {
    struct windows_sample {
        int64_t at_ms;
        struct window sum;      /* since the first sample */
    } samples[WINDOWS_SAMPLES]; /* a ring */
    size_t next, count;
    struct window last; /* the broker's counters at the last sample */
    int64_t started_ms; /* the broker's start, as of then */
    bool begun;
};

/* Zeroed memory is a new struct windows. Takes the broker's counters. What a broker counted before
 * the first sample does not count; what one that was started again did since its start, does. */
void windows_add(struct windows *w, const struct quire_stats *stats, int64_t now_ms);

/* What was counted from the last sample that is 1, 5 and 15 minutes old, or from the first. */
void windows_get(const struct windows *w, int64_t now_ms, struct window out[WINDOWS]);

#endif
