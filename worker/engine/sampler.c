/* sampler.c - the chain of filters, and the draw.
 *
 * Candidates stay in the order of their ids all the way: a filter finds the last candidate it keeps
 * (best first, the lower id first among equals) and drops what comes after it. So the draw walks
 * the same order whatever filters ran, and a token's part of [0,1) does not depend on how a
 * selection happened to leave an array. */
#include "worker/engine/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/engine/kernels.h"
#include "worker/engine/philox.h"

struct candidate {
    float logit;
    int32_t id;
};

struct sampler {
    const struct kernels *kernels;
    int32_t n_vocab;
    struct candidate *candidates; /* [n_vocab], by id */
    struct candidate *selection;  /* [n_vocab], any order */
    float *floats;                /* [n_vocab] */
    uint32_t *counts;             /* [n_vocab], all zero between calls */
};

int sampler_open(struct sampler **out, int32_t n_vocab, struct error *e) {
    *out = NULL;
    MUST(n_vocab > 0);
    struct sampler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(e, ERR_NOMEM, "no memory for sampling");
    size_t n = (size_t)n_vocab;
    s->kernels = kernels_chosen();
    s->n_vocab = n_vocab;
    s->candidates = calloc(n, sizeof *s->candidates);
    s->selection = calloc(n, sizeof *s->selection);
    s->floats = calloc(n, sizeof *s->floats);
    s->counts = calloc(n, sizeof *s->counts);
    if (!s->candidates || !s->selection || !s->floats || !s->counts) {
        sampler_close(s);
        return error_set(e, ERR_NOMEM, "no memory for sampling among %d tokens", n_vocab);
    }
    *out = s;
    return 0;
}

void sampler_close(struct sampler *s) {
    if (s == NULL)
        return;
    free(s->candidates);
    free(s->selection);
    free(s->floats);
    free(s->counts);
    free(s);
}

/* ---- raw logits ---- */

/* log(sum(exp(logits))) over the finite ones; -infinity when there are none. */
static double log_total(struct sampler *s, const float *logits) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_vocab; i++)
        if (isfinite(logits[i]))
            s->floats[n++] = logits[i];
    if (n == 0)
        return (double)-INFINITY;
    float top = s->kernels->highest(s->floats, n);
    return (double)top + log((double)s->kernels->exponentials(s->floats, n, top));
}

static float logprob_of(float logit, double total) {
    double p = (double)logit - total;
    if (!isfinite(p) || p < (double)SAMPLER_LOGPROB_LEAST)
        return SAMPLER_LOGPROB_LEAST;
    return p > 0 ? 0 : (float)p;
}

/* Whether a comes before b: a higher logit, or the lower id. */
static bool better(struct candidate a, struct candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

void sampler_top(struct sampler *s, const float *logits, int32_t n,
                 struct sampled_alternative *out) {
    MUST(n >= 0 && n <= SAMPLER_TOP_MAX);
    struct candidate best[SAMPLER_TOP_MAX + 1];
    int32_t have = 0;
    for (int32_t i = 0; i < s->n_vocab && n > 0; i++) {
        struct candidate c = {logits[i], i};
        if (!isfinite(c.logit) || (have == n && !better(c, best[n - 1])))
            continue;
        int32_t at = have < n ? have++ : n - 1;
        for (; at > 0 && better(c, best[at - 1]); at--)
            best[at] = best[at - 1];
        best[at] = c;
    }
    double total = log_total(s, logits);
    for (int32_t i = 0; i < n; i++)
        out[i] = i < have
                     ? (struct sampled_alternative){best[i].id, logprob_of(best[i].logit, total)}
                     : (struct sampled_alternative){-1, SAMPLER_LOGPROB_LEAST};
}

/* ---- penalties ---- */

static float penalised(const struct sampler_options *o, float logit, uint32_t count) {
    if (count == 0)
        return logit;
    logit = logit > 0 ? logit / o->repeat_penalty : logit * o->repeat_penalty;
    return logit - (float)count * o->frequency_penalty - o->presence_penalty;
}

/* Adds `step` (1 or -1) to the counts of the tokens that penalties look at. */
static void count_history(struct sampler *s, const struct sampler_options *o,
                          const int32_t *history, int32_t n, uint32_t step) {
    int32_t from = o->repeat_last_n < 0 || o->repeat_last_n > n ? 0 : n - o->repeat_last_n;
    for (int32_t i = from; i < n; i++)
        if (history[i] >= 0 && history[i] < s->n_vocab)
            s->counts[history[i]] += step;
}

static bool is_allowed(const struct sampler_options *o, int32_t id) {
    return o->allowed == NULL || (o->allowed[id / 64] >> (id % 64) & 1) != 0;
}

/* The finite logits of allowed tokens after penalties, by id; returns how many. */
static int32_t gather(struct sampler *s, const struct sampler_options *o, const float *logits,
                      const int32_t *history, int32_t n_history) {
    bool penalties =
        o->repeat_penalty != 1 || o->presence_penalty != 0 || o->frequency_penalty != 0;
    if (penalties)
        count_history(s, o, history, n_history, 1);
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_vocab; i++) {
        float logit = penalties ? penalised(o, logits[i], s->counts[i]) : logits[i];
        if (isfinite(logit) && is_allowed(o, i))
            s->candidates[n++] = (struct candidate){logit, i};
    }
    if (penalties)
        count_history(s, o, history, n_history, UINT32_MAX); /* back to zero */
    return n;
}

