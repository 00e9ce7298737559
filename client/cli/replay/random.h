/* random.h - repeatable numbers (splitmix64): the same seed draws the same trace on every machine.
 */
#ifndef QUIRE_CLI_REPLAY_RANDOM_H
#define QUIRE_CLI_REPLAY_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0..n-1; n > 0. The tiny preference for small numbers does not matter here. */
static inline uint32_t random_below(uint64_t *state, uint32_t n) {
    return (uint32_t)(random_next(state) % n);
}

/* least..most */
static inline uint32_t random_between(uint64_t *state, uint32_t least, uint32_t most) {
    return least + random_below(state, most - least + 1);
}

/* A seed of its own for each of several things that come from one. */
static inline uint64_t random_branch(uint64_t seed, uint64_t which) {
    uint64_t state = seed ^ (which * UINT64_C(0xd6e8feb86659fd93));
    return random_next(&state);
}

#endif
