/* message_answer.c - CANCEL, and what a client sees of its request: PROGRESS, TOKENS, DONE, ERROR.
 *
 * TOKENS is the message of the steady state. Without logprobs it has no lists, so decoding it
 * allocates nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/sentence.h"
#include "proto/schema.h"

static const char *const stage_names[] = {"queued", "picture", "prefill"};
static const char *const reason_names[] = {"end", "stop", "length"};

/* ---- CANCEL ---- */

static const struct field cancel_fields[] = {
    FIELD_ID("id", struct msg_cancel, id),
};
static const struct schema cancel_schema =
    SCHEMA("CANCEL", cancel_fields, struct msg_cancel, ERR_BAD_MESSAGE, 0);

int cancel_encode(const struct msg_cancel *m, struct wire_buffer *out) {
    return message_encode(MSG_CANCEL, &cancel_schema, m, out);
}

int cancel_decode(struct msg_cancel *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_CANCEL, &cancel_schema, frame, out, NULL, e);
}

/* ---- PROGRESS ---- */

static const struct field progress_fields[] = {
    FIELD_ID("id", struct msg_progress, id),
    FIELD_NEED_ENUM("stage", struct msg_progress, stage, stage_names),
    FIELD_U32("done", struct msg_progress, done, 0, UINT32_MAX, 0),
    FIELD_U32("total", struct msg_progress, total, 0, UINT32_MAX, 0),
};
static const struct schema progress_schema =
    SCHEMA("PROGRESS", progress_fields, struct msg_progress, ERR_BAD_MESSAGE, 0);

int progress_encode(const struct msg_progress *m, struct wire_buffer *out) {
    return message_encode(MSG_PROGRESS, &progress_schema, m, out);
}

int progress_decode(struct msg_progress *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_PROGRESS, &progress_schema, frame, out, NULL, e);
}

/* ---- TOKENS ---- */

/* msg_tokens has one count for tokens and entries; on the wire entries may be absent. */
struct tokens_shape {
    struct msg_tokens m;
    size_t n_entries;
};

static const struct field logprob_fields[] = {
    FIELD_NEED_I32("id", struct token_logprob, id, INT32_MIN, INT32_MAX),
    FIELD_NEED_F32("logprob", struct token_logprob, logprob, -INFINITY, INFINITY),
    FIELD_NEED_BIN("text", struct token_logprob, text, LIMIT_HEADER_BYTES),
};
static const struct schema logprob_schema =
    SCHEMA("an alternative", logprob_fields, struct token_logprob, ERR_BAD_MESSAGE, 0);
static const struct list logprob_list = {&logprob_schema, sizeof(struct token_logprob),
                                         LIMIT_LOGPROBS, 0};

static const struct field entry_fields[] = {
    FIELD_NEED_I32("id", struct token_entry, id, INT32_MIN, INT32_MAX),
    FIELD_NEED_F32("logprob", struct token_entry, self.logprob, -INFINITY, INFINITY),
    FIELD_NEED_BIN("text", struct token_entry, self.text, LIMIT_HEADER_BYTES),
    FIELD_LIST("others", struct token_entry, others, n_others, &logprob_list),
};
static const struct schema entry_schema =
    SCHEMA("an entry", entry_fields, struct token_entry, ERR_BAD_MESSAGE, 1);
static const struct list entry_list = {&entry_schema, sizeof(struct token_entry),
                                       LIMIT_TOKENS_PER_MESSAGE, 0};

static const struct field tokens_fields[] = {
    FIELD_ID("id", struct tokens_shape, m.id),
    FIELD_NEED_U32("index", struct tokens_shape, m.index, 0, LIMIT_MAX_TOKENS),
    FIELD_U32("n", struct tokens_shape, m.n_tokens, 0, LIMIT_TOKENS_PER_MESSAGE, 1),
    FIELD_TEXT("text", struct tokens_shape, m.text, 0, LIMIT_HEADER_BYTES),
    FIELD_LIST("entries", struct tokens_shape, m.entries, n_entries, &entry_list),
};
#define TOKENS_BLOCK_MAX                                                                           \
    (LIMIT_TOKENS_PER_MESSAGE *                                                                    \
         (sizeof(struct token_entry) + LIMIT_LOGPROBS * sizeof(struct token_logprob) + 16) +       \
     16)
static const struct schema tokens_schema =
    SCHEMA("TOKENS", tokens_fields, struct tokens_shape, ERR_BAD_MESSAGE, TOKENS_BLOCK_MAX);

void tokens_clear(struct msg_tokens *m) {
    free(m->block);
    memset(m, 0, sizeof *m);
}

int tokens_encode(const struct msg_tokens *m, struct wire_buffer *out) {
    struct tokens_shape shape = {*m, m->entries != NULL ? m->n_tokens : 0};
    return message_encode(MSG_TOKENS, &tokens_schema, &shape, out);
}

