/* message_request.c - REQUEST: the schema says what each key may hold, request_check what they may
 * hold together (at least one message, pictures that exist, bounds over the whole request). */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message_request.h"

const char *const role_names[ROLE_NAMES] = {"system", "user", "assistant", "raw"};
static const char *const detail_names[] = {"high", "low"};

/* ---- schema ---- */

static const struct field part_fields[] = {
    {FIELD_HEAD("text", TYPE_TEXT, struct request_part, text, sizeof(struct bytes)),
     .max = LIMIT_HEADER_BYTES, .gate = GATE_ENUM, .gate_value = PART_TEXT,
     .gate_offset = FIELD_AT(struct request_part, kind, sizeof(int))},
    {FIELD_HEAD("picture", TYPE_U32, struct request_part, picture, 4), .max = LIMIT_PICTURES - 1,
     .gate = GATE_ENUM, .gate_value = PART_PICTURE,
     .gate_offset = FIELD_AT(struct request_part, kind, sizeof(int))},
    FIELD_U32("max_pixels", struct request_part, max_pixels, 0, UINT32_MAX, 0),
    FIELD_ENUM("detail", struct request_part, detail, detail_names, DETAIL_HIGH),
};
static const struct schema part_schema =
    SCHEMA("a part", part_fields, struct request_part, ERR_BAD_REQUEST, 0);

static const struct list part_list = {&part_schema, sizeof(struct request_part), LIMIT_PARTS, 0};

static const struct field message_fields[] = {
    FIELD_NEED_ENUM("role", struct request_message, role, role_names),
    FIELD_LIST("parts", struct request_message, parts, n_parts, &part_list),
};
static const struct schema message_schema =
    SCHEMA("a message", message_fields, struct request_message, ERR_BAD_REQUEST, 1);

static const struct field sampling_fields[] = {
    FIELD_F32("temperature", struct sampling_options, temperature, 0, 10, 0.8F),
    FIELD_I32("top_k", struct sampling_options, top_k, 0, INT32_MAX, 40),
    FIELD_F32("top_p", struct sampling_options, top_p, 0, 1, 0.95F),
    FIELD_F32("min_p", struct sampling_options, min_p, 0, 1, 0.05F),
    FIELD_F32("repeat_penalty", struct sampling_options, repeat_penalty, FLT_MIN, FLT_MAX, 1),
    FIELD_F32("presence_penalty", struct sampling_options, presence_penalty, -10, 10, 0),
    FIELD_F32("frequency_penalty", struct sampling_options, frequency_penalty, -10, 10, 0),
    FIELD_I32("repeat_last_n", struct sampling_options, repeat_last_n, 0, 4096, 64),
    {FIELD_HEAD("seed", TYPE_U64, struct sampling_options, seed, 8), .max = UINT64_MAX,
     .gate = GATE_BOOL, .gate_offset = FIELD_AT(struct sampling_options, has_seed, 1)},
};
static const struct schema sampling_schema =
    SCHEMA("sampling", sampling_fields, struct sampling_options, ERR_BAD_REQUEST, 0);

static const struct list stop_list = {NULL, sizeof(struct bytes), LIMIT_STOPS, LIMIT_STOP_BYTES};
static const struct list message_list = {&message_schema, sizeof(struct request_message),
                                         LIMIT_MESSAGES, 0};

static const struct field request_fields[] = {
    FIELD_ID("id", struct request, id),
    FIELD_U32("deadline_ms", struct request, deadline_ms, 1, LIMIT_DEADLINE_MS, LIMIT_DEADLINE_MS),
    FIELD_TEXT("tenant", struct request, tenant, 0, LIMIT_TENANT_BYTES),
    FIELD_TEXT("model", struct request, model, 0, LIMIT_MODEL_BYTES),
    FIELD_MAP("sampling", struct request, sampling, &sampling_schema),
    FIELD_U32("max_tokens", struct request, max_tokens, 1, LIMIT_MAX_TOKENS, 512),
    FIELD_U32("logprobs", struct request, logprobs, 0, LIMIT_LOGPROBS, 0),
    FIELD_LIST("stop", struct request, stops, n_stops, &stop_list),
    FIELD_TEXT("schema", struct request, schema, 0, LIMIT_SCHEMA_BYTES),
    FIELD_BOOL("count_only", struct request, count_only, false),
    FIELD_U32("priority", struct request, priority, 0, LIMIT_PRIORITY, PRIORITY_NORMAL),
    FIELD_LIST("messages", struct request, messages, n_messages, &message_list),
};

/* Each list is rounded up to 16 bytes, hence the 16 per list. */
#define REQUEST_BLOCK_MAX                                                                          \
    (LIMIT_STOPS * sizeof(struct bytes) + LIMIT_PARTS * sizeof(struct request_part) +              \
     LIMIT_MESSAGES * (sizeof(struct request_message) + 16) + 32)
