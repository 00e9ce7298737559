/* openai.c - errors, identities and usage as OpenAI's clients expect them. */
#include "gateway/api/openai.h"

#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

static const char *type_of(int status) {
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

/* The words that OpenAI's API has for what programs tell apart; else our own code's name. */
static const char *code_of(const struct fault *f) {
    if (f->status == 401)
        return "invalid_api_key";
    switch (f->code) {
    case ERR_UNKNOWN_MODEL:
        return "model_not_found";
    case ERR_TOO_LONG:
        return "context_length_exceeded";
    case ERR_BUSY:
        return "rate_limit_exceeded";
    default:
        return f->code == ERR_OK ? NULL : error_name(f->code);
    }
}

json_t *openai_error(const struct fault *f) {
    return json_pack("{s:s,s:s,s:s?,s:s?}", "message", f->text, "type", type_of(f->status), "param",
                     f->param[0] != '\0' ? f->param : NULL, "code", code_of(f));
}

void openai_fault(const struct fault *fault, struct text *body) {
    text_json(body, json_pack("{s:o}", "error", openai_error(fault)));
}

void openai_broken(struct reply *reply, const struct fault *fault, struct text *events) {
    (void)reply;
    text_event(events, NULL, json_pack("{s:o}", "error", openai_error(fault)));
}

void openai_ping(struct reply *reply, struct text *events) {
    (void)reply;
    json_write_raw(events, ": waiting\n\n");
}

/* ---- identities ---- */

void openai_id(const struct reply *reply, const char *prefix, char out[OPENAI_ID_BYTES]) {
    (void)snprintf(out, OPENAI_ID_BYTES, "%s%s", prefix, reply->id);
}

const char *openai_model_name(const struct reply *reply) {
    return reply->done != NULL && reply->done->model[0] != '\0' ? reply->done->model : reply->model;
}

/* ---- usage ---- */

json_t *openai_usage(const struct quire_usage *u) {
    json_int_t prompt = u->prompt_positions, answer = u->answer_tokens;
    return json_pack("{s:I,s:I,s:I,s:{s:I,s:i},s:{s:i,s:i,s:i,s:i}}", "prompt_tokens", prompt,
                     "completion_tokens", answer, "total_tokens", prompt + answer,
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u->reused_positions,
                     "audio_tokens", 0, "completion_tokens_details", "reasoning_tokens", 0,
                     "audio_tokens", 0, "accepted_prediction_tokens", 0,
                     "rejected_prediction_tokens", 0);
}

void openai_add_details(const struct reply *reply, json_t *object) {
    if (reply->details && reply->details_object != NULL && object != NULL)
        (void)json_object_set(object, "quire", reply->details_object);
}
