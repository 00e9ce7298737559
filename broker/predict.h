/* predict.h - how long a worker needs for a prompt: what it reports, corrected by what came of it.
 *
 *     own time = base + slope * (encode + prefill)
 *     encode   = tiles it must encode, at its time for one
 *     prefill  = positions it must compute, at its time for one, and a fixed cost for each step
 *
 * Base and slope are fitted to the first tokens seen, each worker's for itself. Figures of workers of
 * one fingerprint that differ by less than RATE_NOISE count as equal: they are the same program on
 * machines alike, measured at different moments. What was fitted is noisier still, so a slope has
 * SLOPE_NOISE and the base is the mean of all. All times are microseconds. */
#ifndef QUIRE_BROKER_PREDICT_H
#define QUIRE_BROKER_PREDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/trail.h"

#define RATE_NOISE 1.5
#define SLOPE_NOISE 2.5

/* A worker computes so many prompt positions in one step, and fewer while others' answers wait. */
#define STEP_POSITIONS 512
#define STEP_POSITIONS_SHARED 128

struct rates {
    double position_us, step_us, tile_us; /* 0: not measured */
    double base_us, slope;
};

/* Decayed sums of a straight line's fit, each sample weighed so that its relative error counts. */
struct fit {
    double weight, x, y, xx, xy;
};

/* Learns that a prompt of raw_us (encode + prefill, uncorrected) took took_us. */
void fit_learn(struct fit *f, double raw_us, double took_us);

/* 0 and 1 until there is something to go by. */
void fit_line(const struct fit *f, double *base_us, double *slope);

/* Figures of n workers of one fingerprint, made comparable: what is not measured is taken from the
 * others or guessed, and what differs by noise is set to the mean. */
void rates_settle(struct rates *const *rates, size_t n);

/* What one prompt asks of one worker. */
struct work {
    uint32_t positions; /* to compute */
    double tiles;       /* to encode */
    uint32_t decoding;  /* requests that decode beside it */
};
struct cost {
    int64_t encode_us, prefill_us; /* corrected; base is in prefill_us */
    int64_t raw_us;                /* of both, uncorrected */
};
struct cost rates_cost(const struct rates *r, const struct work *w);

/* ---- sizes of what a worker has not told yet ---- */

#define AVERAGES_MAX 64 /* fingerprints remembered; the one used longest ago is forgotten first */

struct averages {
    struct average {
        uint8_t fingerprint[16];
        double text_bytes, text_positions; /* decayed sums */
        double shown, picture_positions;
        double encoded, tiles;
        uint64_t used;
    } entries[AVERAGES_MAX];
    size_t count;
    uint64_t clock;
};

struct sizes averages_sizes(const struct averages *a, const uint8_t fingerprint[16]);
void averages_learn(struct averages *a, const struct trail *t, const struct usage *u);

/* ---- how far off it was ---- */

#define ERRORS_KEPT 256

struct errors {
    uint32_t permille[ERRORS_KEPT]; /* of what came */
    uint64_t count;
};
void errors_add(struct errors *e, int64_t predicted_us, int64_t came_us);
uint32_t errors_median(const struct errors *e); /* 0 when there are none */

#endif
