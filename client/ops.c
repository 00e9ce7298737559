/* ops.c - operators' queries: one question, one answer, on a socket of their own.
 *
 * A query that got no answer in time leaves its socket behind: a late answer would otherwise be the
 * first thing the next query reads. */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "common/clock.h"

_Static_assert((int)QUIRE_WORKER_DRAINED == (int)WORKER_DRAINED, "states are the wire's");
_Static_assert((int)QUIRE_POLICY_ROUND_ROBIN == (int)POLICY_ROUND_ROBIN, "policies are the wire's");
_Static_assert((int)QUIRE_INDEX_REBUILDING == (int)INDEX_REBUILDING, "states are the wire's");

static void forget_socket(struct quire_client *c) {
    if (c->ops_socket != NULL)
        (void)zmq_close(c->ops_socket);
    c->ops_socket = NULL;
}

/* OPS, and after it the frames of the request that it is about. The id in that request has no
 * meaning, since it is not run. */
static int query_to_wire(const struct msg_ops *query, const struct quire_request *request,
                         struct wire_message *out, struct error *e) {
    static const struct request_id no_id;
    struct wire_buffer frame = {0};
    if (ops_encode(query, &frame) != 0 || wire_add_buffer(out, &frame) != 0) {
        wire_buffer_clear(&frame);
        return error_set(e, ERR_NOMEM, "memory ran out");
    }
    return request != NULL ? request_to_wire(request, no_id, out, e) : 0;
}

static int send_query(struct quire_client *c, struct msg_ops *query,
                      const struct quire_request *request, struct error *e) {
    struct wire_message m;
    int rc = 0;
    if (c->ops_socket == NULL)
        rc = client_connect(c, &c->ops_socket, e);
    if (rc != 0)
        return rc;
    query->serial = ++c->serial;
    wire_message_init(&m);
    rc = query_to_wire(query, request, &m, e);
    if (rc == 0)
        rc = wire_send(c->ops_socket, &m, e);
    wire_message_close(&m);
    if (rc == WIRE_AGAIN)
        rc = error_set(e, ERR_BUSY, "the broker at %s takes no more messages now", c->endpoint);
    return rc;
}

/* 1 = *reply is the answer to this query and owns its lists; 0 = something else; or an error. */
static int read_answer(struct quire_client *c, struct bytes frame, const struct msg_ops *query,
                       struct msg_ops_reply *reply, struct error *e) {
    enum message_type type = MSG_TYPES;
    struct msg_error refused;
    int rc = message_peek(frame, &type, e);
    if (rc != 0)
        return rc;
    if (type == MSG_ERROR) {
        rc = error_decode(&refused, frame, e);
        if (rc != 0)
            return rc;
        if (refused.has_serial && refused.serial != query->serial)
            return 0;
        return error_set(e, refused.code, "%.*s", (int)refused.text.size,
                         (const char *)refused.text.data);
    }
    if (type != MSG_OPS_REPLY)
        return error_set(e, ERR_BAD_MESSAGE, "the broker at %s answered %s to a query", c->endpoint,
                         message_name(type));
    rc = ops_reply_decode(reply, frame, e);
    if (rc != 0)
        return rc;
    if (reply->serial == query->serial && reply->query == query->query)
        return 1;
    ops_reply_clear(reply);
    return 0;
}

int ops_ask(struct quire_client *c, int timeout_ms, struct msg_ops query,
            const struct quire_request *request, struct wire_message *m,
            struct msg_ops_reply *reply, struct error *e) {
    int64_t end = clock_ms() + timeout_ms;
    int rc = send_query(c, &query, request, e);
    while (rc == 0) {
        int64_t left = end - clock_ms();
        rc = wire_recv_wait(c->ops_socket, m, left > 0 ? (int)left : 0, e);
        if (rc == WIRE_AGAIN) {
            rc = left > 0 ? 0
                          : error_set(e, ERR_TIMEOUT, "the broker at %s did not answer in %d ms",
                                      c->endpoint, timeout_ms);
            continue;
        }
        if (rc == 0)
            rc = read_answer(c, wire_frame(m, 0), &query, reply, e);
        if (rc == 1)
            return 0;
    }
    forget_socket(c);
    return rc;
}

/* ---- answers in the application's terms ---- */

static void copy_worker(struct quire_worker *out, const struct worker_info *in) {
    const struct msg_heartbeat *load = &in->load;
    *out = (struct quire_worker){
        .state = (enum quire_worker_state)in->state,
        .incarnation = in->incarnation,
        .pid = in->pid,
        .credits = in->credits,
        .in_flight = in->in_flight,
        .silent_ms = in->silent_ms,
        .active = load->active,
        .waiting = load->waiting,
        .pages_total = in->pages_total,
        .pages_free = load->pages_free,
        .context = in->context,
        .prefill_us_per_position = load->prefill_us_per_position,
        .decode_us_per_token = load->decode_us_per_token,
        .tile_us = load->tile_us,
        .step_us = load->step_us,
        .tokens_total = load->tokens_total,
        .positions_total = load->positions_total,
        .rss_bytes = load->rss_bytes,
        .done = in->done,
        .failed = in->failed,
        .pages_evicted = load->pages_evicted,
        .feature_bytes = load->feature_bytes,
    };
    client_copy_text(out->name, sizeof out->name, in->name);
    client_copy_text(out->model, sizeof out->model, in->model);
    client_copy_text(out->chat_template, sizeof out->chat_template, in->template_id);
    client_copy_text(out->tools, sizeof out->tools, in->tools);
}

