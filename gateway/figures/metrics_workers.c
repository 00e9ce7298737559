/* metrics_workers.c - a table of what is told of each worker, and a loop. The only label that grows
 * with the pool is the worker's name; there are OBSERVER_WORKERS of them at most. */
#include <stdlib.h>
#include <string.h>

#include "gateway/figures/exposition.h"
#include "gateway/figures/metrics.h"

#define GETTER(name, value)                                                                        \
    static double name(const struct quire_worker *w) {                                             \
        return (value);                                                                            \
    }

GETTER(credits, w->credits)
GETTER(in_flight, w->in_flight)
GETTER(active, w->active)
GETTER(waiting, w->waiting)
GETTER(silent, w->silent_ms / 1e3)
GETTER(pages_total, w->pages_total)
GETTER(pages_free, w->pages_free)
GETTER(evicted, (double)w->pages_evicted)
GETTER(features, (double)w->feature_bytes)
GETTER(resident, (double)w->rss_bytes)
GETTER(context, w->context)
GETTER(prefill, w->prefill_us_per_position / 1e6)
GETTER(decode, w->decode_us_per_token / 1e6)
GETTER(tile, w->tile_us / 1e6)
GETTER(step, w->step_us / 1e6)
GETTER(tokens, (double)w->tokens_total)
GETTER(positions, (double)w->positions_total)
GETTER(done, (double)w->done)
GETTER(failed, (double)w->failed)

static const struct row {
    const char *name, *type, *help;
    double (*get)(const struct quire_worker *w);
} rows[] = {
    {"quire_pool_worker_credits", "gauge", "Requests that the worker takes at a time.", credits},
    {"quire_pool_worker_requests_in_flight", "gauge", "Requests that the worker has.", in_flight},
    {"quire_pool_worker_requests_active", "gauge", "Requests that the worker computes.", active},
    {"quire_pool_worker_requests_waiting", "gauge", "Requests that wait inside the worker.",
     waiting},
    {"quire_pool_worker_silent_seconds", "gauge", "Time since the worker's last message.", silent},
    {"quire_pool_worker_pages", "gauge", "Pages for keys and values.", pages_total},
    {"quire_pool_worker_pages_free", "gauge", "Pages that hold nothing.", pages_free},
    {"quire_pool_worker_pages_evicted_total", "counter",
     "Pages given up to make room; from 0 again when the worker starts.", evicted},
    {"quire_pool_worker_feature_bytes", "gauge", "Embeddings of pictures that the worker keeps.",
     features},
    {"quire_pool_worker_resident_bytes", "gauge",
     "Memory of the worker, with its share of mapped weights.", resident},
    {"quire_pool_worker_context_positions", "gauge", "The longest prompt with its answer.",
     context},
    {"quire_pool_worker_prefill_position_seconds", "gauge",
     "Time that a position of a prompt takes, of late; 0: not measured yet.", prefill},
    {"quire_pool_worker_decode_token_seconds", "gauge",
     "Time that a token takes, of late; 0: not measured yet.", decode},
    {"quire_pool_worker_tile_seconds", "gauge",
     "Time that a tile of a picture takes, of late; 0: not measured yet.", tile},
    {"quire_pool_worker_step_seconds", "gauge", "Time that a step takes, of late.", step},
    {"quire_pool_worker_tokens_total", "counter",
     "Tokens that the worker made; from 0 again when it starts.", tokens},
    {"quire_pool_worker_positions_total", "counter",
     "Positions that the worker computed; from 0 again when it starts.", positions},
    {"quire_pool_worker_done_total", "counter",
     "Requests that the worker answered; from 0 again when it starts.", done},
    {"quire_pool_worker_failed_total", "counter",
     "Requests that failed in the worker; from 0 again when it starts.", failed},
};

/* Two series of one name would spoil the whole page. */
static bool is_first(const struct snapshot *s, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(s->workers[k].name, s->workers[i].name) == 0)
            return false;
    return true;
}

struct named { /* workers that are told of, with their label */
    const struct quire_worker *worker;
    char labels[EXPOSITION_LABELS_BYTES];
};

static void states(const struct named *named, size_t n, struct text *t) {
    static const char *const names[] = {"up", "draining", "drained"};
    exposition_head(t, "quire_pool_worker_state", "gauge", "1 at the state that the worker is in.");
    for (size_t i = 0; i < n; i++)
        exposition_state(t, "quire_pool_worker_state", named[i].labels, names, 3,
                         (size_t)named[i].worker->state - QUIRE_WORKER_UP);
    size_t counts[3] = {0};
    for (size_t i = 0; i < n; i++)
        if (named[i].worker->state >= QUIRE_WORKER_UP &&
            named[i].worker->state <= QUIRE_WORKER_DRAINED)
            counts[named[i].worker->state - QUIRE_WORKER_UP]++;
    exposition_head(t, "quire_pool_workers", "gauge", "Workers in each state.");
    for (size_t i = 0; i < 3; i++) {
        char labels[EXPOSITION_LABELS_BYTES] = "";
        exposition_label(labels, "state", names[i]);
        exposition_count(t, "quire_pool_workers", labels, counts[i]);
    }
}

static void models(const struct named *named, size_t n, struct text *t) {
    exposition_head(t, "quire_pool_worker_info", "gauge", "The worker's model; always 1.");
    for (size_t i = 0; i < n; i++) {
        char labels[EXPOSITION_LABELS_BYTES];
        memcpy(labels, named[i].labels, sizeof labels);
        exposition_label(labels, "model", named[i].worker->model);
        exposition_count(t, "quire_pool_worker_info", labels, 1);
    }
}

static void restarts(const struct figures *f, const struct named *named, size_t n, struct text *t) {
    exposition_head(t, "quire_pool_worker_restarts_total", "counter",
                    "How often this gateway saw the worker come back as another process.");
    for (size_t i = 0; i < n; i++)
        exposition_count(t, "quire_pool_worker_restarts_total", named[i].labels,
                         store_restarts(f, named[i].worker->name));
}

void metrics_workers(const struct figures *f, const struct snapshot *s, struct text *out) {
    struct named *named = calloc(s->n_workers + 1, sizeof *named);
    if (named == NULL) {
        out->failed = true;
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++)
        if (is_first(s, i)) {
            named[n].worker = &s->workers[i];
            exposition_label(named[n].labels, "worker", s->workers[i].name);
            n++;
        }
    states(named, n, out);
    models(named, n, out);
    restarts(f, named, n, out);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        exposition_head(out, rows[r].name, rows[r].type, rows[r].help);
        for (size_t i = 0; i < n; i++)
            exposition_value(out, rows[r].name, named[i].labels, rows[r].get(named[i].worker));
    }
    free(named);
}
