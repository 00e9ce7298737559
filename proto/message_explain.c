/* message_explain.c - what OPS_REPLY says to explain and losses. */
#include "proto/message_explain.h"

#include "proto/message_request.h"

const char *const policy_names[POLICY_NAMES] = {"earliest", "least-loaded", "round-robin"};
static const char *const kind_names[] = {"text", "picture"};

_Static_assert(LIMIT_WORKERS <= 256, "an owner is one byte");

static const struct field segment_fields[] = {
    FIELD_NEED_ENUM("kind", struct explained_segment, kind, kind_names),
    FIELD_NEED_ENUM("role", struct explained_segment, role, role_names),
    FIELD_U32("bytes", struct explained_segment, bytes, 0, UINT32_MAX, 0),
    FIELD_U32("positions", struct explained_segment, positions, 0, UINT32_MAX, 0),
    FIELD_BOOL("known", struct explained_segment, known, false),
    FIELD_ID("link", struct explained_segment, link),
    FIELD_BIN("owners", struct explained_segment, owners, LIMIT_WORKERS, 1),
};
static const struct schema segment_schema =
    SCHEMA("a segment", segment_fields, struct explained_segment, ERR_BAD_MESSAGE, 0);
static const struct list segment_list = {&segment_schema, sizeof(struct explained_segment),
                                         LIMIT_EXPLAINED_SEGMENTS, 0};

static const struct field worker_fields[] = {
    FIELD_NEED_TEXT("name", struct explained_worker, name, 1, LIMIT_NAME_BYTES),
    FIELD_BOOL("fits", struct explained_worker, fits, false),
    FIELD_BOOL("credit", struct explained_worker, credit, false),
    FIELD_BOOL("chosen", struct explained_worker, chosen, false),
    FIELD_U32("held_segments", struct explained_worker, held_segments, 0, UINT32_MAX, 0),
    FIELD_U32("held_positions", struct explained_worker, held_positions, 0, UINT32_MAX, 0),
    FIELD_U32("missing_pictures", struct explained_worker, missing_pictures, 0, UINT32_MAX, 0),
    FIELD_U64("wait_us", struct explained_worker, wait_us),
    FIELD_U64("encode_us", struct explained_worker, encode_us),
    FIELD_U64("prefill_us", struct explained_worker, prefill_us),
    FIELD_U64("total_us", struct explained_worker, total_us),
};
static const struct schema worker_schema =
    SCHEMA("a worker", worker_fields, struct explained_worker, ERR_BAD_MESSAGE, 0);
static const struct list worker_list = {&worker_schema, sizeof(struct explained_worker),
                                        LIMIT_WORKERS, 0};

static const struct field explanation_fields[] = {
    FIELD_BOOL("found", struct explanation, found, false),
    FIELD_BOOL("past", struct explanation, past, false),
    FIELD_MAYBE_ID("id", struct explanation, id),
    FIELD_ENUM("policy", struct explanation, policy, policy_names, POLICY_EARLIEST),
    FIELD_U32("prompt_positions", struct explanation, prompt_positions, 0, UINT32_MAX, 0),
    FIELD_U64("predicted_us", struct explanation, predicted_us),
    FIELD_U64("first_token_us", struct explanation, first_token_us),
    FIELD_LIST("segments", struct explanation, segments, n_segments, &segment_list),
    FIELD_LIST("workers", struct explanation, workers, n_workers, &worker_list),
};
const struct schema explanation_schema =
    SCHEMA("an explanation", explanation_fields, struct explanation, ERR_BAD_MESSAGE,
           EXPLANATION_BLOCK_MAX);

static const struct field loss_fields[] = {
    FIELD_U32("in_flight", struct loss, in_flight, 0, UINT32_MAX, 0),
    FIELD_U64("links", struct loss, links),
    FIELD_U64("positions", struct loss, positions),
    FIELD_U64("shared_links", struct loss, shared_links),
    FIELD_U64("pictures", struct loss, pictures),
};
const struct schema loss_schema = SCHEMA("a loss", loss_fields, struct loss, ERR_BAD_MESSAGE, 0);

int explanation_check(const struct explanation *x, struct error *e) {
    for (size_t i = 0; i < x->n_segments; i++) {
        const struct bytes *owners = &x->segments[i].owners;
        for (size_t k = 0; k < owners->size; k++)
            if (owners->data[k] >= x->n_workers)
                return error_set(e, ERR_BAD_MESSAGE,
                                 "explanation: segments: entry %zu: owner %u of %zu workers", i,
                                 owners->data[k], x->n_workers);
    }
    return 0;
}
