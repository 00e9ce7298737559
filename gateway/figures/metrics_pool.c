/* metrics_pool.c - the broker's own figures, of all clients together, since the broker's start. */
#include "gateway/figures/exposition.h"
#include "gateway/figures/metrics.h"

static const char *const index_states[] = {"off", "ok", "full", "broken", "rebuilding"};
static const char *const policies[] = {"unknown", "earliest", "least-loaded", "round-robin"};

static void requests(const struct quire_stats *s, struct text *t) {
    const struct {
        const char *outcome;
        uint64_t n;
    } rows[] = {{"done", s->done},
                {"failed", s->failed},
                {"cancelled", s->cancelled},
                {"busy", s->busy},
                {"deadline", s->expired}};
    exposition_counter(t, "quire_pool_requests_total", "Requests that reached the broker.",
                       s->requests);
    static const char name[] = "quire_pool_requests_ended_total";
    exposition_head(t, name, "counter", "Requests that ended, by how they ended.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char labels[EXPOSITION_LABELS_BYTES] = "";
        exposition_label(labels, "outcome", rows[i].outcome);
        exposition_count(t, name, labels, rows[i].n);
    }
    exposition_counter(t, "quire_pool_requests_resent_total",
                       "Requests sent to another worker since theirs was lost.", s->resent);
    exposition_counter(t, "quire_pool_requests_resumed_total",
                       "Requests taken up by another worker in the middle of the answer.",
                       s->resumed);
    exposition_counter(t, "quire_pool_bad_messages_total",
                       "Messages to the broker that break its protocol.", s->bad_messages);
    exposition_gauge(t, "quire_pool_requests_queued", "Requests waiting in the broker.", s->queued);
    exposition_gauge(t, "quire_pool_requests_in_flight", "Requests that workers have.",
                     s->in_flight);
    exposition_gauge(t, "quire_pool_queue_limit_requests",
                     "Waiting requests at which the broker says that it is busy.", s->queue_limit);
    exposition_gauge(t, "quire_pool_uptime_seconds", "Time since the broker's start.",
                     (double)s->uptime_ms / 1e3);
}

static void work(const struct quire_stats *s, struct text *t) {
    exposition_counter(t, "quire_pool_prompt_positions_total",
                       "Positions of the prompts of answered requests.", s->prompt_positions);
    exposition_counter(t, "quire_pool_reused_positions_total",
                       "Positions of prompts that were not computed again.", s->reused_positions);
    exposition_counter(t, "quire_pool_computed_positions_total",
                       "Positions of prompts that were computed.",
                       metrics_rest(s->prompt_positions, s->reused_positions));
    exposition_counter(t, "quire_pool_answer_tokens_total", "Tokens of answers.", s->answer_tokens);
    exposition_counter(t, "quire_pool_pictures_total", "Pictures in answered requests.",
                       s->pictures);
    exposition_counter(t, "quire_pool_pictures_encoded_total",
                       "Pictures that a worker had to encode.", s->pictures_encoded);
    exposition_counter(t, "quire_pool_pictures_reused_total",
                       "Pictures whose embeddings or pages a worker had.",
                       metrics_rest(s->pictures, s->pictures_encoded));
    static const char first[] = "quire_pool_first_token_seconds";
    exposition_head(t, first, "summary",
                    "Time from a request's arrival at the broker to its first token.");
    exposition_value(t, "quire_pool_first_token_seconds_sum", "",
                     (double)s->first_token_ms_sum / 1e3);
    exposition_count(t, "quire_pool_first_token_seconds_count", "", s->first_token_count);
}

/* For people without a Prometheus that keeps history; with one, take rates of the counters. */
static void windows(const struct snapshot *s, struct text *t) {
    static const char *const names[] = {"1m", "5m", "15m"};
    static const char name[] = "quire_pool_reused_ratio";
    exposition_head(t, name, "gauge",
                    "Share of the prompts' positions that were reused, over a window; absent when "
                    "there were none.");
    for (size_t i = 0; i < 3; i++) {
        if (s->windows[i].prompt_positions == 0)
            continue;
        char labels[EXPOSITION_LABELS_BYTES] = "";
        exposition_label(labels, "window", names[i]);
        exposition_value(t, name, labels,
                         (double)s->windows[i].reused_positions /
                             (double)s->windows[i].prompt_positions);
    }
}

static void routing(const struct quire_stats *s, struct text *t) {
    char labels[EXPOSITION_LABELS_BYTES] = "";
    exposition_label(labels, "policy",
                     policies[s->policy <= QUIRE_POLICY_ROUND_ROBIN ? s->policy : 0]);
    exposition_head(t, "quire_pool_info", "gauge", "How the broker chooses workers; always 1.");
    exposition_count(t, "quire_pool_info", labels, 1);
    exposition_counter(t, "quire_pool_predictions_total",
                       "Predictions of first tokens that were compared with what came.",
                       s->predictions);
    exposition_gauge(t, "quire_pool_prediction_error_ratio",
                     "How far the last predictions were off, as a share of what came: the median.",
                     s->prediction_error_permille / 1e3);
    exposition_gauge(t, "quire_pool_links", "Segments that the broker knows holders of.",
                     (double)s->links);
}

static void index_on_disk(const struct quire_stats *s, struct text *t) {
    static const char name[] = "quire_pool_index_state";
    exposition_head(t, name, "gauge", "1 at the state that the broker's index on disk is in.");
    exposition_state(t, name, "", index_states, sizeof index_states / sizeof index_states[0],
                     (size_t)s->index_state - QUIRE_INDEX_OFF);
    exposition_gauge(t, "quire_pool_index_links", "Segments in the index.", (double)s->index_links);
    exposition_gauge(t, "quire_pool_index_bytes", "Size of the index.", (double)s->index_bytes);
    exposition_counter(t, "quire_pool_index_skipped_total",
                       "Records not written since the queue to the index's writer was full.",
                       s->index_skipped);
}

void metrics_pool(const struct snapshot *s, struct text *out) {
    requests(&s->stats, out);
    work(&s->stats, out);
    windows(s, out);
    routing(&s->stats, out);
    index_on_disk(&s->stats, out);
}
