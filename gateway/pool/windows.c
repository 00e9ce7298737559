/* windows.c - a ring of sums, one a second.
 *
 * A broker that is started again counts from 0. It shows by its start having moved, or by a counter
 * that fell; then all it says is new. */
#include "gateway/pool/windows.h"

#define START_SLACK_MS 2000 /* a start seen through a reply that took its time */
#define MINUTE_MS INT64_C(60000)

static const int64_t window_ms[WINDOWS] = {MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS};

static struct window counters(const struct quire_stats *s) {
    return (struct window){.prompt_positions = s->prompt_positions,
                           .reused_positions = s->reused_positions,
                           .pictures = s->pictures,
                           .pictures_encoded = s->pictures_encoded,
                           .requests = s->requests};
}

static bool fell(const struct window *now, const struct window *last) {
    return now->prompt_positions < last->prompt_positions ||
           now->reused_positions < last->reused_positions || now->pictures < last->pictures ||
           now->pictures_encoded < last->pictures_encoded || now->requests < last->requests;
}

static struct window minus(const struct window *a, const struct window *b) {
    return (struct window){.prompt_positions = a->prompt_positions - b->prompt_positions,
                           .reused_positions = a->reused_positions - b->reused_positions,
                           .pictures = a->pictures - b->pictures,
                           .pictures_encoded = a->pictures_encoded - b->pictures_encoded,
                           .requests = a->requests - b->requests};
}

static struct window plus(const struct window *a, const struct window *b) {
    return (struct window){.prompt_positions = a->prompt_positions + b->prompt_positions,
                           .reused_positions = a->reused_positions + b->reused_positions,
                           .pictures = a->pictures + b->pictures,
                           .pictures_encoded = a->pictures_encoded + b->pictures_encoded,
                           .requests = a->requests + b->requests};
}

/* The i-th sample counted from the newest, which is 0. */
static const struct windows_sample *back(const struct windows *w, size_t i) {
    return &w->samples[(w->next + WINDOWS_SAMPLES - 1 - i) % WINDOWS_SAMPLES];
}

static struct window since_last(const struct windows *w, const struct window *now,
                                int64_t started_ms) {
    if (!w->begun)
        return (struct window){0};
    if (started_ms > w->started_ms + START_SLACK_MS || fell(now, &w->last))
        return *now;
    return minus(now, &w->last);
}

void windows_add(struct windows *w, const struct quire_stats *stats, int64_t now_ms) {
    struct window now = counters(stats);
    int64_t started_ms = now_ms - (int64_t)stats->uptime_ms;
    struct window more = since_last(w, &now, started_ms);
    struct window sum = w->count > 0 ? plus(&back(w, 0)->sum, &more) : more;
    w->last = now;
    w->started_ms = started_ms;
    w->begun = true;
    /* The first sample of all stays as it is: windows count from it. */
    if (w->count > 1 && now_ms - back(w, 1)->at_ms < WINDOWS_SAMPLE_MS)
        w->next = (w->next + WINDOWS_SAMPLES - 1) % WINDOWS_SAMPLES;
    else if (w->count < WINDOWS_SAMPLES)
        w->count++;
    w->samples[w->next] = (struct windows_sample){now_ms, sum};
    w->next = (w->next + 1) % WINDOWS_SAMPLES;
}

/* The newest sample of that time or before it; the oldest if there is none. */
static const struct windows_sample *sample_at(const struct windows *w, int64_t when_ms) {
    size_t low = 0, high = w->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (back(w, middle)->at_ms <= when_ms)
            high = middle;
        else
            low = middle + 1;
    }
    return back(w, low);
}

void windows_get(const struct windows *w, int64_t now_ms, struct window out[WINDOWS]) {
    for (int i = 0; i < WINDOWS; i++) {
        out[i] = (struct window){0};
        if (w->count > 0)
            out[i] = minus(&back(w, 0)->sum, &sample_at(w, now_ms - window_ms[i])->sum);
    }
}
