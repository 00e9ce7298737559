/* measure.h - what a replay showed, per shape and in total. */
#ifndef QUIRE_CLI_REPLAY_MEASURE_H
#define QUIRE_CLI_REPLAY_MEASURE_H

#include "client/cli/replay/outcome.h"
#include "client/cli/replay/trace.h"

#define MEASURE_WARM_UP                                                                            \
    10 /* the first so many percent of the requests count in no prediction error */

struct measure {
    char name[TRACE_NAME_BYTES];
    uint64_t requests, errors; /* answered; failed or skipped */
    uint64_t prompt_positions, reused_positions;
    uint64_t ideal_positions; /* what a cache without bounds, shared by all, would have reused; per
                                 request never less than what was reused */
    uint64_t segmented, one_key; /* the keying simulation's, both without bounds (reuse.h) */
    uint64_t pictures, pictures_encoded, answer_tokens;
    uint64_t without_ends; /* answers that did not tell where segments end: the ideal is too low */
    double first_token_median_ms, first_token_p90_ms, first_token_p99_ms; /* this side's clock */
    uint64_t predictions;    /* compared with what came, after warm-up */
    double prediction_error; /* median of |predicted - actual| / actual */
    double seconds;          /* of the whole replay */
};

struct report {
    char policy[32]; /* of the pool, or empty */
    uint32_t workers;
    struct measure shapes[TRACE_MAX_SHAPES];
    size_t n_shapes;
    struct measure total;
    char first_error[200]; /* of the requests that failed; empty: none did */
};

/* ERR_NOMEM. */
int measure_all(struct report *out, const struct trace *t, const struct outcome *outcomes,
                int64_t wall_us, struct error *e);

/* part / whole; 0 of nothing. */
double measure_share(uint64_t part, uint64_t whole);

#endif
