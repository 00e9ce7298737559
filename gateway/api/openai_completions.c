/* openai_completions.c - POST /v1/completions: a prompt as it is, no template around it. */
#include <stdlib.h>
#include <string.h>

#include "gateway/api/openai.h"
#include "proto/limits.h"

#define DEFAULT_TOKENS 16 /* the API's own default */
#define TOP_MAX 5

struct completion {
    bool echo;
    uint32_t top_logprobs;
    size_t offset;    /* of the next token in the text */
    const char *text; /* of the prompt; borrowed from `prompt` */
    size_t bytes;
    json_t *prompt;         /* a reference into the body */
    struct text head, tail; /* around a chunk's text */
};

static const struct openai_refusal refusals[] = {
    {"n", WHEN_NOT_ONE, "a request has one answer: n can only be 1"},
    {"best_of", WHEN_NOT_ONE, "a request has one answer: best_of can only be 1"},
    {"suffix", WHEN_SET, "text is not filled in before a suffix here"},
    {"logit_bias", WHEN_FILLED, "logit_bias is not done here"},
    {NULL, WHEN_SET, NULL},
};

static int read_prompt(struct json_read *r, const json_t *body, struct reply *reply) {
    struct completion *c = reply->own;
    json_t *prompt = json_object_get(body, "prompt");
    if (json_array_size(prompt) == 1)
        prompt = json_array_get(prompt, 0);
    if (!json_is_string(prompt) || json_string_length(prompt) == 0)
        return json_read_refuse(r, "prompt",
                                "prompt must be a string, not empty, or an array of one such "
                                "string");
    c->prompt = json_incref(prompt);
    c->text = json_string_value(prompt);
    c->bytes = json_string_length(prompt);
    (void)json_read_enter(r, "prompt");
    if (openai_add_message(r, reply->request, QUIRE_RAW) != 0 ||
        openai_add_text(r, reply->request, c->text, c->bytes) != 0)
        return -1;
    json_read_leave(r, 0);
    return 0;
}

static int read_options(struct json_read *r, const json_t *body, struct reply *reply) {
    struct completion *c = reply->own;
    struct quire_options *o = &reply->options;
    const json_t *stream = NULL;
    o->max_tokens = DEFAULT_TOKENS;
    if (json_read_u32(r, body, "max_tokens", 1, LIMIT_MAX_TOKENS, &o->max_tokens) < 0 ||
        json_read_bool(r, body, "echo", &c->echo) < 0 ||
        json_read_object(r, body, "stream_options", &stream) < 0)
        return -1;
    reply->max_tokens = o->max_tokens;
    int logprobs = json_read_u32(r, body, "logprobs", 0, TOP_MAX, &c->top_logprobs);
    if (logprobs < 0)
        return -1;
    reply->logprobs = logprobs > 0;
    o->logprobs = reply->logprobs ? (c->top_logprobs > 0 ? c->top_logprobs : 1) : 0;
    if (reply->logprobs && c->echo)
        return json_read_refuse(r, "logprobs",
                                "the prompt's tokens have no probabilities here: "
                                "logprobs can't be combined with echo");
    size_t mark = json_read_enter(r, "stream_options");
    if (stream != NULL && json_read_bool(r, stream, "include_usage", &reply->usage_wanted) < 0)
        return -1;
    json_read_leave(r, mark);
    return openai_read_sampling(r, body, o);
}

static void completion_close(struct reply *reply) {
    struct completion *c = reply->own;
    if (c == NULL)
        return;
    json_decref(c->prompt);
    text_close(&c->head);
    text_close(&c->tail);
    free(c);
    reply->own = NULL;
}

static int completion_read(struct reply *reply, const json_t *body,
                           const struct dialect_world *world, struct fault *fault) {
    struct json_read r;
    json_read_init(&r, fault);
    if (openai_open(reply, &r, body, world, sizeof(struct completion)) != 0)
        return -1;
    struct completion *c = reply->own;
    text_init(&c->head, DIALECT_ANSWER_BYTES);
    text_init(&c->tail, DIALECT_ANSWER_BYTES);
    if (openai_refuse(&r, body, refusals) == 0 && read_options(&r, body, reply) == 0 &&
        openai_read_stop(&r, body, reply->request) == 0 && read_prompt(&r, body, reply) == 0)
        return 0;
    completion_close(reply);
    return openai_abandon(reply);
}

static const char *finish_of(const struct reply *reply) {
    return reply->done->finish == QUIRE_FINISH_LENGTH ? "length" : "stop";
}

