/* outcome.h - what became of one turn of a trace. */
#ifndef QUIRE_CLI_REPLAY_OUTCOME_H
#define QUIRE_CLI_REPLAY_OUTCOME_H

#include "client/cli/cli.h"
#include "proto/segments.h"

enum turn_state {
    TURN_WAITING, /* not sent yet, or to be sent again since the pool was busy */
    TURN_SENT,
    TURN_DONE,
    TURN_FAILED,
    TURN_SKIPPED, /* what it goes on from failed */
};

struct outcome {
    enum turn_state state;
    uint32_t order;                      /* among those that were sent, from 0 */
    int64_t sent_us, first_us, ended_us; /* this side's clock; first_us 0: no token came */
    struct cli_text answer;
    struct quire_usage usage;
    struct quire_timings timings;
    enum quire_finish finish;
    /* The request's chain, then the answer's links; and where the first n_ends segments end. */
    struct link *links;
    size_t n_links, n_prompt_links;
    uint32_t *ends;
    size_t n_ends;
    struct link pictures; /* of all its pictures together; zeros: it has none */
    int code;             /* TURN_FAILED: why */
    char text[160];
};

/* An array of n; NULL when memory ran out. outcomes_free frees it with all it holds. */
struct outcome *outcomes_new(size_t n);
void outcomes_free(struct outcome *o, size_t n);

#endif
