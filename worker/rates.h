/* rates.h - how long the engine takes, learned from what it has just done.
 *
 * A step's time is one part that is there whatever it computes (the weights have to pass by) and
 * one that grows with its positions. Both are fitted to the steps that computed prompts, older ones
 * counting less and less. */
#ifndef QUIRE_WORKER_RATES_H
#define QUIRE_WORKER_RATES_H

#include <stdint.h>

/* A moving average of us per n. */
struct rate {
    double us, n; /* older parts fading */
};

/* Weighted sums over steps of n positions that took us: 1/n each, since longer steps also vary
 * more. */
struct step_fit {
    double weights, weighted_n, weighted_nn, weighted_us, weighted_nus;
    double fixed_us; /* what was found last when steps differed in length */
};

/* Zeroed to begin with. */
struct rates {
    struct step_fit prompt;
    struct rate decode, tile;
};

/* A step of prompt positions and, beside them, of others' tokens; positions counts both. */
void rates_prompt_step(struct rates *r, uint32_t positions, int64_t us);
void rates_decode_step(struct rates *r, uint32_t tokens, int64_t us); /* nothing but tokens */
void rates_tile(struct rates *r, int64_t us);

/* In microseconds, at least 1; 0: not measured yet. */
uint32_t rates_position_us(const struct rates *r);
uint32_t rates_decode_us(const struct rates *r);
uint32_t rates_tile_us(const struct rates *r);
uint32_t rates_step_us(const struct rates *r); /* may be 0 also when it is measured */

#endif
