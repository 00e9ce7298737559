/* pool_rig.h - gateway/pool between a loop as the gateway's and a real broker, for its tests. */
#ifndef QUIRE_TESTS_SUPPORT_POOL_RIG_H
#define QUIRE_TESTS_SUPPORT_POOL_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/pool/pool.h"
#include "tests/support/bed.h"

#define STREAMS 6    /* requests at a time where a few are enough */
#define BREAK_AT 20  /* tokens of an answer when something happens to it */
#define ENDLESS 2000 /* tokens of an answer that is ended in time; also room for their ids */

/* What a listener heard of one request. */
struct heard {
    struct pool *pool;
    struct pool_request *request;
    char text[16384];
    size_t size;
    uint32_t n_tokens, n_progress, n_entries;
    int32_t ids[ENDLESS];
    bool done, failed, asking;
    struct quire_event end;
    struct fault fault;
    uint32_t cancel_at; /* tokens; 0: never */
    bool cancelled;
};

/* A broker, workers and a gateway's pool. */
struct pool_rig {
    struct bed bed;
    struct pool *pool;
};

/* A listener takes what it hears into a struct heard, its arg, and fails the test when that is out
 * of order or comes after the end. */
extern const struct pool_listener pool_rig_listener;

void pool_rig_open(struct pool_rig *t, struct pool_options options, uint32_t max_requests);
void pool_rig_close(struct pool_rig *t);

/* One turn of the loop, which waits 50 ms at most. */
void pool_rig_turn(struct pool_rig *t);
void pool_rig_ask(struct pool_rig *t, struct heard *h, struct quire_request *request,
                  const struct quire_options *options);
/* Turns until all n have ended, or one has so many tokens, or the broker has nothing to do; or the
 * test fails after PROCESS_WAIT_MS. */
void pool_rig_run(struct pool_rig *t, const struct heard *h, size_t n);
void pool_rig_run_to(struct pool_rig *t, const struct heard *h, uint32_t tokens);
void pool_rig_wait_idle(struct pool_rig *t);

uint32_t pool_rig_ended(const struct heard *h, size_t n); /* how many of n have */
struct pool_counts pool_rig_counts(const struct pool_rig *t);
void pool_rig_check_done(const struct heard *h);
void pool_rig_check_fault(const struct heard *h, int status);

/* Sampled. */
struct quire_options pool_rig_options(uint32_t max_tokens);
/* The model with random weights answers those without a picture at any length. */
struct quire_request *pool_rig_question(int i, const char *picture);

#endif
