/* metrics_gateway.c - what this gateway served since it started. */
#include "common/clock.h"
#include "gateway/figures/exposition.h"
#include "gateway/figures/metrics.h"

/* Every dialect has its "done" from the start, so that a rate begins at 0; other outcomes appear
 * when they happen. */
static void requests(const struct figures *f, struct text *t) {
    static const char name[] = "quire_gateway_requests_total";
    exposition_head(t, name, "counter",
                    "Requests to the APIs that ended, by dialect and by how they ended.");
    for (size_t d = 0; d < STORE_DIALECTS; d++)
        for (size_t o = 0; o < STORE_OUTCOMES; o++) {
            const char *outcome = store_outcome(o);
            if (outcome == NULL || (o > 0 && f->requests[d][o] == 0))
                continue;
            char labels[EXPOSITION_LABELS_BYTES] = "";
            exposition_label(labels, "dialect", store_dialects[d]);
            exposition_label(labels, "outcome", outcome);
            exposition_count(t, name, labels, f->requests[d][o]);
        }
}

static void work(const struct figures *f, struct text *t) {
    exposition_counter(t, "quire_gateway_prompt_positions_total",
                       "Positions of the prompts of answered requests.", f->prompt_positions);
    exposition_counter(t, "quire_gateway_reused_positions_total",
                       "Positions of prompts that were not computed again.", f->reused_positions);
    exposition_counter(t, "quire_gateway_computed_positions_total",
                       "Positions of prompts that were computed.",
                       metrics_rest(f->prompt_positions, f->reused_positions));
    exposition_counter(t, "quire_gateway_answer_tokens_total", "Tokens of answers.",
                       f->answer_tokens);
    exposition_counter(t, "quire_gateway_pictures_total", "Pictures in answered requests.",
                       f->pictures);
    exposition_counter(t, "quire_gateway_pictures_encoded_total",
                       "Pictures that a worker had to encode.", f->pictures_encoded);
    exposition_counter(t, "quire_gateway_pictures_reused_total",
                       "Pictures whose embeddings or pages a worker had.",
                       metrics_rest(f->pictures, f->pictures_encoded));
}

static void times(const struct figures *f, struct text *t) {
    exposition_histogram(t, "quire_gateway_queue_seconds",
                         "Time that answered requests waited in the broker and in the worker "
                         "before work on them began.",
                         &f->queue);
    exposition_histogram(t, "quire_gateway_first_token_seconds",
                         "Time from the arrival of an HTTP request to its first token.",
                         &f->first_token);
    exposition_histogram(t, "quire_gateway_token_seconds",
                         "Time between tokens, the mean of each answered request.", &f->per_token);
    exposition_histogram(t, "quire_gateway_request_seconds",
                         "Time from the arrival of an HTTP request to the end of its answer.",
                         &f->total);
    exposition_histogram(t, "quire_gateway_prediction_error_ratio",
                         "How far the predicted time to the first token was off, as a share of "
                         "what it was.",
                         &f->prediction_error);
}

static void broker_side(const struct pool_counts *p, struct text *t) {
    exposition_counter(t, "quire_gateway_sent_again_total",
                       "Requests that the gateway sent to the broker once more.", p->sent_again);
    exposition_gauge(t, "quire_gateway_requests_in_flight",
                     "Requests of this gateway at the broker.", p->in_flight);
    exposition_gauge(t, "quire_gateway_broker_connections", "Connections to the broker.",
                     p->connections);
    exposition_gauge(t, "quire_gateway_broker_connections_up",
                     "Connections to the broker that it answered.", p->connected);
}

static void http_side(const struct figures_http *h, struct text *t) {
    exposition_counter(t, "quire_gateway_http_connections_total", "HTTP connections accepted.",
                       h->connections_total);
    exposition_counter(t, "quire_gateway_http_requests_total",
                       "HTTP requests of all kinds, pages and health checks too.",
                       h->requests_total);
    exposition_counter(t, "quire_gateway_http_sent_bytes_total", "Bytes of answers that were sent.",
                       h->bytes_sent);
    exposition_counter(t, "quire_gateway_http_bad_requests_total",
                       "HTTP requests that were refused as malformed or too large.",
                       h->bad_requests);
    exposition_counter(t, "quire_gateway_slow_readers_cut_total",
                       "Connections that were cut off since their reader was too slow.",
                       h->slow_readers_cut);
    exposition_gauge(t, "quire_gateway_http_connections", "HTTP connections that are open.",
                     h->connections);
    exposition_gauge(t, "quire_gateway_http_streams", "Streamed answers under way.", h->streams);
    exposition_gauge(t, "quire_gateway_http_body_bytes", "Memory that request bodies take.",
                     (double)h->body_bytes);
}

void metrics_gateway(const struct figures *f, const struct pool_counts *p,
                     const struct figures_http *h, struct text *out) {
    char labels[EXPOSITION_LABELS_BYTES] = "";
    exposition_label(labels, "version", QUIRE_VERSION);
    exposition_head(out, "quire_gateway_build_info", "gauge", "The program; always 1.");
    exposition_count(out, "quire_gateway_build_info", labels, 1);
    exposition_gauge(out, "process_start_time_seconds",
                     "Start time of the process since unix epoch in seconds.", (double)f->opened_s);
    requests(f, out);
    work(f, out);
    times(f, out);
    broker_side(p, out);
    http_side(h, out);
}

void figures_metrics(struct figures *f, const struct snapshot *s, const struct pool_counts *p,
                     const struct figures_http *h, struct text *out) {
    metrics_gateway(f, p, h, out);
    exposition_gauge(out, "quire_pool_broker_up", "1 when the broker answered the last time.",
                     s->connected);
    if (s->taken_ms > 0)
        exposition_gauge(out, "quire_gateway_snapshot_age_seconds",
                         "Age of what is told about the pool.",
                         (double)(clock_ms() - s->taken_ms) / 1e3);
    /* Old figures of a pool that is away would look like a pool that stands still. */
    if (s->connected) {
        metrics_pool(s, out);
        metrics_workers(f, s, out);
    }
    metrics_process(out);
}
