/* passed.h - how much of an answer the caller has, and what of a repeated one is new.
 *
 * A request that is sent again is answered from its first token on. The same seed gives the same
 * answer to the bit, however it is cut into events, so what is left out is counted in tokens and in
 * bytes of text. That it is the same is checked by a running hash, which costs no memory however
 * long an answer is. */
#ifndef QUIRE_GATEWAY_PASSED_H
#define QUIRE_GATEWAY_PASSED_H

#include <stdbool.h>
#include <stdint.h>

#include "client/quire.h"

struct passed_mark {
    uint64_t text_bytes;
    uint64_t text_hash, ids_hash; /* ids of tokens are known with logprobs only */
    uint32_t tokens;
};
struct passed {
    struct passed_mark given; /* what the caller has */
    struct passed_mark now;   /* where this sending is; never beyond `given` */
};

void passed_init(struct passed *p);

/* The request is sent again: the answer starts from its beginning. */
void passed_again(struct passed *p);

/* Cuts what the caller has off a QUIRE_TOKENS event. 1: something is left, which now counts as
 * given; 0: nothing is; -1: this is another answer than before. */
int passed_cut(struct passed *p, struct quire_event *event);

/* False as long as this sending has not come as far as the one before it. */
bool passed_whole(const struct passed *p);

#endif
