/* rates.c - moving averages, and a line through (positions, microseconds).
 *
 * The line is a least-squares fit. While all steps are about as long as each other it is not
 * determined: then the fixed part stays what it was and the rest is put on the positions. */
#include "worker/rates.h"

#define AVERAGE_KEEP 0.9 /* how much of a moving average the next measurement leaves */
#define FIT_KEEP 0.97    /* of the fit's sums: about thirty steps count */
#define FIT_SPREAD 0.02  /* the least variance of lengths, in squares of their mean, to fit a line \
                          */

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

void rates_prompt_step(struct rates *r, uint32_t positions, int64_t us) {
    if (positions == 0)
        return;
    struct step_fit *f = &r->prompt;
    double n = positions, t = us > 0 ? (double)us : 0, w = 1 / n;
    f->weights = f->weights * FIT_KEEP + w;
    f->weighted_n = f->weighted_n * FIT_KEEP + w * n;
    f->weighted_nn = f->weighted_nn * FIT_KEEP + w * n * n;
    f->weighted_us = f->weighted_us * FIT_KEEP + w * t;
    f->weighted_nus = f->weighted_nus * FIT_KEEP + w * n * t;

    double mean_n = f->weighted_n / f->weights, mean_us = f->weighted_us / f->weights;
    double variance = f->weighted_nn / f->weights - mean_n * mean_n;
    if (variance > FIT_SPREAD * mean_n * mean_n) {
        double slope = (f->weighted_nus / f->weights - mean_n * mean_us) / variance;
        double fixed = mean_us - slope * mean_n;
        if (slope > 0)
            f->fixed_us = fixed > 0 ? fixed : 0;
    }
}

void rates_decode_step(struct rates *r, uint32_t tokens, int64_t us) {
    average(&r->decode, us, tokens);
}

void rates_tile(struct rates *r, int64_t us) {
    average(&r->tile, us, 1);
}

/* The fixed part as far as the steps of late leave room for it. */
static double fixed_us(const struct step_fit *f) {
    double mean_us = f->weighted_us / f->weights;
    return f->fixed_us < mean_us ? f->fixed_us : mean_us;
}

uint32_t rates_position_us(const struct rates *r) {
    const struct step_fit *f = &r->prompt;
    if (f->weights <= 0)
        return 0;
    return rounded((f->weighted_us - f->weights * fixed_us(f)) / f->weighted_n);
}

uint32_t rates_step_us(const struct rates *r) {
    if (r->prompt.weights <= 0)
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
