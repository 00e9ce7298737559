/* past.h - the requests routed last, and what was predicted of them, for broker_explain. */
#ifndef QUIRE_BROKER_PAST_H
#define QUIRE_BROKER_PAST_H

#include "broker/core.h"
#include "broker/jobs.h"
#include "broker/router.h"

struct past_segment {
    struct link link;
    uint32_t bytes, positions;
    uint8_t kind, role;
    bool known;
    uint16_t owners; /* bit = index of a worker */
};
_Static_assert(BROKER_PAST_WORKERS <= 16, "a segment's owners are 16 bits");

struct past_worker {
    struct label name;
    bool credit, chosen;
    uint32_t held_segments, held_positions, missing_pictures;
    int64_t wait_us, encode_us, prefill_us, total_us;
};

struct past_request {
    uint64_t ticket; /* 0: not in use */
    struct request_id id;
    enum routing_policy policy;
    uint32_t positions;
    int64_t predicted_us, first_token_us; /* 0: not yet */
    size_t n_segments, n_workers;
    struct past_segment segments[BROKER_PAST_SEGMENTS];
    struct past_worker workers[BROKER_PAST_WORKERS];
};

struct past {
    struct past_request ring[BROKER_PAST];
    uint64_t count; /* routed so far */
};

/* j is about to be sent to c. */
void past_add(struct past *p, struct job *j, const struct plan *plan, const struct candidate *c,
              const struct affinity *a, enum routing_policy policy);

/* The first token of the job came so long after it was sent. */
void past_came(struct past *p, const struct job *j, int64_t first_token_us);

/* The last request of that id, or the last of all for NULL; NULL when it is not in the ring. */
const struct past_request *past_find(const struct past *p, const struct request_id *id);

#endif
