/* measure.c - sums, percentiles, and the reuse that would have been possible. */
#include "client/cli/replay/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/replay/reuse.h"

double measure_share(uint64_t part, uint64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The nearest-rank percentile of sorted values. */
static double percentile(const double *sorted, size_t n, double percent) {
    if (n == 0)
        return 0;
    size_t rank = (size_t)ceil(percent / 100 * (double)n);
    return sorted[rank > 0 ? rank - 1 : 0];
}

/* ---- one request ---- */

struct possible { /* positions that each kind of cache would have reused */
    uint32_t ideal, segmented, one_key;
};

static void add(struct measure *m, const struct outcome *o, const struct possible *p) {
    m->requests++;
    m->prompt_positions += o->usage.prompt_positions;
    m->reused_positions += o->usage.reused_positions;
    m->ideal_positions += p->ideal;
    m->segmented += p->segmented;
    m->one_key += p->one_key;
    m->pictures += o->usage.pictures;
    m->pictures_encoded += o->usage.pictures_encoded;
    m->answer_tokens += o->usage.answer_tokens;
    m->without_ends += o->n_ends == 0;
}

/* ---- in the order of sending ---- */

struct work {
    const struct trace *trace;
    const struct outcome *outcomes;
    uint32_t *sent; /* turns that were answered, in the order of sending */
    size_t n_sent;
    double *values; /* room for one per turn */
    struct reuse *segmented, *one_key;
};

static const struct outcome *by_order; /* for qsort, which takes no context */

static int compare_order(const void *a, const void *b) {
    uint32_t x = by_order[*(const uint32_t *)a].order, y = by_order[*(const uint32_t *)b].order;
    return (x > y) - (x < y);
}

static int open_work(struct work *w, const struct trace *t, const struct outcome *outcomes) {
    *w = (struct work){.trace = t, .outcomes = outcomes};
    w->sent = calloc(t->n_turns + 1, sizeof *w->sent);
    w->values = calloc(t->n_turns + 1, sizeof *w->values);
    if (w->sent == NULL || w->values == NULL || reuse_open(&w->segmented, REUSE_SEGMENTED) != 0 ||
        reuse_open(&w->one_key, REUSE_ONE_KEY) != 0)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < t->n_turns; i++)
        if (outcomes[i].state == TURN_DONE)
            w->sent[w->n_sent++] = i;
    by_order = outcomes;
    qsort(w->sent, w->n_sent, sizeof *w->sent, compare_order);
    return 0;
}

static void close_work(struct work *w) {
    reuse_close(w->segmented);
    reuse_close(w->one_key);
    free(w->sent);
    free(w->values);
}

/* A request in flight counts as earlier than one sent after it. */
static int add_all(struct report *out, struct work *w) {
    for (size_t i = 0; i < w->n_sent; i++) {
        const struct outcome *o = &w->outcomes[w->sent[i]];
        struct possible p = {.segmented = reuse_longest(w->segmented, o),
                             .one_key = reuse_longest(w->one_key, o)};
        p.ideal = p.segmented > o->usage.reused_positions ? p.segmented : o->usage.reused_positions;
        add(&out->shapes[w->trace->turns[w->sent[i]].shape], o, &p);
        add(&out->total, o, &p);
        if (reuse_add(w->segmented, o) != 0 || reuse_add(w->one_key, o) != 0)
            return ERR_NOMEM;
    }
    return 0;
}

/* ---- times; shape TRACE_NONE: all ---- */

static bool counts(const struct work *w, size_t i, uint32_t shape) {
    return shape == TRACE_NONE || w->trace->turns[w->sent[i]].shape == shape;
}

static void measure_first_tokens(struct measure *m, struct work *w, uint32_t shape) {
    size_t n = 0;
    for (size_t i = 0; i < w->n_sent; i++) {
        const struct outcome *o = &w->outcomes[w->sent[i]];
        int64_t first_us = o->first_us > 0 ? o->first_us : o->ended_us;
        if (counts(w, i, shape))
            w->values[n++] = (double)(first_us - o->sent_us) / 1e3;
    }
    qsort(w->values, n, sizeof *w->values, compare);
    m->first_token_median_ms = percentile(w->values, n, 50);
    m->first_token_p90_ms = percentile(w->values, n, 90);
    m->first_token_p99_ms = percentile(w->values, n, 99);
}

static void measure_predictions(struct measure *m, struct work *w, uint32_t shape) {
    size_t n = 0;
    for (size_t i = w->n_sent * MEASURE_WARM_UP / 100; i < w->n_sent; i++) {
        const struct quire_timings *t = &w->outcomes[w->sent[i]].timings;
        double actual = (double)t->first_token_us - (double)t->queue_us; /* from sending */
        double predicted = (double)t->predicted_us;
        if (counts(w, i, shape) && t->predicted_us > 0 && actual > 0)
            w->values[n++] = fabs(predicted - actual) / actual;
    }
    qsort(w->values, n, sizeof *w->values, compare);
    m->predictions = n;
    m->prediction_error = percentile(w->values, n, 50);
}

static void count_errors(struct report *out, const struct trace *t,
                         const struct outcome *outcomes) {
    for (size_t i = 0; i < t->n_turns; i++) {
        const struct outcome *o = &outcomes[i];
        if (o->state == TURN_DONE)
            continue;
        out->shapes[t->turns[i].shape].errors++;
        out->total.errors++;
        if (o->state == TURN_FAILED && out->first_error[0] == '\0')
            (void)snprintf(out->first_error, sizeof out->first_error, "%s: %s",
                           quire_error_name(o->code), o->text);
    }
}

int measure_all(struct report *out, const struct trace *t, const struct outcome *outcomes,
                int64_t wall_us, struct error *e) {
    struct work w;
    memset(out, 0, sizeof *out);
    int rc = open_work(&w, t, outcomes);
    if (rc == 0)
        rc = add_all(out, &w);
    out->n_shapes = t->n_shapes;
    for (uint32_t i = 0; i <= t->n_shapes && rc == 0; i++) {
        struct measure *m = i < t->n_shapes ? &out->shapes[i] : &out->total;
        uint32_t shape = i < t->n_shapes ? i : TRACE_NONE;
        (void)snprintf(m->name, sizeof m->name, "%s", i < t->n_shapes ? t->shapes[i] : "total");
        m->seconds = (double)wall_us / 1e6;
        measure_first_tokens(m, &w, shape);
        measure_predictions(m, &w, shape);
    }
    count_errors(out, t, outcomes);
    close_work(&w);
    return rc == 0 ? 0 : error_set(e, rc, "memory ran out for the measures");
}
