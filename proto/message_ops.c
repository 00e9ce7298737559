/* message_ops.c - OPS and OPS_REPLY: what operators ask a broker, and its answers. The answer to
 * explain has its rows in message_explain.c. */
#include <stdlib.h>
#include <string.h>

#include "proto/message_explain.h"
#include "proto/message_worker.h"
#include "proto/sentence.h"

static const char *const query_names[] = {"workers", "stats",   "requests", "drain",
                                          "undrain", "explain", "losses"};
static const char *const worker_states[] = {"up", "draining", "drained"};
static const char *const request_states[] = {"queued", "sent", "streaming"};
static const char *const index_states[] = {"off", "ok", "full", "broken", "rebuilding"};

/* ---- OPS ---- */

static const struct field ops_fields[] = {
    FIELD_NEED_U32("serial", struct msg_ops, serial, 0, UINT32_MAX),
    FIELD_NEED_ENUM("query", struct msg_ops, query, query_names),
    FIELD_TEXT("worker", struct msg_ops, worker, 0, LIMIT_NAME_BYTES),
    FIELD_BIN("id", struct msg_ops, id, REQUEST_ID_BYTES, REQUEST_ID_BYTES),
};
static const struct schema ops_schema =
    SCHEMA("OPS", ops_fields, struct msg_ops, ERR_BAD_MESSAGE, 0);

int ops_encode(const struct msg_ops *m, struct wire_buffer *out) {
    return message_encode(MSG_OPS, &ops_schema, m, out);
}

int ops_decode(struct msg_ops *out, struct bytes frame, struct error *e) {
    int rc = message_decode(MSG_OPS, &ops_schema, frame, out, NULL, e);
    bool about_one =
        out->query == OPS_DRAIN || out->query == OPS_UNDRAIN || out->query == OPS_LOSSES;
    if (rc == 0 && about_one && out->worker.size == 0)
        rc = error_set(e, ERR_BAD_MESSAGE, "OPS: worker is missing");
    return rc;
}

/* ---- OPS_REPLY ---- */

static const struct field worker_fields[] = {
    FIELD_NEED_TEXT("name", struct worker_info, name, 1, LIMIT_NAME_BYTES),
    FIELD_TEXT("model", struct worker_info, model, 0, LIMIT_MODEL_BYTES),
    FIELD_TEXT("template", struct worker_info, template_id, 0, LIMIT_TEMPLATE_BYTES),
    FIELD_TEXT("tools", struct worker_info, tools, 0, LIMIT_TOOLS_BYTES),
    FIELD_NEED_ENUM("state", struct worker_info, state, worker_states),
    FIELD_U64("incarnation", struct worker_info, incarnation),
    FIELD_U32("pid", struct worker_info, pid, 0, UINT32_MAX, 0),
    FIELD_U32("credits", struct worker_info, credits, 0, UINT32_MAX, 0),
    FIELD_U32("in_flight", struct worker_info, in_flight, 0, UINT32_MAX, 0),
    FIELD_U32("silent_ms", struct worker_info, silent_ms, 0, UINT32_MAX, 0),
    FIELD_MAP("load", struct worker_info, load, &heartbeat_schema),
    FIELD_U32("pages_total", struct worker_info, pages_total, 0, UINT32_MAX, 0),
    FIELD_U32("context", struct worker_info, context, 0, UINT32_MAX, 0),
    FIELD_U64("done", struct worker_info, done),
    FIELD_U64("failed", struct worker_info, failed),
};
static const struct schema worker_schema =
    SCHEMA("a worker", worker_fields, struct worker_info, ERR_BAD_MESSAGE, 0);
static const struct list worker_list = {&worker_schema, sizeof(struct worker_info), LIMIT_WORKERS,
                                        0};

static const struct field listed_fields[] = {
    FIELD_ID("id", struct request_info, id),
    FIELD_NEED_ENUM("state", struct request_info, state, request_states),
    FIELD_U32("age_ms", struct request_info, age_ms, 0, UINT32_MAX, 0),
    FIELD_U32("attempt", struct request_info, attempt, 0, UINT32_MAX, 0),
    FIELD_U32("tokens", struct request_info, tokens, 0, UINT32_MAX, 0),
    FIELD_U32("pictures", struct request_info, pictures, 0, UINT32_MAX, 0),
    FIELD_TEXT("worker", struct request_info, worker, 0, LIMIT_NAME_BYTES),
};
static const struct schema listed_schema =
    SCHEMA("a request", listed_fields, struct request_info, ERR_BAD_MESSAGE, 0);
static const struct list listed_list = {&listed_schema, sizeof(struct request_info),
                                        LIMIT_LISTED_REQUESTS, 0};