static void copy_request(struct quire_request_info *out, const struct request_info *in) {
    *out = (struct quire_request_info){
        .state = (enum quire_request_state)in->state,
        .age_ms = in->age_ms,
        .attempt = in->attempt,
        .tokens = in->tokens,
        .pictures = in->pictures,
    };
    memcpy(out->id, in->id.bytes, sizeof out->id);
    client_copy_text(out->worker, sizeof out->worker, in->worker);
}

static void copy_stats(struct quire_stats *out, const struct pool_stats *in) {
    *out = (struct quire_stats){
        .uptime_ms = in->uptime_ms,
        .workers = in->workers,
        .queued = in->queued,
        .in_flight = in->in_flight,
        .queue_limit = in->queue_limit,
        .requests = in->requests,
        .done = in->done,
        .failed = in->failed,
        .cancelled = in->cancelled,
        .busy = in->busy,
        .expired = in->expired,
        .resent = in->resent,
        .resumed = in->resumed,
        .prompt_positions = in->prompt_positions,
        .reused_positions = in->reused_positions,
        .answer_tokens = in->answer_tokens,
        .pictures = in->pictures,
        .pictures_encoded = in->pictures_encoded,
        .bad_messages = in->bad_messages,
        .first_token_ms_sum = in->first_token_ms_sum,
        .first_token_count = in->first_token_count,
        .policy = (enum quire_policy)in->policy,
        .links = in->links,
        .predictions = in->predictions,
        .prediction_error_permille = in->prediction_error_permille,
        .index_state = (enum quire_index_state)in->index_state,
        .index_links = in->index_links,
        .index_bytes = in->index_bytes,
        .index_skipped = in->index_skipped,
    };
    client_copy_text(out->index_text, sizeof out->index_text, in->index_text);
}

int ops_worker_name(const char *worker, struct bytes *out, struct error *e) {
    *out = (struct bytes){(const uint8_t *)worker, strlen(worker)};
    return out->size > 0 && out->size <= LIMIT_NAME_BYTES
               ? 0
               : error_set(e, ERR_USAGE, "a worker's name has 1..%d bytes", LIMIT_NAME_BYTES);
}

/* ---- promises of quire.h ---- */

int quire_workers(struct quire_client *client, int timeout_ms, struct quire_worker **workers,
                  size_t *count, struct quire_error *error) {
    struct error e = {0};
    struct wire_message m;
    struct msg_ops_reply reply;
    *workers = NULL;
    *count = 0;
    wire_message_init(&m);
    int rc =
        ops_ask(client, timeout_ms, (struct msg_ops){.query = OPS_WORKERS}, NULL, &m, &reply, &e);
    if (rc == 0) {
        *workers = calloc(reply.n_workers + 1, sizeof **workers);
        if (*workers == NULL)
            rc = error_set(&e, ERR_NOMEM, "memory ran out for %zu workers", reply.n_workers);
        else
            *count = reply.n_workers;
        for (size_t i = 0; i < *count; i++)
            copy_worker(&(*workers)[i], &reply.workers[i]);
        ops_reply_clear(&reply);
    }
    wire_message_close(&m);
    return rc == 0 ? 0 : client_report(error, &e);
}

int quire_requests(struct quire_client *client, int timeout_ms,
                   struct quire_request_info **requests, size_t *count, struct quire_error *error) {
    struct error e = {0};
    struct wire_message m;
    struct msg_ops_reply reply;
    *requests = NULL;
    *count = 0;
    wire_message_init(&m);
    int rc =
        ops_ask(client, timeout_ms, (struct msg_ops){.query = OPS_REQUESTS}, NULL, &m, &reply, &e);
    if (rc == 0) {
        *requests = calloc(reply.n_requests + 1, sizeof **requests);
        if (*requests == NULL)
            rc = error_set(&e, ERR_NOMEM, "memory ran out for %zu requests", reply.n_requests);
        else
            *count = reply.n_requests;
        for (size_t i = 0; i < *count; i++)
            copy_request(&(*requests)[i], &reply.requests[i]);
        ops_reply_clear(&reply);
    }
    wire_message_close(&m);
    return rc == 0 ? 0 : client_report(error, &e);
}

int quire_stats(struct quire_client *client, int timeout_ms, struct quire_stats *stats,
                struct quire_error *error) {
    struct error e = {0};
    struct wire_message m;
    struct msg_ops_reply reply;
    wire_message_init(&m);
    int rc =
        ops_ask(client, timeout_ms, (struct msg_ops){.query = OPS_STATS}, NULL, &m, &reply, &e);
    if (rc == 0) {
        copy_stats(stats, &reply.stats);
        ops_reply_clear(&reply);
    }
    wire_message_close(&m);
    return rc == 0 ? 0 : client_report(error, &e);
}

int quire_drain(struct quire_client *client, int timeout_ms, const char *worker, bool on,
                struct quire_error *error) {
    struct error e = {0};
    struct wire_message m;
    struct msg_ops_reply reply;
    struct msg_ops query = {.query = on ? OPS_DRAIN : OPS_UNDRAIN};
    wire_message_init(&m);
    int rc = ops_worker_name(worker, &query.worker, &e);
    if (rc == 0)
        rc = ops_ask(client, timeout_ms, query, NULL, &m, &reply, &e);
    if (rc == 0)
        ops_reply_clear(&reply);
    wire_message_close(&m);
    return rc == 0 ? 0 : client_report(error, &e);
}
