/* rates.h - how long the engine takes, learned from what it has just done.
 *
 * A step's time has three parts: one that is there whatever it computes (the weights have to pass
 * by), one that grows with its positions, and one that grows with what they attend to: pairs of a
 * position and one that it sees. All three are fitted together to the steps that computed prompts,
 * older ones counting less and less. Pure: the times come from whoever measured them. */
#ifndef QUIRE_WORKER_RATES_H
#define QUIRE_WORKER_RATES_H

#include <stdint.h>

/* A moving average of us per n. */
struct rate {
    double us, n; /* older parts fading */
};

/* What a step computes. */
struct step_size {
    uint32_t positions; /* of prompts and, beside them, of others' tokens */
    uint64_t pairs;     /* of one of them and a position that it attends to, itself included */
};
/* Puts n consecutive positions from `first` on into a step. */
void step_size_add(struct step_size *s, uint32_t first, uint32_t n);

#define STEP_PARTS 3 /* positions, the step itself, pairs */

/* Weighted sums over steps: 1/positions each, since longer steps also vary more. */
struct step_fit {
    double products[STEP_PARTS][STEP_PARTS], times[STEP_PARTS];
    double us[STEP_PARTS]; /* of one of each part, as found last; never negative */
};

/* Zeroed to begin with. */
struct rates {
    struct step_fit prompt;
    struct rate decode, tile;
};

void rates_prompt_step(struct rates *r, struct step_size size, int64_t us);
void rates_decode_step(struct rates *r, uint32_t tokens, int64_t us); /* nothing but tokens */
void rates_tile(struct rates *r, int64_t us);

/* In microseconds, at least 1; 0: not measured yet. */
uint32_t rates_position_us(const struct rates *r); /* at the lengths of late */
uint32_t rates_decode_us(const struct rates *r);
uint32_t rates_tile_us(const struct rates *r);
uint32_t rates_step_us(const struct rates *r); /* may be 0 also when it is measured */

/* What such a step will take; 0 while nothing is measured. */
double rates_predict_us(const struct rates *r, struct step_size size);
/* The most positions, from `first` on and up to `most`, with which a step that holds `size` already
 * is expected to end within bound_us; may be 0. */
uint32_t rates_positions_within(const struct rates *r, struct step_size size, uint32_t first,
                                uint32_t most, int64_t bound_us);

#endif
