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

/* A worker may tell any figure. No part of a prediction is more than this, 11 days, so that the
 * sums of all that may be under way stay far from the bounds of their type. */
#define COST_MAX_US 1e12

static double within(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* ---- rates ---- */

#define FIGURES 3

static const double guesses[FIGURES] = {GUESS_POSITION_US, GUESS_STEP_US, GUESS_TILE_US};

static double *figure(struct rates *r, int which) {
    double *all[FIGURES] = {&r->position_us, &r->step_us, &r->tile_us};
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
    double mean = measured > 0 ? sum / (double)measured : guesses[which];
    bool alike = measured == 0 || high <= low * RATE_NOISE;
    for (size_t i = 0; i < n; i++) {
        double *x = figure(rates[i], which);
        if (alike || *x <= 0)
            *x = mean;
    }
}

static void see(double *figure_us, uint64_t us, uint32_t n) {
    double x = n > 0 ? (double)us / n : 0;
    if (x > 0 && (*figure_us <= 0 || x < *figure_us))
        *figure_us = x;
}

void rates_see(struct rates *r, const struct usage *u, const struct timings *t) {
    if (u->prompt_positions > u->reused_positions)
        see(&r->position_us, t->prefill_us, u->prompt_positions - u->reused_positions);
    see(&r->tile_us, t->picture_us, u->tiles_encoded);
}

void rates_settle(struct rates *const *rates, size_t n) {
    for (int which = 0; which < FIGURES; which++)
        settle_one(rates, n, which);
}

static int64_t bounded(double us) {
    return (int64_t)within(us, 0, COST_MAX_US);
}

static uint32_t chunk_of(const struct rates *r, double step_us, bool shared) {
    if (!shared || r->position_us <= 0)
        return STEP_POSITIONS;
    return (uint32_t)within((STEP_SHARED_US - step_us) / r->position_us, STEP_SHARED_LEAST,
                            STEP_POSITIONS);
}

struct cost rates_cost(const struct rates *r, const struct work *w) {
    double step_us = r->step_us + w->decoding * r->position_us; /* with others' tokens */
    uint32_t chunk = chunk_of(r, step_us, w->decoding > 0);
    double steps = (double)(((uint64_t)w->positions + chunk - 1) / chunk);
    double tile_us = r->tile_us + (w->decoding > 0 ? step_us : 0);
    return (struct cost){
        .encode_us = bounded(w->tiles * tile_us),
        .prefill_us = bounded(w->positions * r->position_us + steps * step_us),
        .tile_us = bounded(tile_us),
        .chunk_us = bounded(chunk * r->position_us + step_us),
        .pieces = w->tiles + steps,
    };
}

/* ---- pace ---- */

#define PACE_STEP 0.3      /* of the logarithm of an error, taken back at once */
#define PACE_ERROR_MAX 0.3 /* an error's logarithm counts as no more than this */
#define PACE_LATER 0.5     /* at first: one that comes later comes half way, on average */

static const struct pace least = {0.25, 0.05, 0.02}, greatest = {8, 4, 2};

struct pace pace_begin(void) {
    return (struct pace){1, 1, PACE_LATER};
}

double pace_own(const struct pace *p, double later) {
    return p->own + p->later * later;
}

/* Each factor moves by its part in the whole, in logarithms, so that short prompts and long ones
 * count alike and one that was held up by something else is soon forgotten. */
void pace_learn(struct pace *p, const struct effort *e, double took_us) {
    double own = p->own * e->own_us, wait = p->wait * e->wait_us;
    double later = p->later * e->later * e->own_us, all = own + wait + later;
    if (all < 1 || took_us < 1)
        return;
    double error = within(log(took_us / all), -PACE_ERROR_MAX, PACE_ERROR_MAX);
    double step = PACE_STEP * error * all / (own * own + wait * wait + later * later);
    p->own = within(p->own * exp(step * own), least.own, greatest.own);
    p->wait = within(p->wait * exp(step * wait), least.wait, greatest.wait);
    p->later = within(p->later * exp(step * later), least.later, greatest.later);
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
        e->paces[0] = e->paces[1] = pace_begin();
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

struct pace averages_pace(const struct averages *a, const uint8_t fingerprint[16], bool encodes) {
    const struct average *e = find(a, fingerprint);
    return e ? e->paces[encodes] : pace_begin();
}

void averages_learn_pace(struct averages *a, const uint8_t fingerprint[16], bool encodes,
                         const struct effort *e, double took_us) {
    pace_learn(&find_or_make(a, fingerprint)->paces[encodes], e, took_us);
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
    e->permille[e->count++ % ERRORS_KEPT] = permille < UINT32_MAX ? (uint32_t)permille : UINT32_MAX;
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
