/* views.c - what the broker tells operators, as tables or JSON. */
#include "client/cli/views.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli.h"

static const char *const worker_states[] = {"?", "up", "draining", "drained"};
static const char *const request_states[] = {"?", "queued", "sent", "streaming"};

static const char *const policies[] = {"?", "earliest", "least-loaded", "round-robin"};
static const char *const index_states[] = {"?", "off", "ok", "full", "broken", "rebuilding"};

const char *view_policy(enum quire_policy policy) {
    return policies[policy <= QUIRE_POLICY_ROUND_ROBIN ? policy : 0];
}

const char *view_index_state(enum quire_index_state state) {
    return index_states[state <= QUIRE_INDEX_REBUILDING ? state : 0];
}

void view_id(const uint8_t id[QUIRE_ID_BYTES], char out[VIEW_ID_BYTES]) {
    for (size_t i = 0; i < QUIRE_ID_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static double per_second(uint32_t microseconds) {
    return microseconds > 0 ? 1e6 / microseconds : 0;
}

static void print_workers(struct quire_worker *w, size_t n) {
    printf("%-20s %-9s %-24s %5s %9s %11s %9s %9s %8s %7s\n", "WORKER", "STATE", "MODEL", "BUSY",
           "PAGES", "PREFILL/S", "DECODE/S", "TILE MS", "MEMORY", "DONE");
    for (size_t i = 0; i < n; i++) {
        char busy[24], pages[32], memory[24];
        cli_make_plain(w[i].name);
        cli_make_plain(w[i].model);
        (void)snprintf(busy, sizeof busy, "%" PRIu32 "/%" PRIu32, w[i].in_flight, w[i].credits);
        (void)snprintf(pages, sizeof pages, "%" PRIu32 "/%" PRIu32,
                       w[i].pages_total - w[i].pages_free, w[i].pages_total);
        (void)snprintf(memory, sizeof memory, "%.0f MB", (double)w[i].rss_bytes / 1e6);
        printf("%-20s %-9s %-24.24s %5s %9s %11.0f %9.1f %9.1f %8s %7" PRIu64 "\n", w[i].name,
               worker_states[w[i].state], w[i].model, busy, pages,
               per_second(w[i].prefill_us_per_position), per_second(w[i].decode_us_per_token),
               (double)w[i].tile_us / 1e3, memory, w[i].done);
    }
    if (n == 0)
        printf("no workers\n");
}

static void dump(json_t *root) {
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

struct stat_row {
    const char *name, *label; /* in JSON, and for people */
    uint64_t value;
};

static json_t *worker_json(const struct quire_worker *w) {
    const struct stat_row rows[] = {
        {"pid", NULL, w->pid},
        {"credits", NULL, w->credits},
        {"in_flight", NULL, w->in_flight},
        {"silent_ms", NULL, w->silent_ms},
        {"active", NULL, w->active},
        {"waiting", NULL, w->waiting},
        {"pages_total", NULL, w->pages_total},
        {"pages_free", NULL, w->pages_free},
        {"pages_evicted", NULL, w->pages_evicted},
        {"feature_bytes", NULL, w->feature_bytes},
        {"context", NULL, w->context},
        {"prefill_us_per_position", NULL, w->prefill_us_per_position},
        {"decode_us_per_token", NULL, w->decode_us_per_token},
        {"tile_us", NULL, w->tile_us},
        {"step_us", NULL, w->step_us},
        {"tokens_total", NULL, w->tokens_total},
        {"positions_total", NULL, w->positions_total},
        {"rss_bytes", NULL, w->rss_bytes},
        {"done", NULL, w->done},
        {"failed", NULL, w->failed},
    };
    json_t *out =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "name", w->name, "state", worker_states[w->state],
                  "model", w->model, "template", w->chat_template, "tools", w->tools, "incarnation",
                  json_sprintf("%016" PRIx64, w->incarnation));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_object_set_new(out, rows[i].name, json_integer((json_int_t)rows[i].value));
    return out;
}

int view_workers(struct quire_client *client, bool json, struct quire_error *qe) {
    struct quire_worker *workers;
    size_t n;
    int r = quire_workers(client, VIEW_QUERY_MS, &workers, &n, qe);
    if (r < 0)
        return r;
    if (json) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, worker_json(&workers[i]));
        dump(json_pack("{s:o}", "workers", list));
    } else {
        print_workers(workers, n);
    }
    free(workers);
    return 0;
}

