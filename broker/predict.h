/* predict.h - how long a worker needs for a prompt: what it reports, weighed by what came of it.
 *
 *     encode   = tiles it must encode, at its time for one
 *     prefill  = positions it must compute, at its time for one, and a fixed cost for each step
 *     own time = encode + prefill
 *     T        = (pace.own + pace.later * later) * own time + pace.wait * wait
 *
 * `wait` is for the prompts that are there already (broker/prompts.h), `later` the number of those
 * that are likely to come while this one is computed, which then take turns with it.
 *
 * Figures of workers of one fingerprint that differ by less than RATE_NOISE count as equal: they
 * are the same program on machines alike, measured at different moments; and what is learned of
 * their pace is learned of all of them together. All times are microseconds. */
#ifndef QUIRE_BROKER_PREDICT_H
#define QUIRE_BROKER_PREDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/trail.h"

#define RATE_NOISE 1.5

/* A worker computes so many prompt positions in one step; while others' answers wait, as many as it
 * expects to end in time (its setting max-step-ms; this is the default), but at least a page. */
#define STEP_POSITIONS 512
#define STEP_SHARED_US 200000
#define STEP_SHARED_LEAST 16

struct rates {
    double position_us, step_us, tile_us; /* 0: not measured */
};

/* Learns from what a prompt took, which others may have shared: the least of each figure. */
void rates_see(struct rates *r, const struct usage *u, const struct timings *t);

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
    int64_t encode_us, prefill_us;
    int64_t tile_us, chunk_us; /* of that, one piece; pieces of prompts take turns */
    double pieces;
};
struct cost rates_cost(const struct rates *r, const struct work *w);

/* ---- what came of it ---- */

struct pace {
    double own, wait, later;
};
struct effort {
    double own_us, wait_us; /* as the rates say */
    double later;
};

/* Before anything was learned. */
struct pace pace_begin(void);
/* What the pace makes of own time. */
double pace_own(const struct pace *p, double later);
/* A prompt took took_us to its first token. */
void pace_learn(struct pace *p, const struct effort *e, double took_us);

/* ---- learned of each fingerprint: its pace, and sizes of what a worker has not told yet ---- */

#define AVERAGES_MAX 64 /* fingerprints remembered; the one used longest ago is forgotten first */

struct averages {
    struct average {
        uint8_t fingerprint[16];
        double text_bytes, text_positions; /* decayed sums */
        double shown, picture_positions;
        double encoded, tiles;
        struct pace paces[2]; /* of prompts without and with pictures to encode */
        uint64_t used;
    } entries[AVERAGES_MAX];
    size_t count;
    uint64_t clock;
};

struct sizes averages_sizes(const struct averages *a, const uint8_t fingerprint[16]);
struct pace averages_pace(const struct averages *a, const uint8_t fingerprint[16], bool encodes);
void averages_learn_pace(struct averages *a, const uint8_t fingerprint[16], bool encodes,
                         const struct effort *e, double took_us);
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
