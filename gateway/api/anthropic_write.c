/* anthropic_write.c - the message around an answer's blocks, whole or as events, and errors. */
#include <string.h>

#include "gateway/api/anthropic.h"

/* ---- the message ---- */

static const char *model_of(const struct reply *reply) {
    return reply->done != NULL && reply->done->model[0] != '\0' ? reply->done->model : reply->model;
}

/* The sequence that ended the answer, or NULL. */
static const char *matched_stop(const struct reply *reply) {
    const struct anthropic_own *own = reply->own;
    const struct quire_event *done = reply->done;
    if (done->finish != QUIRE_FINISH_STOP)
        return NULL;
    size_t n = json_array_size(own->stops), at = n == 1 ? 0 : n;
    if (done->stop >= 0)
        at = (size_t)done->stop;
    return json_string_value(json_array_get(own->stops, at));
}

/* A worker ends an answer early when the model's context is full, also as one of full length. */
static const char *stop_reason(const struct reply *reply) {
    const struct anthropic_own *own = reply->own;
    switch (reply->done->finish) {
    case QUIRE_FINISH_LENGTH:
        return reply->done->usage.answer_tokens < reply->max_tokens
                   ? "model_context_window_exceeded"
                   : "max_tokens";
    case QUIRE_FINISH_STOP:
        return "stop_sequence";
    case QUIRE_FINISH_END:
        break;
    }
    return own->calls > 0 ? "tool_use" : "end_turn";
}

/* Zeros while nothing is known. */
static json_t *usage_json(const struct reply *reply) {
    static const struct quire_usage nothing;
    const struct anthropic_own *own = reply->own;
    const struct quire_usage *u = reply->done != NULL ? &reply->done->usage : &nothing;
    uint32_t reused =
        u->reused_positions < u->prompt_positions ? u->reused_positions : u->prompt_positions;
    json_int_t computed = u->prompt_positions - reused;
    return json_pack("{s:I,s:I,s:I,s:I,s:n,s:n}", "input_tokens", own->cached ? 0 : computed,
                     "cache_creation_input_tokens", own->cached ? computed : 0,
                     "cache_read_input_tokens", (json_int_t)reused, "output_tokens",
                     (json_int_t)u->answer_tokens, "output_tokens_details", "server_tool_use");
}

/* A message's usage says a little more than that of message_delta. */
static json_t *message_usage(const struct reply *reply) {
    json_t *usage = usage_json(reply);
    static const char *const unknown[] = {"cache_creation", "inference_geo", "service_tier",
                                          "speed"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        (void)json_object_set_new(usage, unknown[i], json_null());
    return usage;
}

static json_t *message_json(const struct reply *reply, json_t *content) {
    char id[64];
    bool done = reply->done != NULL;
    (void)snprintf(id, sizeof id, "msg_%s", reply->id);
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s?,s:s?,s:n,s:n,s:n,s:o}", "id", id, "type", "message",
                     "role", "assistant", "model", model_of(reply), "content", content,
                     "stop_reason", done ? stop_reason(reply) : NULL, "stop_sequence",
                     done ? matched_stop(reply) : NULL, "stop_details", "container", "diagnostics",
                     "usage", message_usage(reply));
}

static void add_details(const struct reply *reply, json_t *object) {
    if (reply->details && reply->details_object != NULL)
        (void)json_object_set(object, "quire", reply->details_object);
}

void anthropic_whole(struct reply *reply, struct text *body) {
    struct anthropic_own *own = reply->own;
    own->content = json_array();
    if (reply->answer.size > 0)
        anthropic_feed(reply, reply->answer.data, reply->answer.size, NULL);
    anthropic_finish(reply, NULL);
    json_t *message = own->failed ? NULL : message_json(reply, json_incref(own->content));
    if (message != NULL)
        add_details(reply, message);
    text_json(body, message);
}

void anthropic_begin(struct reply *reply, struct text *events) {
    text_event(events, "message_start",
               json_pack("{s:s,s:o}", "type", "message_start", "message",
                         message_json(reply, json_array())));
    anthropic_ping(reply, events);
}

void anthropic_end(struct reply *reply, struct text *events) {
    anthropic_finish(reply, events);
    json_t *delta =
        json_pack("{s:s,s:{s:s,s:s?,s:n,s:n},s:o}", "type", "message_delta", "delta", "stop_reason",
                  stop_reason(reply), "stop_sequence", matched_stop(reply), "stop_details",
                  "container", "usage", usage_json(reply));
    if (delta != NULL)
        add_details(reply, delta);
    text_event(events, "message_delta", delta);
    text_event(events, "message_stop", json_pack("{s:s}", "type", "message_stop"));
}

void anthropic_ping(struct reply *reply, struct text *events) {
    (void)reply;
    text_event(events, "ping", json_pack("{s:s}", "type", "ping"));
}

/* ---- errors ---- */

static const char *error_type(const struct fault *fault) {
    switch (fault->status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 409:
        return "conflict_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 408:
    case 504:
        return "timeout_error";
    case 503:
        return "overloaded_error";
    default:
        return fault->status >= 500 ? "api_error" : "invalid_request_error";
    }
}

/* Names the field before the sentence, unless the sentence begins with it. */
static json_t *error_json(const struct fault *fault, json_t *request_id) {
    size_t n = strlen(fault->param);
    char text[sizeof fault->text + sizeof fault->param + 4];
    bool named = n > 0 && strncmp(fault->text, fault->param, n) != 0;
    (void)snprintf(text, sizeof text, "%s%s%s", named ? fault->param : "", named ? ": " : "",
                   fault->text);
    return json_pack("{s:s,s:{s:s,s:s},s:o}", "type", "error", "error", "type", error_type(fault),
                     "message", text, "request_id", request_id);
}

void anthropic_broken(struct reply *reply, const struct fault *fault, struct text *events) {
    text_event(events, "error", error_json(fault, json_string(reply->id)));
}

void anthropic_fault(const struct fault *fault, struct text *body) {
    text_json(body, error_json(fault, json_null()));
}
