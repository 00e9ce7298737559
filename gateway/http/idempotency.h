/* idempotency.h - answers kept under the Idempotency-Key that their request came with.
 *
 * A key belongs to a tenant and a route. While its answer runs, the same request attaches to it;
 * for IDEMPOTENCY_KEEP_MS after its end it is answered from memory. Answers that failed are not
 * kept: a retry is to run. Of those kept there are at most IDEMPOTENCY_MAX, with IDEMPOTENCY_BYTES;
 * the oldest go first. */
#ifndef QUIRE_GATEWAY_HTTP_IDEMPOTENCY_H
#define QUIRE_GATEWAY_HTTP_IDEMPOTENCY_H

#include <stdint.h>

#include "gateway/http/run.h"

#define IDEMPOTENCY_KEEP_MS 600000
#define IDEMPOTENCY_GRACE_MS 10000 /* for a running answer that nobody reads any more */
#define IDEMPOTENCY_MAX 1024
#define IDEMPOTENCY_BYTES ((size_t)64 << 20)
#define IDEMPOTENCY_ANSWER_BYTES ((size_t)4 << 20) /* a larger answer is not kept */
#define IDEMPOTENCY_KEY_BYTES 255
#define IDEMPOTENCY_READERS 8 /* of one answer at a time: each has a copy of it */

struct idempotency;
int idempotency_open(struct idempotency **out, struct server *s);
void idempotency_close(struct idempotency *i); /* no run may be kept any more */

struct idempotency_name {
    uint8_t name[32]; /* of tenant, route and key */
    uint8_t body[32];
};
/* 1 with *name, 0 when the request has no key, -1 with 400 when the key is none. */
int idempotency_name(const struct exchange *x, struct idempotency_name *name, struct fault *f);
/* 1: there is an answer, and x reads it. 0: there is none. -1 with 422: there is one to another
 * body; with 429: too many read it. */
int idempotency_answer(struct exchange *x, const struct idempotency_name *name, struct fault *f);
/* From now on the run is found under this name. */
void idempotency_keep(struct run *run, const struct idempotency_name *name);

/* What happened to a run that may be kept: its output grew; its last reader left; it has ended. */
void idempotency_grown(struct run *run);
void idempotency_abandoned(struct run *run);
void idempotency_done(struct run *run);
void idempotency_failed(struct run *run);
/* Forgets what is old, and cancels what nobody came back for. */
void idempotency_tick(struct idempotency *i, int64_t now_ms);
/* Forgets, and cancels, everything. */
void idempotency_clear(struct idempotency *i);

#endif
