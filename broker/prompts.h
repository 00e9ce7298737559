/* prompts.h - the requests at one worker before their first token, and how long a new one waits for
 * them.
 *
 * A worker computes prompts in pieces, a run of its vision tower or a chunk of positions, and
 * prompts take turns (worker/scheduler.h). So a prompt of few pieces waits for as many pieces of
 * each of the others; of one that was begun for half a piece less, since a piece is under way or
 * its turn comes later. In its first turn a prompt with new pictures only looks at one, which takes
 * little. All times are microseconds. */
#ifndef QUIRE_BROKER_PROMPTS_H
#define QUIRE_BROKER_PROMPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/predict.h"

#define PROMPTS_MAX 256 /* at one worker */

enum prompt_stage {
    PROMPT_SENT,     /* nothing was heard of it */
    PROMPT_ENCODES,  /* its pictures are looked at or encoded */
    PROMPT_COMPUTES, /* its positions are computed */
};

struct prompt {
    bool used;
    enum prompt_stage stage;
    bool pictures;             /* it has some to encode */
    int64_t tile_us, chunk_us; /* one piece of it */
    int64_t left_us, told_us;  /* its work, as known at told_us */
};

struct prompts {
    struct prompt slots[PROMPTS_MAX];
    uint32_t end, count; /* no slot at or past end is used */
};

/* There is always room: a worker holds no more than its credit. Returns the slot. */
uint32_t prompts_add(struct prompts *p, const struct cost *c, int64_t now_us);
void prompts_remove(struct prompts *p, uint32_t slot);

/* The worker tells that a prompt has got so far. One that seems to go back stays where it was. */
void prompts_tell(struct prompts *p, uint32_t slot, enum prompt_stage stage, int64_t left_us,
                  int64_t now_us);

/* Until all are computed. */
int64_t prompts_left(const struct prompts *p, int64_t now_us);

/* What a new prompt of so many pieces waits for. */
int64_t prompts_wait(const struct prompts *p, double pieces, int64_t now_us);

#endif