static json_t *answer_of(const struct reply *reply, const char *model, json_t *choices) {
    char id[OPENAI_ID_BYTES];
    openai_id(reply, openai_completions.id_prefix, id);
    return json_pack("{s:s,s:s,s:I,s:s,s:s,s:o}", "id", id, "object", "text_completion", "created",
                     (json_int_t)reply->created_s, "model", model, "system_fingerprint",
                     OPENAI_FINGERPRINT, "choices", choices);
}

/* ---- streamed ---- */

static void chunk(struct completion *c, const char *data, size_t bytes, json_t *logprobs,
                  struct text *events) {
    text_add(events, c->head.data, c->head.size);
    json_write_string(events, data, bytes);
    json_write_raw(events, ",\"logprobs\":");
    text_json(events, logprobs != NULL ? logprobs : json_null());
    json_write_raw(events, ",\"finish_reason\":null}]");
    text_add(events, c->tail.data, c->tail.size);
}

static void completion_begin(struct reply *reply, struct text *events) {
    struct completion *c = reply->own;
    char id[OPENAI_ID_BYTES];
    openai_id(reply, openai_completions.id_prefix, id);
    text_print(&c->head,
               "data: {\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%lld,\"model\":",
               id, (long long)reply->created_s);
    json_write_string(&c->head, reply->model, strlen(reply->model));
    json_write_raw(&c->head, ",\"system_fingerprint\":\"" OPENAI_FINGERPRINT
                             "\",\"choices\":[{\"index\":0,\"text\":");
    if (reply->usage_wanted)
        json_write_raw(&c->tail, ",\"usage\":null");
    json_write_raw(&c->tail, "}\n\n");
    if (c->echo)
        chunk(c, c->text, c->bytes, NULL, events);
}

static void completion_piece(struct reply *reply, const struct quire_event *event,
                             struct text *events) {
    struct completion *c = reply->own;
    json_t *logprobs = NULL;
    if (reply->logprobs && event->tokens != NULL && event->n_tokens > 0) {
        json_t *entries = openai_logprobs_event(event, c->top_logprobs);
        logprobs = openai_logprobs_old(entries, c->top_logprobs, &c->offset);
        json_decref(entries);
    }
    if (event->text_bytes > 0 || logprobs != NULL)
        chunk(c, event->text, event->text_bytes, logprobs, events);
}

static void completion_end(struct reply *reply, struct text *events) {
    json_t *last = answer_of(reply, reply->model,
                             json_pack("[{s:i,s:s,s:n,s:s}]", "index", 0, "text", "", "logprobs",
                                       "finish_reason", finish_of(reply)));
    if (reply->usage_wanted)
        (void)json_object_set_new(last, "usage", json_null());
    else
        openai_add_details(reply, last);
    text_event(events, NULL, last);
    if (reply->usage_wanted) {
        json_t *usage = answer_of(reply, reply->model, json_array());
        (void)json_object_set_new(usage, "usage", openai_usage(&reply->done->usage));
        openai_add_details(reply, usage);
        text_event(events, NULL, usage);
    }
    json_write_raw(events, "data: [DONE]\n\n");
}

/* ---- in one piece ---- */

static void completion_whole(struct reply *reply, struct text *body) {
    struct completion *c = reply->own;
    struct text words;
    json_t *logprobs = json_null();
    text_init(&words, LIMIT_HEADER_BYTES + DIALECT_ANSWER_BYTES);
    text_add(&words, c->text, c->echo ? c->bytes : 0);
    text_add(&words, reply->answer.data, reply->answer.size);
    if (reply->logprobs) {
        json_t *entries = openai_logprobs_all(reply->tokens, c->top_logprobs);
        logprobs = openai_logprobs_old(entries, c->top_logprobs, &c->offset);
        json_decref(entries);
    }
    json_t *text = json_stringn(words.size > 0 ? words.data : "", words.size);
    json_t *answer = answer_of(reply, openai_model_name(reply),
                               json_pack("[{s:i,s:o,s:o,s:s}]", "index", 0, "text", text,
                                         "logprobs", logprobs, "finish_reason", finish_of(reply)));
    body->failed = body->failed || words.failed;
    text_close(&words);
    if (answer != NULL)
        (void)json_object_set_new(answer, "usage", openai_usage(&reply->done->usage));
    openai_add_details(reply, answer);
    text_json(body, answer);
}

const struct dialect openai_completions = {
    .name = "openai-completions",
    .id_prefix = "cmpl-",
    .read = completion_read,
    .whole = completion_whole,
    .begin = completion_begin,
    .piece = completion_piece,
    .end = completion_end,
    .broken = openai_broken,
    .ping = openai_ping,
    .fault = openai_fault,
    .close = completion_close,
};
