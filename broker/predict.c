/* predict.c - the arithmetic of broker/predict.h. Guesses stand in until something was measured; a
 * wrong one costs a few routes. */
#include "broker/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GUESS_POSITION_US 1000
#define GUESS_TILE_US 500000
#define GUESS_STEP_US 0
#define GUESS_POSITION_BYTES 4.0
#define GUESS_PICTURE_POSITIONS 256.0
#define GUESS_PICTURE_TILES 1.0

/* A worker may tell any figure. No part of a prediction is more than this, 11 days, so that the sums
 * of all that may be under way stay far from the bounds of their type. */
#define COST_MAX_US 1e12

/* ---- the line ---- */

#define FIT_DECAY (31.0 / 32) /* a sample's weight after the next one */
#define FIT_ENOUGH 4.0        /* samples before anything is believed */
#define FIT_LEAST_US 1000.0   /* shorter prompts weigh as if they were this long */
#define SLOPE_MIN 0.25
#define SLOPE_MAX 4.0
#define BASE_MAX_US 1000000.0

static double within(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

void fit_learn(struct fit *f, double raw_us, double took_us) {
    double scale = raw_us > FIT_LEAST_US ? raw_us : FIT_LEAST_US;
    double x = raw_us / scale; /* 1, but for the shortest */
    double y = within(took_us / scale, 0, BASE_MAX_US / scale + 2 * SLOPE_MAX);
    double one = FIT_LEAST_US / scale; /* what base is multiplied with, in units of 1 ms */
    f->weight = f->weight * FIT_DECAY + one * one;
    f->x = f->x * FIT_DECAY + one * x;
    f->y = f->y * FIT_DECAY + one * y;
    f->xx = f->xx * FIT_DECAY + x * x;
    f->xy = f->xy * FIT_DECAY + x * y;
}

void fit_line(const struct fit *f, double *base_us, double *slope) {
    *base_us = 0;
    *slope = 1;
    double size = f->xx + f->weight;
    if (size < FIT_ENOUGH)
        return;
    double apart = f->weight * f->xx - f->x * f->x;
    double base = 0;
    if (apart > 1e-3 * f->weight * f->xx)
        base = (f->xx * f->y - f->x * f->xy) / apart;
    else if (f->weight > f->xx) /* all too short to say anything of the slope */
        base = (f->y - f->x) / f->weight;
    base = within(base, 0, BASE_MAX_US / FIT_LEAST_US);
    if (f->xx > 0)
        *slope = within((f->xy - base * f->x) / f->xx, SLOPE_MIN, SLOPE_MAX);
    *base_us = base * FIT_LEAST_US;
}

/* ---- rates ---- */

#define FIGURES 5

static const struct {
    double guess, noise;
} figures[FIGURES] = {
    {GUESS_POSITION_US, RATE_NOISE}, {GUESS_STEP_US, RATE_NOISE}, {GUESS_TILE_US, RATE_NOISE},
    {0, INFINITY},                   {1, SLOPE_NOISE},
};

static double *figure(struct rates *r, int which) {
    double *all[FIGURES] = {&r->position_us, &r->step_us, &r->tile_us, &r->base_us, &r->slope};
    return all[which];
}

static void settle_one(struct rates *const *rates, size_t n, int which) {
    double low = 0, high = 0, sum = 0;
    size_t measured = 0;
    for (size_t i = 0; i < n; i++) {
        double x = *figure(rates[i], which);
        if (x <= 0)
            continue;
        low = measured == 0 || x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
        measured++;
    }
    double mean = measured > 0 ? sum / (double)measured : figures[which].guess;
    bool alike = measured == 0 || high <= low * figures[which].noise;
    for (size_t i = 0; i < n; i++) {
        double *x = figure(rates[i], which);
        if (alike || *x <= 0)
            *x = mean;
    }
}

void rates_settle(struct rates *const *rates, size_t n) {
    for (int which = 0; which < FIGURES; which++)
        settle_one(rates, n, which);
}

struct cost rates_cost(const struct rates *r, const struct work *w) {
    uint32_t chunk = w->decoding > 0 ? STEP_POSITIONS_SHARED : STEP_POSITIONS;
    double steps = (double)(((uint64_t)w->positions + chunk - 1) / chunk);
    double beside_us = w->decoding * r->position_us; /* others' tokens in each step */
    double prefill_us = w->positions * r->position_us + steps * (r->step_us + beside_us);
    double tile_us = r->tile_us + (w->decoding > 0 ? r->step_us + beside_us : 0);
    double encode_us = w->tiles * tile_us;
    return (struct cost){
        .encode_us = (int64_t)within(r->slope * encode_us, 0, COST_MAX_US),
        .prefill_us = (int64_t)within(r->slope * prefill_us + r->base_us, 0, COST_MAX_US),
        .raw_us = (int64_t)within(encode_us + prefill_us, 0, COST_MAX_US),
    };
}

/* ---- sizes ---- */

#define SIZES_DECAY (31.0 / 32)

static struct average *find(const struct averages *a, const uint8_t fingerprint[16]) {
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(a->entries[i].fingerprint, fingerprint, 16) == 0)
            return (struct average *)&a->entries[i];
    return NULL;
}