/* What is no number: the policy, and how the index is. */
static void finish_stats(json_t *root, struct quire_stats *s, bool json) {
    cli_make_plain(s->index_text);
    if (json) {
        json_object_set_new(root, "policy", json_string(view_policy(s->policy)));
        json_object_set_new(root, "index_state", json_string(view_index_state(s->index_state)));
        json_object_set_new(root, "index_text", json_string(s->index_text));
        dump(root);
        return;
    }
    json_decref(root);
    printf("%-32s %12s\n%-32s %12s\n", "policy", view_policy(s->policy), "index",
           view_index_state(s->index_state));
    if (s->index_text[0] != '\0')
        printf("%s\n", s->index_text);
}

int view_stats(struct quire_client *client, bool json, struct quire_error *qe) {
    struct quire_stats s;
    int r = quire_stats(client, VIEW_QUERY_MS, &s, qe);
    if (r < 0)
        return r;
    const struct stat_row rows[] = {
        {"uptime_ms", "broker up, ms", s.uptime_ms},
        {"workers", "workers", s.workers},
        {"queued", "requests queued now", s.queued},
        {"in_flight", "requests in flight now", s.in_flight},
        {"queue_limit", "queue limit", s.queue_limit},
        {"requests", "requests", s.requests},
        {"done", "  answered", s.done},
        {"failed", "  failed", s.failed},
        {"cancelled", "  cancelled", s.cancelled},
        {"busy", "  refused as busy", s.busy},
        {"expired", "  past their deadline", s.expired},
        {"resent", "sent again after a lost worker", s.resent},
        {"resumed", "  taken up in mid-answer", s.resumed},
        {"prompt_positions", "prompt positions", s.prompt_positions},
        {"reused_positions", "  of them reused", s.reused_positions},
        {"reused_percent", "  the same in percent",
         s.prompt_positions ? 100 * s.reused_positions / s.prompt_positions : 0},
        {"answer_tokens", "answer tokens", s.answer_tokens},
        {"pictures", "pictures", s.pictures},
        {"pictures_encoded", "  of them encoded", s.pictures_encoded},
        {"bad_messages", "bad messages", s.bad_messages},
        {"first_token_ms_mean", "mean time to first token, ms",
         s.first_token_count ? s.first_token_ms_sum / s.first_token_count : 0},
        {"predictions", "first tokens predicted", s.predictions},
        {"prediction_error_permille", "  median error, permille", s.prediction_error_permille},
        {"links", "segments the broker knows of", s.links},
        {"index_links", "  of them in the index", s.index_links},
        {"index_bytes", "  bytes of the index", s.index_bytes},
        {"index_skipped", "  not written, the queue was full", s.index_skipped},
    };
    json_t *root = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (json)
            json_object_set_new(root, rows[i].name, json_integer((json_int_t)rows[i].value));
        else
            printf("%-32s %12" PRIu64 "\n", rows[i].label, rows[i].value);
    }
    finish_stats(root, &s, json);
    return 0;
}

static json_t *request_json(const struct quire_request_info *q) {
    char id[VIEW_ID_BYTES];
    view_id(q->id, id);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:s}", "id", id, "state", request_states[q->state],
                     "age_ms", (json_int_t)q->age_ms, "pictures", (json_int_t)q->pictures, "tokens",
                     (json_int_t)q->tokens, "attempt", (json_int_t)q->attempt, "worker", q->worker);
}

static void print_requests(struct quire_request_info *q, size_t n) {
    char id[VIEW_ID_BYTES];
    printf("%-32s %-9s %8s %8s %7s %8s %s\n", "REQUEST", "STATE", "AGE S", "PICTURES", "TOKENS",
           "ATTEMPT", "WORKER");
    for (size_t i = 0; i < n; i++) {
        view_id(q[i].id, id);
        cli_make_plain(q[i].worker);
        printf("%-32s %-9s %8.1f %8" PRIu32 " %7" PRIu32 " %8" PRIu32 " %s\n", id,
               request_states[q[i].state], q[i].age_ms / 1e3, q[i].pictures, q[i].tokens,
               q[i].attempt, q[i].worker);
    }
    if (n == 0)
        printf("no requests\n");
}

int view_requests(struct quire_client *client, bool json, struct quire_error *qe) {
    struct quire_request_info *requests;
    size_t n;
    int r = quire_requests(client, VIEW_QUERY_MS, &requests, &n, qe);
    if (r < 0)
        return r;
    if (json) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, request_json(&requests[i]));
        dump(json_pack("{s:o}", "requests", list));
    } else {
        print_requests(requests, n);
    }
    free(requests);
    return 0;
}
