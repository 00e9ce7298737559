/* sliding.c - buckets are told from the value's bits: its highest bit says which doubling, the next
 * five which of SLIDING_STEPS equal parts of it. Values below SLIDING_STEPS have a bucket each. */
#include "gateway/figures/sliding.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define STEP_BITS 5

_Static_assert(SLIDING_STEPS == 1 << STEP_BITS, "five bits choose among the steps");

static size_t bucket_of(uint64_t value) {
    if (value >= UINT64_C(1) << SLIDING_BITS)
        return SLIDING_BUCKETS - 1;
    if (value < SLIDING_STEPS)
        return (size_t)value;
    int high = 63 - __builtin_clzll(value);
    size_t doubling = (size_t)(high - STEP_BITS + 1);
    size_t step = (size_t)(value >> (high - STEP_BITS)) - SLIDING_STEPS;
    return doubling * SLIDING_STEPS + step;
}

static uint64_t middle_of(size_t bucket) {
    if (bucket < SLIDING_STEPS)
        return bucket;
    int shift = (int)(bucket / SLIDING_STEPS) - 1;
    uint64_t low = (SLIDING_STEPS + bucket % SLIDING_STEPS) << shift;
    return low + ((UINT64_C(1) << shift) >> 1);
}

void sliding_init(struct sliding *s) {
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < SLIDING_SLOTS; i++)
        s->slots[i].number = -1;
}

void sliding_add(struct sliding *s, uint64_t value, int64_t now_us) {
    int64_t number = now_us / SLIDING_SLOT_US;
    struct sliding_slot *slot = &s->slots[number % SLIDING_SLOTS];
    if (slot->number != number) {
        memset(slot->counts, 0, sizeof slot->counts);
        slot->number = number;
    }
    uint32_t *count = &slot->counts[bucket_of(value)];
    if (*count < UINT32_MAX)
        (*count)++;
}

static bool counts_now(const struct sliding_slot *slot, int64_t number) {
    return slot->number >= 0 && slot->number <= number && slot->number > number - SLIDING_SLOTS;
}

uint64_t sliding_percentiles(const struct sliding *s, int64_t now_us, const double *shares,
                             size_t n, uint64_t *out) {
    uint64_t sums[SLIDING_BUCKETS] = {0}, total = 0;
    int64_t number = now_us / SLIDING_SLOT_US;
    for (size_t i = 0; i < SLIDING_SLOTS; i++) {
        if (!counts_now(&s->slots[i], number))
            continue;
        for (size_t b = 0; b < SLIDING_BUCKETS; b++) {
            sums[b] += s->slots[i].counts[b];
            total += s->slots[i].counts[b];
        }
    }
    size_t bucket = 0;
    uint64_t seen = sums[0];
    for (size_t i = 0; i < n; i++) {
        uint64_t rank = (uint64_t)ceil(shares[i] * (double)total);
        if (rank < 1)
            rank = 1;
        while (seen < rank && bucket < SLIDING_BUCKETS - 1)
            seen += sums[++bucket];
        out[i] = total > 0 ? middle_of(bucket) : 0;
    }
    return total;
}
