/* rates.c - moving averages, and a plane through (positions, pairs, microseconds).
 *
 * The plane is a least-squares fit in which no part may be negative: each part in turn takes what
 * the others leave unexplained, again and again, beginning with what was found last. Often the
 * steps do not determine it: all are of one length, or of the one time that they were cut to fit.
 * Then what is new is put on the positions, which come first, and the other parts stay as they
 * were. */
#include "worker/rates.h"

#define AVERAGE_KEEP 0.9 /* how much of a moving average the next measurement leaves */
#define FIT_KEEP 0.97    /* of the fit's sums: about thirty steps count */
#define FIT_SWEEPS 8     /* over the parts, at each step */

enum { PART_POSITIONS, PART_STEP, PART_PAIRS };

void step_size_add(struct step_size *s, uint32_t first, uint32_t n) {
    s->positions += n;
    s->pairs += (uint64_t)n * first + (uint64_t)n * ((uint64_t)n + 1) / 2;
}

static void average(struct rate *r, int64_t us, uint32_t n) {
    r->us = r->us * AVERAGE_KEEP + (double)us;
    r->n = r->n * AVERAGE_KEEP + (double)n;
}

static uint32_t rounded(double us) {
    return us < 1 ? 1 : us >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)(us + 0.5);
}

static uint32_t average_us(const struct rate *r) {
    return r->n > 0 ? rounded(r->us / r->n) : 0;
}

static void fit(struct step_fit *f) {
    for (int sweep = 0; sweep < FIT_SWEEPS; sweep++) {
        for (int i = 0; i < STEP_PARTS; i++) {
            double left = f->times[i];
            for (int j = 0; j < STEP_PARTS; j++)
                left -= j != i ? f->products[i][j] * f->us[j] : 0;
            if (f->products[i][i] > 0)
                f->us[i] = left > 0 ? left / f->products[i][i] : 0;
        }
    }
}

void rates_prompt_step(struct rates *r, struct step_size size, int64_t us) {
    if (size.positions == 0)
        return;
    struct step_fit *f = &r->prompt;
    double parts[STEP_PARTS] = {size.positions, 1, (double)size.pairs};
    double weight = 1 / parts[PART_POSITIONS], t = us > 0 ? (double)us : 0;
    for (int i = 0; i < STEP_PARTS; i++) {
        for (int j = 0; j < STEP_PARTS; j++)
            f->products[i][j] = f->products[i][j] * FIT_KEEP + weight * parts[i] * parts[j];
        f->times[i] = f->times[i] * FIT_KEEP + weight * parts[i] * t;
    }
    fit(f);
}

void rates_decode_step(struct rates *r, uint32_t tokens, int64_t us) {
    average(&r->decode, us, tokens);
}

void rates_tile(struct rates *r, int64_t us) {
    average(&r->tile, us, 1);
}

/* The fixed part as far as the steps of late leave room for it. */
static double fixed_us(const struct step_fit *f) {
    double mean_us = f->times[PART_STEP] / f->products[PART_STEP][PART_STEP];
    return f->us[PART_STEP] < mean_us ? f->us[PART_STEP] : mean_us;
}

uint32_t rates_position_us(const struct rates *r) {
    const struct step_fit *f = &r->prompt;
    double steps = f->products[PART_STEP][PART_STEP];
    if (steps <= 0)
        return 0;
    double positions = f->products[PART_STEP][PART_POSITIONS];
    return rounded((f->times[PART_STEP] - steps * fixed_us(f)) / positions);
}

uint32_t rates_step_us(const struct rates *r) {
    if (r->prompt.products[PART_STEP][PART_STEP] <= 0)
        return 0;
    double us = fixed_us(&r->prompt);
    return us < 1 ? 0 : rounded(us);
}

uint32_t rates_decode_us(const struct rates *r) {
    return average_us(&r->decode);
}

uint32_t rates_tile_us(const struct rates *r) {
    return average_us(&r->tile);
}

double rates_predict_us(const struct rates *r, struct step_size size) {
    const double *us = r->prompt.us;
    return us[PART_STEP] + us[PART_POSITIONS] * size.positions +
           us[PART_PAIRS] * (double)size.pairs;
}

uint32_t rates_positions_within(const struct rates *r, struct step_size size, uint32_t first,
                                uint32_t most, int64_t bound_us) {
    uint32_t fits = 0, beyond = most + 1; /* more positions never take less time */
    while (beyond - fits > 1) {
        uint32_t middle = fits + (beyond - fits) / 2;
        struct step_size with = size;
        step_size_add(&with, first, middle);
        if (rates_predict_us(r, with) <= (double)bound_us)
            fits = middle;
        else
            beyond = middle;
    }
    return fits;
}
