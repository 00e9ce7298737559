/* pool_view.c - a snapshot as JSON; gateway/API.md describes the fields. */
#include "gateway/views/pool_view.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/views/names.h"

struct field {
    const char *name;
    uint64_t value;
};

static void put_numbers(json_t *object, const struct field *fields, size_t n) {
    for (size_t i = 0; i < n; i++)
        (void)json_object_set_new(object, fields[i].name,
                                  json_integer((json_int_t)fields[i].value));
}
#define PUT(object, fields) put_numbers(object, fields, sizeof(fields) / sizeof(fields)[0])

static void put_text(json_t *object, const char *name, const char *text) {
    (void)json_object_set_new(object, name, json_string(text));
}

static json_t *index_json(const struct quire_stats *s) {
    const struct field fields[] = {
        {"links", s->index_links}, {"bytes", s->index_bytes}, {"skipped", s->index_skipped}};
    json_t *index = json_object();
    put_text(index, "state", name_index_state(s->index_state));
    put_text(index, "text", s->index_text);
    PUT(index, fields);
    return index;
}

static json_t *stats_json(const struct quire_stats *s) {
    const struct field fields[] = {
        {"uptime_ms", s->uptime_ms},
        {"queued", s->queued},
        {"in_flight", s->in_flight},
        {"queue_limit", s->queue_limit},
        {"requests", s->requests},
        {"done", s->done},
        {"failed", s->failed},
        {"cancelled", s->cancelled},
        {"busy", s->busy},
        {"expired", s->expired},
        {"resent", s->resent},
        {"resumed", s->resumed},
        {"prompt_positions", s->prompt_positions},
        {"reused_positions", s->reused_positions},
        {"answer_tokens", s->answer_tokens},
        {"pictures", s->pictures},
        {"pictures_encoded", s->pictures_encoded},
        {"links", s->links},
        {"predictions", s->predictions},
    };
    json_t *stats = json_object();
    PUT(stats, fields);
    uint64_t n = s->first_token_count;
    double first_ms = n > 0 ? (double)s->first_token_ms_sum / (double)n : 0;
    (void)json_object_set_new(stats, "first_token_ms", json_real(first_ms));
    put_text(stats, "policy", name_policy(s->policy));
    (void)json_object_set_new(stats, "prediction_error",
                              json_real(s->prediction_error_permille / 1e3));
    (void)json_object_set_new(stats, "index", index_json(s));
    return stats;
}

static json_t *worker_json(const struct quire_worker *w) {
    const struct field fields[] = {
        {"pid", w->pid},
        {"credits", w->credits},
        {"in_flight", w->in_flight},
        {"silent_ms", w->silent_ms},
        {"active", w->active},
        {"waiting", w->waiting},
        {"pages_total", w->pages_total},
        {"pages_free", w->pages_free},
        {"context", w->context},
        {"prefill_us_per_position", w->prefill_us_per_position},
        {"decode_us_per_token", w->decode_us_per_token},
        {"tile_us", w->tile_us},
        {"step_us", w->step_us},
        {"tokens_total", w->tokens_total},
        {"positions_total", w->positions_total},
        {"rss_bytes", w->rss_bytes},
        {"done", w->done},
        {"failed", w->failed},
        {"pages_evicted", w->pages_evicted},
        {"feature_bytes", w->feature_bytes},
    };
    /* As text, since JavaScript's numbers have 53 bits. */
    char incarnation[17];
    (void)snprintf(incarnation, sizeof incarnation, "%016" PRIx64, w->incarnation);
    json_t *worker = json_object();
    put_text(worker, "name", w->name);
    put_text(worker, "model", w->model);
    put_text(worker, "state", name_worker_state(w->state));
    put_text(worker, "incarnation", incarnation);
    PUT(worker, fields);
    put_text(worker, "template", w->chat_template);
    put_text(worker, "tools", w->tools);
    return worker;
}

static json_t *request_json(const struct quire_request_info *r) {
    const struct field fields[] = {{"age_ms", r->age_ms},
                                   {"attempt", r->attempt},
                                   {"tokens", r->tokens},
                                   {"pictures", r->pictures}};
    char id[2 * QUIRE_ID_BYTES + 1];
    name_hex(r->id, QUIRE_ID_BYTES, id);
    json_t *request = json_object();
    put_text(request, "id", id);
    put_text(request, "state", name_request_state(r->state));
    PUT(request, fields);
    put_text(request, "worker", r->worker);
    return request;
}

static json_t *windows_json(const struct snapshot *s) {
    static const uint64_t minutes[] = {1, 5, 15};
    json_t *array = json_array();
    for (size_t i = 0; i < 3; i++) {
        const struct window *w = &s->windows[i];
        const struct field fields[] = {
            {"minutes", minutes[i]},
            {"requests", w->requests},
            {"prompt_positions", w->prompt_positions},
            {"reused_positions", w->reused_positions},
            {"pictures", w->pictures},
            {"pictures_encoded", w->pictures_encoded},
        };
        json_t *window = json_object();
        PUT(window, fields);
        (void)json_array_append_new(array, window);
    }
    return array;
}

json_t *pool_view(const struct snapshot *s, json_t *percentiles, const struct pool_counts *p,
                  const struct figures_http *h, bool requests, int64_t now_s) {
    json_t *workers = json_array(), *flights = json_array(), *gateway = json_object();
    for (size_t i = 0; i < s->n_workers; i++)
        (void)json_array_append_new(workers, worker_json(&s->workers[i]));
    for (size_t i = 0; requests && i < s->n_requests; i++)
        (void)json_array_append_new(flights, request_json(&s->requests[i]));
    const struct field fields[] = {{"in_flight", p->in_flight},
                                   {"streams", h->streams},
                                   {"connections", h->connections},
                                   {"sent_again", p->sent_again}};
    PUT(gateway, fields);
    return json_pack("{sb ss sI so so so so so so}", "connected", (int)s->connected, "trouble",
                     s->trouble, "time", (json_int_t)now_s, "stats", stats_json(&s->stats),
                     "workers", workers, "requests", flights, "windows", windows_json(s),
                     "percentiles", percentiles, "gateway", gateway);
}
