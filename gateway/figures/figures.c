/* figures.c - a finished request is counted, put into the histograms and kept in the ring.
 *
 * All of it runs on the gateway's loop. Only requests that were answered have times of the pool;
 * what a request without a token would add to a histogram of tokens is left out, since an absent
 * time is not a short one. */
#include "gateway/figures/figures.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "gateway/figures/store.h"

const char *const store_dialects[STORE_DIALECTS] = {
    "openai-chat",        "openai-completions",     "openai-responses",
    "anthropic-messages", "anthropic-count-tokens", "other",
};

#define COUNTING "anthropic-count-tokens" /* has prompts that nobody computes */

/* The bounds in seconds, and for the error as a share of what came. */
static const double queue_s[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
static const double first_token_s[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                       1,     2.5,  5,     10,   30,  60};
static const double per_token_s[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02,
                                     0.05,   0.1,   0.2,    0.5,   1};
static const double total_s[] = {0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
static const double error_ratio[] = {0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2, 5};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

const char *store_outcome(size_t i) {
    if (i == 0)
        return "done";
    if (i == STORE_OUTCOMES - 1)
        return "other";
    const char *name = error_name(-(int)i); /* "cancelled" is one of them */
    return strcmp(name, "unknown") == 0 ? NULL : name;
}

static size_t outcome_number(const char *name) {
    for (size_t i = 0; i < STORE_OUTCOMES; i++) {
        const char *known = store_outcome(i);
        if (known != NULL && strcmp(known, name) == 0)
            return i;
    }
    return STORE_OUTCOMES - 1;
}

static size_t dialect_number(const char *name) {
    for (size_t i = 0; i < STORE_DIALECTS; i++)
        if (strcmp(store_dialects[i], name) == 0)
            return i;
    return STORE_DIALECTS - 1;
}

int figures_open(struct figures **out) {
    struct figures *f = *out = calloc(1, sizeof *f);
    if (f == NULL)
        return ERR_NOMEM;
    f->records = calloc(FIGURES_RECORDS, sizeof *f->records);
    f->first_token_us = malloc(sizeof *f->first_token_us);
    f->per_token_us = malloc(sizeof *f->per_token_us);
    if (f->records == NULL || f->first_token_us == NULL || f->per_token_us == NULL) {
        figures_close(f);
        *out = NULL;
        return ERR_NOMEM;
    }
    sliding_init(f->first_token_us);
    sliding_init(f->per_token_us);
    histogram_init(&f->queue, queue_s, COUNT(queue_s));
    histogram_init(&f->first_token, first_token_s, COUNT(first_token_s));
    histogram_init(&f->per_token, per_token_s, COUNT(per_token_s));
    histogram_init(&f->total, total_s, COUNT(total_s));
    histogram_init(&f->prediction_error, error_ratio, COUNT(error_ratio));
    f->opened_s = (int64_t)time(NULL);
    return 0;
}

void figures_close(struct figures *f) {
    if (f == NULL)
        return;
    free(f->records);
    free(f->first_token_us);
    free(f->per_token_us);
    free(f);
}

static double seconds(uint64_t us) {
    return (double)us / 1e6;
}

static void add_times(struct figures *f, const struct record *r) {
    const struct quire_timings *t = &r->timings;
    uint64_t total_us = r->ended_us > r->arrived_us ? (uint64_t)(r->ended_us - r->arrived_us) : 0;
    bool done = strcmp(r->outcome, "done") == 0;
    if (done) {
        histogram_add(&f->total, seconds(total_us));
        histogram_add(&f->queue, seconds(t->queue_us + t->wait_us));
    }
    if (r->first_us > r->arrived_us) {
        uint64_t first_us = (uint64_t)(r->first_us - r->arrived_us);
        histogram_add(&f->first_token, seconds(first_us));
        sliding_add(f->first_token_us, first_us, r->ended_us);
    }
    if (done && r->usage.answer_tokens > 1) {
        uint64_t token_us = t->decode_us / (r->usage.answer_tokens - 1);
        histogram_add(&f->per_token, seconds(token_us));
        sliding_add(f->per_token_us, token_us, r->ended_us);
    }
    if (done && t->predicted_us > 0 && t->first_token_us > 0) {
        double off = (double)t->predicted_us - (double)t->first_token_us;
        histogram_add(&f->prediction_error, (off < 0 ? -off : off) / (double)t->first_token_us);
    }
}

static void add_work(struct figures *f, const struct quire_usage *u) {
    f->prompt_positions += u->prompt_positions;
    f->reused_positions += u->reused_positions;
    f->answer_tokens += u->answer_tokens;
    f->pictures += u->pictures;
    f->pictures_encoded += u->pictures_encoded;
}

void figures_add(struct figures *f, const struct record *r) {
    f->requests[dialect_number(r->dialect)][outcome_number(r->outcome)]++;
    if (strcmp(r->dialect, COUNTING) != 0) {
        add_work(f, &r->usage);
        add_times(f, r);
    }
    const struct record *kept = &f->records[f->n_records % FIGURES_RECORDS];
    f->records[f->n_records++ % FIGURES_RECORDS] = *r;
    for (size_t i = 0; i < FIGURES_LISTENERS; i++)
        if (f->listeners[i].fn != NULL)
            f->listeners[i].fn(f->listeners[i].arg, kept);
}

int figures_on_record(struct figures *f, void (*fn)(void *arg, const struct record *r), void *arg) {
    for (size_t i = 0; i < FIGURES_LISTENERS; i++)
        if (f->listeners[i].fn == NULL) {
            f->listeners[i] = (struct figures_listener){fn, arg};
            return 0;
        }
    return -1;
}

void figures_off_record(struct figures *f, void (*fn)(void *arg, const struct record *r),
                        void *arg) {
    for (size_t i = 0; i < FIGURES_LISTENERS; i++)
        if (f->listeners[i].fn == fn && f->listeners[i].arg == arg)
            f->listeners[i] = (struct figures_listener){NULL, NULL};
}

const struct record *figures_find(const struct figures *f, const uint8_t id[QUIRE_ID_BYTES]) {
    for (size_t back = 1; back <= FIGURES_RECORDS && back <= f->n_records; back++) {
        const struct record *r = &f->records[(f->n_records - back) % FIGURES_RECORDS];
        if (memcmp(r->id, id, QUIRE_ID_BYTES) == 0)
            return r;
    }
    return NULL;
}

/* ---- workers that came back ---- */

static struct figures_seen *find_seen(const struct figures *f, const char *name) {
    for (size_t i = 0; i < f->n_seen; i++)
        if (strcmp(f->seen[i].name, name) == 0)
            return (struct figures_seen *)&f->seen[i];
    return NULL;
}

static bool in_snapshot(const struct snapshot *s, const char *name) {
    for (size_t i = 0; i < s->n_workers; i++)
        if (strcmp(s->workers[i].name, name) == 0)
            return true;
    return false;
}

/* A place for a new name: the table is as large as a snapshot, so when it is full there is a worker
 * in it that is gone. */
static struct figures_seen *new_seen(struct figures *f, const struct snapshot *s) {
    if (f->n_seen < OBSERVER_WORKERS)
        return &f->seen[f->n_seen++];
    for (size_t i = 0; i < f->n_seen; i++)
        if (!in_snapshot(s, f->seen[i].name))
            return &f->seen[i];
    return NULL;
}

void figures_observe(struct figures *f, const struct snapshot *s) {
    if (!s->connected)
        return;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct quire_worker *w = &s->workers[i];
        struct figures_seen *seen = find_seen(f, w->name);
        if (seen != NULL) {
            seen->restarts += seen->incarnation != w->incarnation;
            seen->incarnation = w->incarnation;
        } else if ((seen = new_seen(f, s)) != NULL) {
            memcpy(seen->name, w->name, sizeof seen->name);
            seen->incarnation = w->incarnation;
            seen->restarts = 0;
        }
    }
}

uint64_t store_restarts(const struct figures *f, const char *name) {
    const struct figures_seen *seen = find_seen(f, name);
    return seen != NULL ? seen->restarts : 0;
}
