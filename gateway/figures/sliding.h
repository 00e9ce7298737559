/* sliding.h - percentiles of what happened in the last five minutes, in a fixed piece of memory.
 *
 * Values are counted in buckets whose width grows with the value, in slots of ten seconds; a slot
 * that is too old is emptied and used again. A percentile is therefore the middle of a bucket: off
 * by at most one part in 64 of the value, and the window is between SLIDING_SLOTS - 1 and
 * SLIDING_SLOTS slots long. */
#ifndef QUIRE_GATEWAY_SLIDING_H
#define QUIRE_GATEWAY_SLIDING_H

#include <stddef.h>
#include <stdint.h>

#define SLIDING_SLOT_US INT64_C(10000000)
#define SLIDING_SLOTS 31 /* thirty whole ones and the one that is being filled */
#define SLIDING_STEPS 32 /* buckets for each doubling */
#define SLIDING_BITS 34  /* values from 2^34 us, some 4.8 hours, count as the largest */
#define SLIDING_BUCKETS ((SLIDING_BITS - 4) * SLIDING_STEPS)

struct sliding {
    struct sliding_slot {
        int64_t number; /* of its ten seconds since the clock's start; -1: never used */
        uint32_t counts[SLIDING_BUCKETS];
    } slots[SLIDING_SLOTS];
};

void sliding_init(struct sliding *s);
void sliding_add(struct sliding *s, uint64_t value, int64_t now_us);

/* shares[i] in 0..1: out[i] becomes the value that this share of all values does not pass (nearest
 * rank), 0 when there are none. Shares ascend. Returns how many values there are. */
uint64_t sliding_percentiles(const struct sliding *s, int64_t now_us, const double *shares,
                             size_t n, uint64_t *out);

#endif
