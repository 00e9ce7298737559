/* run.h - running a trace against a pool. */
#ifndef QUIRE_CLI_REPLAY_RUN_H
#define QUIRE_CLI_REPLAY_RUN_H

#include "client/cli/replay/outcome.h"
#include "client/cli/replay/trace.h"
#include "client/cli/replay/way.h"

#define RUN_CONCURRENCY_MAX 1000

struct run_options {
    uint32_t concurrency; /* conversations at a time; 0: as many as the arrival times ask for */
    double speed;         /* 2: arrival times in half the time */
    uint32_t max_tokens;  /* of each answer; 0: what the trace says */
    bool progress;        /* on standard error */
    /* Called at least every RUN_TICK_MS; an error code ends the run. NULL: nobody. */
    int (*tend)(void *context, struct error *e);
    void *context;
};
#define RUN_TICK_MS 100

/* Sends every turn when its conversation is so far, and fills outcomes[t->n_turns], which were
 * zeroed. *wall_us is how long it took. Failed requests are no failure of the run. */
int run_trace(struct way *way, const struct trace *t, const struct run_options *o,
              struct outcome *outcomes, int64_t *wall_us, struct error *e);

#endif
