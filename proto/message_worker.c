/* message_worker.c - between broker and worker: READY, HEARTBEAT, GOODBYE, REPLY, WORK,
 * CANCEL_WORK, DRAIN, BEAT, LINKS, INVENTORY. REPLY stands before every token, so it is as small as
 * it can be. */
#include "proto/message_worker.h"

/* ---- READY ---- */

static const struct field ready_fields[] = {
    FIELD_NEED_U32("version_min", struct msg_ready, version_min, 1, UINT32_MAX),
    FIELD_NEED_U32("version_max", struct msg_ready, version_max, 1, UINT32_MAX),
    FIELD_NEED_TEXT("name", struct msg_ready, name, 1, LIMIT_NAME_BYTES),
    FIELD_NEED_U64("incarnation", struct msg_ready, incarnation),
    FIELD_NEED_TEXT("model", struct msg_ready, model, 1, LIMIT_MODEL_BYTES),
    FIELD_TEXT("template", struct msg_ready, template_id, 0, LIMIT_TEMPLATE_BYTES),
    FIELD_TEXT("tools", struct msg_ready, tools, 0, LIMIT_TOOLS_BYTES),
    FIELD_TEXT("software", struct msg_ready, software, 0, LIMIT_SOFTWARE_BYTES),
    FIELD_ID("fingerprint", struct msg_ready, fingerprint),
    FIELD_NEED_U32("credits", struct msg_ready, credits, 0, UINT32_MAX),
    FIELD_U32("pages_total", struct msg_ready, pages_total, 0, UINT32_MAX, 0),
    FIELD_U32("context", struct msg_ready, context, 0, UINT32_MAX, 0),
    FIELD_U32("pid", struct msg_ready, pid, 0, UINT32_MAX, 0),
    FIELD_BOOL("vision", struct msg_ready, vision, false),
    FIELD_BOOL("resumes", struct msg_ready, resumes, false),
    FIELD_BOOL("extended", struct msg_ready, extended, false),
};
static const struct schema ready_schema =
    SCHEMA("READY", ready_fields, struct msg_ready, ERR_BAD_MESSAGE, 0);

int ready_encode(const struct msg_ready *m, struct wire_buffer *out) {
    return message_encode(MSG_READY, &ready_schema, m, out);
}

int ready_decode(struct msg_ready *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_READY, &ready_schema, frame, out, NULL, e);
}

/* ---- HEARTBEAT ---- */

static const struct field heartbeat_fields[] = {
    FIELD_NEED_U64("incarnation", struct msg_heartbeat, incarnation),
    FIELD_U32("active", struct msg_heartbeat, active, 0, UINT32_MAX, 0),
    FIELD_U32("waiting", struct msg_heartbeat, waiting, 0, UINT32_MAX, 0),
    FIELD_U32("pages_free", struct msg_heartbeat, pages_free, 0, UINT32_MAX, 0),
    FIELD_U32("prefill_us_per_position", struct msg_heartbeat, prefill_us_per_position, 0,
              UINT32_MAX, 0),
    FIELD_U32("decode_us_per_token", struct msg_heartbeat, decode_us_per_token, 0, UINT32_MAX, 0),
    FIELD_U32("tile_us", struct msg_heartbeat, tile_us, 0, UINT32_MAX, 0),
    FIELD_U32("step_us", struct msg_heartbeat, step_us, 0, UINT32_MAX, 0),
    FIELD_U64("tokens_total", struct msg_heartbeat, tokens_total),
    FIELD_U64("positions_total", struct msg_heartbeat, positions_total),
    FIELD_U64("rss_bytes", struct msg_heartbeat, rss_bytes),
    FIELD_U64("pages_evicted", struct msg_heartbeat, pages_evicted),
    FIELD_U64("feature_bytes", struct msg_heartbeat, feature_bytes),
    FIELD_BOOL("draining", struct msg_heartbeat, draining, false),
};
const struct schema heartbeat_schema =
    SCHEMA("HEARTBEAT", heartbeat_fields, struct msg_heartbeat, ERR_BAD_MESSAGE, 0);

int heartbeat_encode(const struct msg_heartbeat *m, struct wire_buffer *out) {
    return message_encode(MSG_HEARTBEAT, &heartbeat_schema, m, out);
}

int heartbeat_decode(struct msg_heartbeat *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_HEARTBEAT, &heartbeat_schema, frame, out, NULL, e);
}

/* ---- GOODBYE ---- */

static const struct field goodbye_fields[] = {
    FIELD_NEED_U64("incarnation", struct msg_goodbye, incarnation),
};
static const struct schema goodbye_schema =
    SCHEMA("GOODBYE", goodbye_fields, struct msg_goodbye, ERR_BAD_MESSAGE, 0);

int goodbye_encode(const struct msg_goodbye *m, struct wire_buffer *out) {
    return message_encode(MSG_GOODBYE, &goodbye_schema, m, out);
}

int goodbye_decode(struct msg_goodbye *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_GOODBYE, &goodbye_schema, frame, out, NULL, e);
}

/* ---- REPLY ---- */