int tokens_decode(struct msg_tokens *out, struct bytes frame, struct error *e) {
    struct tokens_shape shape;
    void *block = NULL;
    int rc = message_decode(MSG_TOKENS, &tokens_schema, frame, &shape, &block, e);
    *out = shape.m; /* all zero after a failure */
    if (rc != 0)
        return rc;
    out->block = block;
    if (shape.n_entries != 0 && shape.n_entries != out->n_tokens) {
        rc = error_set(e, ERR_BAD_MESSAGE, "TOKENS: %zu entries for %u tokens", shape.n_entries,
                       out->n_tokens);
        tokens_clear(out);
        return rc;
    }
    for (size_t i = 0; i < shape.n_entries; i++) {
        struct token_entry *entry = (struct token_entry *)block + i; /* the block's first list */
        entry->self.id = entry->id;
    }
    return 0;
}

/* ---- DONE ---- */

static const struct field usage_fields[] = {
    FIELD_U32("prompt_positions", struct usage, prompt_positions, 0, UINT32_MAX, 0),
    FIELD_U32("reused_positions", struct usage, reused_positions, 0, UINT32_MAX, 0),
    FIELD_U32("answer_tokens", struct usage, answer_tokens, 0, UINT32_MAX, 0),
    FIELD_U32("pictures", struct usage, pictures, 0, UINT32_MAX, 0),
    FIELD_U32("pictures_encoded", struct usage, pictures_encoded, 0, UINT32_MAX, 0),
    FIELD_U32("tiles_encoded", struct usage, tiles_encoded, 0, UINT32_MAX, 0),
    FIELD_U32("picture_positions", struct usage, picture_positions, 0, UINT32_MAX, 0),
};
static const struct schema usage_schema =
    SCHEMA("usage", usage_fields, struct usage, ERR_BAD_MESSAGE, 0);

static const struct field timings_fields[] = {
    FIELD_U64("queue_us", struct timings, queue_us),
    FIELD_U64("wait_us", struct timings, wait_us),
    FIELD_U64("picture_us", struct timings, picture_us),
    FIELD_U64("prefill_us", struct timings, prefill_us),
    FIELD_U64("first_token_us", struct timings, first_token_us),
    FIELD_U64("decode_us", struct timings, decode_us),
    FIELD_U64("total_us", struct timings, total_us),
    FIELD_U64("predicted_us", struct timings, predicted_us),
};
static const struct schema timings_schema =
    SCHEMA("timings", timings_fields, struct timings, ERR_BAD_MESSAGE, 0);

static const struct field done_fields[] = {
    FIELD_ID("id", struct msg_done, id),
    FIELD_NEED_ENUM("reason", struct msg_done, reason, reason_names),
    FIELD_I32("stop", struct msg_done, stop, -1, LIMIT_STOPS - 1, -1),
    FIELD_MAP("usage", struct msg_done, usage, &usage_schema),
    FIELD_MAP("timings", struct msg_done, timings, &timings_schema),
    FIELD_U64("seed", struct msg_done, seed),
    FIELD_TEXT("worker", struct msg_done, worker, 0, LIMIT_NAME_BYTES),
    FIELD_TEXT("model", struct msg_done, model, 0, LIMIT_MODEL_BYTES),
    FIELD_U32("attempts", struct msg_done, attempts, 0, UINT32_MAX, 1),
    FIELD_BIN("segment_ends", struct msg_done, segment_ends, LIMIT_SEGMENT_ENDS *SEGMENT_END_BYTES,
              SEGMENT_END_BYTES),
};
static const struct schema done_schema =
    SCHEMA("DONE", done_fields, struct msg_done, ERR_BAD_MESSAGE, 0);

int done_encode(const struct msg_done *m, struct wire_buffer *out) {
    return message_encode(MSG_DONE, &done_schema, m, out);
}

int done_decode(struct msg_done *out, struct bytes frame, struct error *e) {
    return message_decode(MSG_DONE, &done_schema, frame, out, NULL, e);
}

/* ---- ERROR ---- */

static const struct field error_fields[] = {
    {FIELD_HEAD("id", TYPE_FIXED, struct msg_error, id, 16), .max = 16, .gate = GATE_BOOL,
     .gate_offset = FIELD_AT(struct msg_error, has_id, 1)},
    {FIELD_HEAD("serial", TYPE_U32, struct msg_error, serial, 4), .max = UINT32_MAX,
     .gate = GATE_BOOL, .gate_offset = FIELD_AT(struct msg_error, has_serial, 1)},
    FIELD_NEED_I32("code", struct msg_error, code, INT32_MIN, INT32_MAX),
    FIELD_TEXT("text", struct msg_error, text, 0, LIMIT_ERROR_TEXT_BYTES),
    FIELD_U32("retry_ms", struct msg_error, retry_ms, 0, UINT32_MAX, 0),
};
static const struct schema error_schema =
    SCHEMA("ERROR", error_fields, struct msg_error, ERR_BAD_MESSAGE, 0);

int error_encode(const struct msg_error *m, struct wire_buffer *out) {
    struct sentence sentence;
    struct msg_error cut = *m;
    cut.text = sentence_of(m->text, &sentence);
    return message_encode(MSG_ERROR, &error_schema, &cut, out);
}

int error_decode(struct msg_error *out, struct bytes frame, struct error *e) {
    int rc = message_decode(MSG_ERROR, &error_schema, frame, out, NULL, e);
    if (rc == 0 && out->code >= 0)
        rc = error_set(e, ERR_BAD_MESSAGE, "ERROR: code: must be negative");
    return rc;
}
