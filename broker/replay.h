/* replay.h - the ids of the tokens that clients have, for the case that a worker is lost in the
 * middle of an answer and another one must go on behind them.
 *
 * One piece of memory, taken at the start, for all answers under way. An answer takes blocks of it
 * as it grows. When none is left it is not remembered any more: its request can't be taken up then,
 * which costs nothing unless its worker is lost. */
#ifndef QUIRE_BROKER_REPLAY_H
#define QUIRE_BROKER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "proto/message.h"

#define REPLAY_BLOCK_TOKENS 63 /* with the link to the next, 256 bytes */

/* The tokens of one answer; zeroed: none. */
struct replay {
    uint32_t first, last; /* blocks */
    uint32_t count;       /* tokens */
};

struct replays;

/* Room for `blocks` blocks, at least 1. ERR_NOMEM leaves *out NULL. */
int replays_open(struct replays **out, uint32_t blocks);
void replays_close(struct replays *t); /* NULL is fine */

/* Adds ids at the end; their size is a multiple of TOKEN_ID_BYTES. False when there is no room:
 * then the answer is as it was. */
bool replays_add(struct replays *t, struct replay *r, struct bytes ids);
void replays_drop(struct replays *t, struct replay *r); /* all of the answer's; zeroes *r */

/* Copies all ids, as they came, to out: r->count times TOKEN_ID_BYTES. */
void replays_read(const struct replays *t, const struct replay *r, uint8_t *out);

uint32_t replays_free(const struct replays *t); /* blocks */

#endif