/* ---- filters: each gets n candidates and returns how many it leaves ---- */

static struct candidate best_of(const struct candidate *c, int32_t n) {
    struct candidate best = c[0];
    for (int32_t i = 1; i < n; i++)
        if (better(c[i], best))
            best = c[i];
    return best;
}

static int32_t keep_until(struct sampler *s, int32_t n, struct candidate last) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (!better(last, s->candidates[i]))
            s->candidates[kept++] = s->candidates[i];
    return kept;
}

static void swap(struct candidate *a, struct candidate *b) {
    struct candidate t = *a;
    *a = *b;
    *b = t;
}

static struct candidate middle_of(struct candidate a, struct candidate b, struct candidate c) {
    if (better(b, a))
        swap(&a, &b);
    if (better(c, b))
        b = better(c, a) ? a : c;
    return b;
}

/* The one that k others come before. Quickselect: the parts shrink geometrically on average; no two
 * candidates are equal, so scanning needs no care for runs of them. */
static struct candidate select_place(struct candidate *c, int32_t n, int32_t k) {
    int32_t lo = 0, hi = n - 1;
    while (lo < hi) {
        struct candidate pivot = middle_of(c[lo], c[lo + (hi - lo) / 2], c[hi]);
        int32_t i = lo, j = hi;
        while (i <= j) {
            while (better(c[i], pivot))
                i++;
            while (better(pivot, c[j]))
                j--;
            if (i <= j)
                swap(&c[i++], &c[j--]);
        }
        if (k <= j)
            hi = j;
        else if (k >= i)
            lo = i;
        else
            break;
    }
    return c[k];
}

static int32_t top_k(struct sampler *s, int32_t n, int32_t k) {
    if (k <= 0 || k >= n)
        return n;
    memcpy(s->selection, s->candidates, (size_t)n * sizeof *s->selection);
    return keep_until(s, n, select_place(s->selection, n, k - 1));
}

/* Lets heap[at] sink to where no child is better. */
static void sink(struct candidate *heap, int32_t n, int32_t at) {
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= n)
            return;
        if (child + 1 < n && better(heap[child + 1], heap[child]))
            child++;
        if (!better(heap[child], heap[at]))
            return;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

/* Best first until their probabilities reach p: a heap, since mostly few are needed. */
static int32_t top_p(struct sampler *s, int32_t n, float p) {
    if (!(p < 1))
        return n;
    for (int32_t i = 0; i < n; i++)
        s->floats[i] = s->candidates[i].logit;
    float top = s->kernels->highest(s->floats, n);
    double total = (double)s->kernels->exponentials(s->floats, n, top);
    struct candidate *heap = s->selection;
    memcpy(heap, s->candidates, (size_t)n * sizeof *heap);
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sink(heap, n, i);
    struct candidate last = heap[0];
    double sum = 0;
    for (int32_t left = n; left > 0; left--) {
        last = heap[0];
        sum += exp((double)last.logit - (double)top);
        if (sum >= (double)p * total)
            break;
        heap[0] = heap[left - 1];
        sink(heap, left - 1, 0);
    }
    return keep_until(s, n, last);
}

static int32_t min_p(struct sampler *s, int32_t n, float p) {
    if (!(p > 0))
        return n;
    double least = (double)best_of(s->candidates, n).logit + log(p < 1 ? (double)p : 1.0);
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if ((double)s->candidates[i].logit >= least)
            s->candidates[kept++] = s->candidates[i];
    return kept;
}

/* ---- the draw ---- */

double sampler_uniform(uint64_t seed, uint32_t index) {
    const uint32_t counter[4] = {index, 0, 0, 0};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t bits[4];
    philox4x32_10(counter, key, bits);
    return (double)(((uint64_t)bits[0] << 32 | bits[1]) >> 11) * 0x1p-53;
}

static int32_t draw(struct sampler *s, int32_t n, float temperature, double uniform) {
    float top = best_of(s->candidates, n).logit;
    for (int32_t i = 0; i < n; i++)
        s->floats[i] = (s->candidates[i].logit - top) / temperature;
    s->kernels->exponentials(s->floats, n, 0);
    double total = 0;
    for (int32_t i = 0; i < n; i++)
        total += (double)s->floats[i];
    double aim = uniform * total, sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += (double)s->floats[i];
        if (sum > aim)
            return s->candidates[i].id;
    }
    return s->candidates[n - 1].id; /* unreachable but for rounding */
}

static int32_t first_allowed(const struct sampler *s, const struct sampler_options *o) {
    for (int32_t i = 0; i < s->n_vocab; i++)
        if (is_allowed(o, i))
            return i;
    return 0;
}

struct sampled sampler_draw(struct sampler *s, const struct sampler_options *o, const float *logits,
                            const int32_t *history, int32_t n_history, uint32_t index) {
    int32_t n = gather(s, o, logits, history, n_history);
    struct sampled out = {.id = n > 0 ? 0 : first_allowed(s, o)};
    if (n > 0 && !(o->temperature > 0)) {
        out.id = best_of(s->candidates, n).id;
    } else if (n > 0) {
        n = top_k(s, n, o->top_k);
        n = top_p(s, n, o->top_p);
        n = min_p(s, n, o->min_p);
        out.id = draw(s, n, o->temperature, sampler_uniform(o->seed, index));
    }
    out.logprob = logprob_of(logits[out.id], log_total(s, logits));
    return out;
}