static struct average *find_or_make(struct averages *a, const uint8_t fingerprint[16]) {
    struct average *e = find(a, fingerprint);
    if (!e) {
        e = &a->entries[0];
        if (a->count < AVERAGES_MAX)
            e = &a->entries[a->count++];
        else
            for (size_t i = 1; i < AVERAGES_MAX; i++)
                if (a->entries[i].used < e->used)
                    e = &a->entries[i];
        memset(e, 0, sizeof *e);
        memcpy(e->fingerprint, fingerprint, sizeof e->fingerprint);
    }
    e->used = ++a->clock;
    return e;
}

static double ratio(double sum, double of, double guess) {
    return sum > 0 && of > 0 ? sum / of : guess;
}

struct sizes averages_sizes(const struct averages *a, const uint8_t fingerprint[16]) {
    const struct average *e = find(a, fingerprint);
    static const struct average none;
    if (!e)
        e = &none;
    return (struct sizes){
        .position_bytes = ratio(e->text_bytes, e->text_positions, GUESS_POSITION_BYTES),
        .picture_positions = ratio(e->picture_positions, e->shown, GUESS_PICTURE_POSITIONS),
        .picture_tiles = ratio(e->tiles, e->encoded, GUESS_PICTURE_TILES),
    };
}

static void learn(double *sum, double *of, double x, double n) {
    *sum = *sum * SIZES_DECAY + x;
    *of = *of * SIZES_DECAY + n;
}

void averages_learn(struct averages *a, const struct trail *t, const struct usage *u) {
    if (t->kept == 0 || u->picture_positions > u->prompt_positions)
        return;
    struct average *e = find_or_make(a, t->fingerprint);
    learn(&e->text_bytes, &e->text_positions, (double)t->text_bytes,
          u->prompt_positions - u->picture_positions);
    if (t->shown > 0 && u->picture_positions > 0)
        learn(&e->picture_positions, &e->shown, u->picture_positions, t->shown);
    if (u->pictures_encoded > 0)
        learn(&e->tiles, &e->encoded, u->tiles_encoded, u->pictures_encoded);
}

/* ---- errors ---- */

void errors_add(struct errors *e, int64_t predicted_us, int64_t came_us) {
    int64_t came = came_us > 0 ? came_us : 1;
    int64_t off = predicted_us > came ? predicted_us - came : came - predicted_us;
    int64_t permille = off < INT64_MAX / 1000 ? off * 1000 / came : UINT32_MAX;
    e->permille[e->count++ % ERRORS_KEPT] =
        permille < UINT32_MAX ? (uint32_t)permille : UINT32_MAX;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t errors_median(const struct errors *e) {
    uint32_t sorted[ERRORS_KEPT];
    size_t n = e->count < ERRORS_KEPT ? e->count : ERRORS_KEPT;
    if (n == 0)
        return 0;
    memcpy(sorted, e->permille, n * sizeof sorted[0]);
    qsort(sorted, n, sizeof sorted[0], compare);
    return sorted[n / 2];
}
