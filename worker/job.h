/* job.h - one request inside a worker, and what comes of it.
 *
 * The shell makes a job and owns it until the scheduler gives its last outcome (DONE or ERROR,
 * exactly one); in between the scheduler uses it. Only `cancelled` may be changed by another
 * thread. */
#ifndef QUIRE_WORKER_JOB_H
#define QUIRE_WORKER_JOB_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "proto/message.h"
#include "proto/segments.h"

struct job {
    const struct request *request;
    const struct bytes *pictures; /* [request->n_pictures], encoded */
    int64_t arrived_us;           /* clock_us */
    int64_t deadline_us;          /* clock_us; past it the job fails with ERR_DEADLINE */
    atomic_bool cancelled;        /* set once by whoever wants it to end */
    const struct chain *chain;    /* the request's links, borrowed; NULL: nobody is told of them */
    uint64_t chain_seed;          /* that it was made with */
    uint64_t seed;                /* for a request that has none; 0: one is drawn */
    struct bytes replay;   /* TOKEN_ID_BYTES each: tokens of the answer that the client has */
    uint64_t replay_bytes; /* of the answer's text that the client has */
};

enum outcome_kind { OUTCOME_PROGRESS, OUTCOME_TOKENS, OUTCOME_DONE, OUTCOME_ERROR };

/* Texts, entries and ids are borrowed for the call that brings the outcome. */
struct outcome {
    enum outcome_kind kind;
    const int32_t *ids; /* TOKENS: [tokens.n_tokens] */
    union {
        struct msg_progress progress;
        struct msg_tokens tokens;
        struct msg_done
            done; /* queue_us and attempts are the broker's to fill in; worker is empty */
        struct msg_error error;
    };
};

/* What a heartbeat tells of the engine. */
struct load {
    uint32_t active, waiting;
    uint32_t pages_free;
    /* Moving averages; 0: none yet. step_us: of a step's time, what does not depend on its
     * positions. */
    uint32_t prefill_us_per_position, decode_us_per_token, tile_us, step_us;
    uint64_t tokens_total, positions_total;
    uint64_t pages_evicted; /* since start */
    uint64_t feature_bytes; /* embeddings of pictures kept */
};

#endif
