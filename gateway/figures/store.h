/* store.h - what struct figures holds; only for the files of this folder. */
#ifndef QUIRE_GATEWAY_FIGURES_STORE_H
#define QUIRE_GATEWAY_FIGURES_STORE_H

#include "gateway/figures/figures.h"
#include "gateway/figures/histogram.h"
#include "gateway/figures/sliding.h"

/* Names that a request is counted under. What is not in these tables is counted as "other", so that
 * nobody can make series without end. */
#define STORE_DIALECTS 6
#define STORE_OUTCOMES 24
extern const char *const store_dialects[STORE_DIALECTS]; /* the last is "other" */
const char *store_outcome(size_t i); /* the last is "other"; NULL: nothing has this number */

struct figures {
    struct record *records; /* [FIGURES_RECORDS], a ring */
    size_t n_records;       /* ever added; the newest stands at (n_records - 1) % FIGURES_RECORDS */

    uint64_t requests[STORE_DIALECTS][STORE_OUTCOMES];
    uint64_t prompt_positions, reused_positions, answer_tokens, pictures, pictures_encoded;
    struct histogram queue, first_token, per_token, total, prediction_error;
    struct sliding *first_token_us, *per_token_us;

    struct figures_listener {
        void (*fn)(void *arg, const struct record *r);
        void *arg;
    } listeners[FIGURES_LISTENERS];

    struct figures_seen { /* a worker, by its name */
        char name[65];
        uint64_t incarnation, restarts;
    } seen[OBSERVER_WORKERS];
    size_t n_seen;
    int64_t opened_s; /* wall clock */
};

/* How often the worker of this name came back as another incarnation. */
uint64_t store_restarts(const struct figures *f, const char *name);

#endif