static const struct schema request_schema =
    SCHEMA("REQUEST", request_fields, struct request, ERR_BAD_REQUEST, REQUEST_BLOCK_MAX);

/* ---- what the parts make together ---- */

struct tally {
    size_t parts, pictures;
    uint64_t named; /* bit i: some part shows frame i */
};
_Static_assert(LIMIT_PICTURES <= 64, "struct tally holds one bit per picture frame");

static int check_part(const struct request_part *part, size_t n_frames, struct tally *tally,
                      struct error *e) {
    tally->parts++;
    if (part->kind == PART_TEXT && (part->max_pixels != 0 || part->detail != DETAIL_HIGH))
        return error_set(e, ERR_BAD_REQUEST, "is text; max_pixels and detail are a picture's");
    if (part->kind == PART_TEXT)
        return 0;
    if (part->kind != PART_PICTURE)
        return error_set(e, ERR_BAD_REQUEST, "has neither text nor picture");
    if (part->picture >= n_frames)
        return error_set(e, ERR_BAD_REQUEST, "shows picture %u, but %zu picture frames followed",
                         part->picture, n_frames);
    tally->pictures++;
    tally->named |= UINT64_C(1) << part->picture;
    return 0;
}

static int check_message(const struct request_message *message, size_t n_frames,
                         struct tally *tally, struct error *e) {
    if (message->n_parts == 0)
        return error_set(e, ERR_BAD_REQUEST, "has no parts");
    for (size_t i = 0; i < message->n_parts; i++) {
        int rc = check_part(&message->parts[i], n_frames, tally, e);
        if (rc != 0) {
            error_prefix(e, "part %zu", i);
            return rc;
        }
    }
    return 0;
}

/* A raw prompt is the whole request: there is no template that could join it to anything. */
static int check_raw(const struct request *r, size_t message, struct error *e) {
    const struct request_message *m = &r->messages[message];
    if (m->role != ROLE_RAW)
        return 0;
    if (r->n_messages != 1)
        return error_set(e, ERR_BAD_REQUEST, "is raw; a raw message must be the only one");
    for (size_t i = 0; i < m->n_parts; i++)
        if (m->parts[i].kind != PART_TEXT)
            return error_set(e, ERR_BAD_REQUEST, "is raw and part %zu a picture; raw is text only",
                             i);
    return 0;
}

static int check_totals(const struct tally *tally, size_t n_frames, struct error *e) {
    if (tally->parts > LIMIT_PARTS)
        return error_set(e, ERR_LIMIT, "has %zu parts, %d are allowed", tally->parts, LIMIT_PARTS);
    if (tally->pictures > LIMIT_PICTURES)
        return error_set(e, ERR_LIMIT, "shows %zu pictures, %d are allowed", tally->pictures,
                         LIMIT_PICTURES);
    uint64_t all = n_frames == 64 ? UINT64_MAX : (UINT64_C(1) << n_frames) - 1;
    if (tally->named != all)
        return error_set(e, ERR_BAD_REQUEST, "a picture frame followed that no part shows");
    return 0;
}

static int request_check(struct request *r, size_t n_frames, struct error *e) {
    struct tally tally = {0};
    if (r->n_messages == 0)
        return error_set(e, ERR_BAD_REQUEST, "has no messages");
    for (size_t i = 0; i < r->n_messages; i++) {
        int rc = check_message(&r->messages[i], n_frames, &tally, e);
        if (rc == 0)
            rc = check_raw(r, i, e);
        if (rc != 0) {
            error_prefix(e, "message %zu", i);
            return rc;
        }
    }
    r->n_pictures = (uint32_t)n_frames;
    return check_totals(&tally, n_frames, e);
}

/* ---- promises of message.h ---- */

void request_init(struct request *r) {
    schema_defaults(&request_schema, r);
}

void request_clear(struct request *r) {
    free(r->block);
    memset(r, 0, sizeof *r);
}

int request_encode(const struct request *r, struct wire_buffer *out) {
    return message_encode(MSG_REQUEST, &request_schema, r, out);
}

int request_decode(struct request *out, struct bytes frame, size_t n_picture_frames,
                   struct error *e) {
    if (n_picture_frames > LIMIT_PICTURES) {
        memset(out, 0, sizeof *out);
        return error_set(e, ERR_LIMIT, "REQUEST: %zu picture frames followed, %d are allowed",
                         n_picture_frames, LIMIT_PICTURES);
    }
    int rc = message_decode(MSG_REQUEST, &request_schema, frame, out, &out->block, e);
    if (rc != 0)
        return rc;
    rc = request_check(out, n_picture_frames, e);
    if (rc != 0) {
        error_prefix(e, "REQUEST");
        request_clear(out);
    }
    return rc;
}
