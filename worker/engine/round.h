/* round.h - work of the team that is cut into parts and may stop between them.
 *
 * Parts have outputs of their own, so who does which, and when, changes no bit. A round that ran
 * out of time goes on with the parts that are left. */
#ifndef QUIRE_ENGINE_ROUND_H
#define QUIRE_ENGINE_ROUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/team.h"

/* One part, 0..parts-1, done by a member of the team. */
typedef void round_part(void *arg, int32_t part, int member);

struct round {
    round_part *run;
    void *arg;
    int32_t parts;
    int64_t deadline_us; /* of clock_us; 0: none */
    atomic_int next;     /* the part to be taken */
};

void round_begin(struct round *r, int32_t parts, round_part *run, void *arg);

/* Runs parts until all are done, which is true, or until the next would end after the deadline, as
 * far as the last one's time tells. Every member does one part at least. */
bool round_advance(struct round *r, struct team *t, int64_t deadline_us);

#endif
