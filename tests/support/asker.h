/* asker.h - requests straight into a scheduler, and all that came of them. */
#ifndef QUIRE_TESTS_SUPPORT_ASKER_H
#define QUIRE_TESTS_SUPPORT_ASKER_H

#include "worker/scheduler.h"

#define ASKER_TOKENS 512
#define ASKER_OTHERS 5 /* alternatives of each that are kept; no request may want more */
#define ASKER_TEXT_BYTES 16384
#define ASKER_MESSAGES 8
#define ASKER_PARTS 4 /* of a message */
#define ASKER_PICTURES 4
#define ASKER_STEPS 20000 /* no test needs more: a scheduler that never ends fails */

struct asker {
    struct job job;
    struct request request;
    struct request_message messages[ASKER_MESSAGES];
    struct request_part parts[ASKER_MESSAGES][ASKER_PARTS];
    struct bytes pictures[ASKER_PICTURES];

    char text[ASKER_TEXT_BYTES];
    size_t text_size;
    uint32_t n_tokens;          /* told, or replayed */
    int32_t told[ASKER_TOKENS]; /* ids of all of them */
    struct {
        uint32_t n_tokens;
        size_t text_size;
    } steps[ASKER_TOKENS + 1]; /* what was there after each TOKENS */
    uint32_t n_steps;
    int32_t ids[ASKER_TOKENS];
    float logprobs[ASKER_TOKENS];
    int32_t other_ids[ASKER_TOKENS][ASKER_OTHERS]; /* the likeliest tokens */
    float others[ASKER_TOKENS][ASKER_OTHERS];      /* their log-probabilities */
    uint32_t n_entries;
    uint32_t n_prefill, n_picture; /* PROGRESS of either stage */
    uint32_t last_total;
    bool done;
    struct msg_done end; /* its texts are gone */
    int error;           /* 0: none */
    char why[ERROR_TEXT_BYTES];
};

/* A greedy request without messages; free() when it has ended. */
struct asker *asker_new(uint32_t max_tokens);
/* One user message: text, with the picture (or NULL) before it. */
struct asker *asker_make(const char *text, const struct bytes *picture, uint32_t max_tokens);
/* Adds a message; asker_show and asker_say add parts to the last one. Texts are borrowed. */
void asker_turn(struct asker *a, enum role role);
void asker_say(struct asker *a, const char *text);
void asker_show(struct asker *a, struct bytes picture);

/* The job goes on where `from` was after its TOKENS number `step`, counted from 0; it asks the
 * same. */
void asker_resume(struct asker *a, const struct asker *from, uint32_t step);

bool asker_ended(const struct asker *a);
/* A scheduler_outcome for jobs that are askers. */
void asker_outcome(void *arg, struct job *job, const struct outcome *o);

/* Fails unless both answers are the same: tokens, log-probabilities to the bit, text, end. */
void asker_same(const struct asker *a, const struct asker *b);
/* Fails unless a's entries from `first` on, n of them, are those of b from b_first on. */
void asker_same_entries(const struct asker *a, uint32_t first, const struct asker *b,
                        uint32_t b_first, uint32_t n);

/* ---- an engine with a scheduler ---- */

struct asker_pool {
    struct engine *engine;
    struct scheduler *scheduler;
};
void asker_pool_open(struct asker_pool *p, const struct engine_options *o,
                     const struct scheduler_options *so);
void asker_pool_close(struct asker_pool *p);
void asker_add(struct asker_pool *p, struct asker *a);
/* Steps until all have ended; then no page may be in use. */
void asker_run(struct asker_pool *p);
/* Adds it, runs, and fails unless it is answered. */
void asker_alone(struct asker_pool *p, struct asker *a);

/* A whole file of less than a mebibyte; free() its data. */
struct bytes asker_read(const char *path);

#endif