static const struct field stats_fields[] = {
    FIELD_U64("uptime_ms", struct pool_stats, uptime_ms),
    FIELD_U32("workers", struct pool_stats, workers, 0, UINT32_MAX, 0),
    FIELD_U32("queued", struct pool_stats, queued, 0, UINT32_MAX, 0),
    FIELD_U32("in_flight", struct pool_stats, in_flight, 0, UINT32_MAX, 0),
    FIELD_U32("queue_limit", struct pool_stats, queue_limit, 0, UINT32_MAX, 0),
    FIELD_U64("requests", struct pool_stats, requests),
    FIELD_U64("done", struct pool_stats, done),
    FIELD_U64("failed", struct pool_stats, failed),
    FIELD_U64("cancelled", struct pool_stats, cancelled),
    FIELD_U64("busy", struct pool_stats, busy),
    FIELD_U64("expired", struct pool_stats, expired),
    FIELD_U64("resent", struct pool_stats, resent),
    FIELD_U64("resumed", struct pool_stats, resumed),
    FIELD_U64("prompt_positions", struct pool_stats, prompt_positions),
    FIELD_U64("reused_positions", struct pool_stats, reused_positions),
    FIELD_U64("answer_tokens", struct pool_stats, answer_tokens),
    FIELD_U64("pictures", struct pool_stats, pictures),
    FIELD_U64("pictures_encoded", struct pool_stats, pictures_encoded),
    FIELD_U64("bad_messages", struct pool_stats, bad_messages),
    FIELD_U64("first_token_ms_sum", struct pool_stats, first_token_ms_sum),
    FIELD_U64("first_token_count", struct pool_stats, first_token_count),
    FIELD_ENUM("policy", struct pool_stats, policy, policy_names, POLICY_EARLIEST),
    FIELD_U64("links", struct pool_stats, links),
    FIELD_U64("predictions", struct pool_stats, predictions),
    FIELD_U32("prediction_error_permille", struct pool_stats, prediction_error_permille, 0,
              UINT32_MAX, 0),
    FIELD_ENUM("index_state", struct pool_stats, index_state, index_states, INDEX_OFF),
    FIELD_TEXT("index_text", struct pool_stats, index_text, 0, LIMIT_ERROR_TEXT_BYTES),
    FIELD_U64("index_links", struct pool_stats, index_links),
    FIELD_U64("index_bytes", struct pool_stats, index_bytes),
    FIELD_U64("index_skipped", struct pool_stats, index_skipped),
};
static const struct schema stats_schema =
    SCHEMA("stats", stats_fields, struct pool_stats, ERR_BAD_MESSAGE, 0);

static const struct field ops_reply_fields[] = {
    FIELD_NEED_U32("serial", struct msg_ops_reply, serial, 0, UINT32_MAX),
    FIELD_NEED_ENUM("query", struct msg_ops_reply, query, query_names),
    FIELD_LIST("workers", struct msg_ops_reply, workers, n_workers, &worker_list),
    FIELD_LIST("requests", struct msg_ops_reply, requests, n_requests, &listed_list),
    FIELD_MAP("stats", struct msg_ops_reply, stats, &stats_schema),
    FIELD_MAP("explanation", struct msg_ops_reply, explanation, &explanation_schema),
    FIELD_MAP("loss", struct msg_ops_reply, loss, &loss_schema),
};
#define OPS_REPLY_BLOCK_MAX                                                                        \
    (LIMIT_WORKERS * sizeof(struct worker_info) +                                                  \
     LIMIT_LISTED_REQUESTS * sizeof(struct request_info) + EXPLANATION_BLOCK_MAX + 32)
static const struct schema ops_reply_schema = SCHEMA(
    "OPS_REPLY", ops_reply_fields, struct msg_ops_reply, ERR_BAD_MESSAGE, OPS_REPLY_BLOCK_MAX);

void ops_reply_clear(struct msg_ops_reply *m) {
    free(m->block);
    memset(m, 0, sizeof *m);
}

int ops_reply_encode(const struct msg_ops_reply *m, struct wire_buffer *out) {
    struct sentence sentence;
    struct msg_ops_reply cut = *m;
    cut.stats.index_text = sentence_of(m->stats.index_text, &sentence);
    return message_encode(MSG_OPS_REPLY, &ops_reply_schema, &cut, out);
}

int ops_reply_decode(struct msg_ops_reply *out, struct bytes frame, struct error *e) {
    int rc = message_decode(MSG_OPS_REPLY, &ops_reply_schema, frame, out, &out->block, e);
    if (rc != 0)
        return rc;
    rc = explanation_check(&out->explanation, e);
    if (rc != 0) {
        error_prefix(e, "OPS_REPLY");
        ops_reply_clear(out);
    }
    return rc;
}