static const struct field reply_fields[] = {
    FIELD_NEED_U64("incarnation", struct msg_reply, incarnation),
    FIELD_NEED_U64("ticket", struct msg_reply, ticket),
    FIELD_NEED_U32("attempt", struct msg_reply, attempt, 1, UINT32_MAX),
    FIELD_BIN("ids", struct msg_reply, ids, LIMIT_TOKENS_PER_MESSAGE *TOKEN_ID_BYTES,
              TOKEN_ID_BYTES),
};
static const struct schema reply_schema =
    SCHEMA("REPLY", reply_fields, struct msg_reply, ERR_BAD_MESSAGE, 0);

int reply_encode(const struct msg_reply *m, struct wire_buffer *out) {
    return message_encode(MSG_REPLY, &reply_schema, m, out);
}

int reply_decode(struct msg_reply *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_REPLY, &reply_schema, frame, out, NULL, e);
}

/* ---- WORK, CANCEL_WORK ---- */

static const struct field work_fields[] = {
    FIELD_NEED_U64("ticket", struct msg_work, ticket),
    FIELD_NEED_U32("attempt", struct msg_work, attempt, 1, UINT32_MAX),
    FIELD_NEED_U32("deadline_ms", struct msg_work, deadline_ms, 0, LIMIT_DEADLINE_MS),
    FIELD_U64("seed", struct msg_work, seed),
    FIELD_BIN("replay", struct msg_work, replay, LIMIT_MAX_TOKENS *TOKEN_ID_BYTES, TOKEN_ID_BYTES),
    FIELD_U64("replay_bytes", struct msg_work, replay_bytes),
};
static const struct schema work_schema =
    SCHEMA("WORK", work_fields, struct msg_work, ERR_BAD_MESSAGE, 0);

int work_encode(const struct msg_work *m, struct wire_buffer *out) {
    return message_encode(MSG_WORK, &work_schema, m, out);
}

int work_decode(struct msg_work *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_WORK, &work_schema, frame, out, NULL, e);
}

static const struct field cancel_work_fields[] = {
    FIELD_NEED_U64("ticket", struct msg_cancel_work, ticket),
    FIELD_NEED_U32("attempt", struct msg_cancel_work, attempt, 1, UINT32_MAX),
};
static const struct schema cancel_work_schema =
    SCHEMA("CANCEL_WORK", cancel_work_fields, struct msg_cancel_work, ERR_BAD_MESSAGE, 0);

int cancel_work_encode(const struct msg_cancel_work *m, struct wire_buffer *out) {
    return message_encode(MSG_CANCEL_WORK, &cancel_work_schema, m, out);
}

int cancel_work_decode(struct msg_cancel_work *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_CANCEL_WORK, &cancel_work_schema, frame, out, NULL, e);
}

/* ---- DRAIN, BEAT ---- */

static const struct field drain_fields[] = {
    FIELD_NEED_BOOL("on", struct msg_drain, on),
};
static const struct schema drain_schema =
    SCHEMA("DRAIN", drain_fields, struct msg_drain, ERR_BAD_MESSAGE, 0);

int drain_encode(const struct msg_drain *m, struct wire_buffer *out) {
    return message_encode(MSG_DRAIN, &drain_schema, m, out);
}

int drain_decode(struct msg_drain *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_DRAIN, &drain_schema, frame, out, NULL, e);
}

static const struct field beat_fields[] = {
    FIELD_NEED_BOOL("known", struct msg_beat, known),
};
static const struct schema beat_schema =
    SCHEMA("BEAT", beat_fields, struct msg_beat, ERR_BAD_MESSAGE, 0);

int beat_encode(const struct msg_beat *m, struct wire_buffer *out) {
    return message_encode(MSG_BEAT, &beat_schema, m, out);
}

int beat_decode(struct msg_beat *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_BEAT, &beat_schema, frame, out, NULL, e);
}

/* ---- LINKS, INVENTORY ---- */

static const struct field links_fields[] = {
    FIELD_NEED_U64("incarnation", struct msg_links, incarnation),
    FIELD_BOOL("reset", struct msg_links, reset, false),
    FIELD_BIN("held", struct msg_links, held, LIMIT_LINKS *LINK_HELD_BYTES, LINK_HELD_BYTES),
    FIELD_BIN("dropped", struct msg_links, dropped, LIMIT_LINKS *LINK_BYTES, LINK_BYTES),
};
static const struct schema links_schema =
    SCHEMA("LINKS", links_fields, struct msg_links, ERR_BAD_MESSAGE, 0);

int links_encode(const struct msg_links *m, struct wire_buffer *out) {
    return message_encode(MSG_LINKS, &links_schema, m, out);
}

int links_decode(struct msg_links *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_LINKS, &links_schema, frame, out, NULL, e);
}

/* No keys, so a struct with nothing in it stands behind INVENTORY. */
struct no_keys {
    char unused;
};
static const struct schema inventory_schema = {"INVENTORY",     NULL, 0, sizeof(struct no_keys),
                                               ERR_BAD_MESSAGE, 0};

int inventory_encode(struct wire_buffer *out) {
    return message_encode(MSG_INVENTORY, &inventory_schema, &(struct no_keys){0}, out);
}

int inventory_decode(struct bytes frame, struct error *e) {
    struct no_keys nothing;
    return message_decode(MSG_INVENTORY, &inventory_schema, frame, &nothing, NULL, e);
}
