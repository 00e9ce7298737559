/* openai_responses.c - POST /v1/responses.
 *
 * Nothing is stored: every request brings its whole conversation, and what refers to an earlier
 * response is refused. `store` itself is accepted, since clients send it whatever they need. */
#include "gateway/api/openai_responses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define ECHO_BYTES ((size_t)1 << 20) /* of what an answer repeats of its request */

/* ---- the body ---- */

static const struct openai_refusal refusals[] = {
    {"previous_response_id", WHEN_SET,
     "no responses are stored here; send the whole conversation as input"},
    {"conversation", WHEN_SET,
     "no conversations are stored here; send the whole conversation as input"},
    {"background", WHEN_TRUE, "responses are not made in the background here; wait or stream"},
    {"prompt", WHEN_SET, "there are no stored prompts here; send input and instructions"},
    {NULL, WHEN_SET, NULL},
};

/* Of "include", what concerns this: whether tokens' probabilities are wanted. */
static int read_include(struct json_read *r, const json_t *body, bool *logprobs) {
    const json_t *list = NULL, *word;
    size_t i;
    if (json_read_array(r, body, "include", 64, &list) < 0)
        return -1;
    json_array_foreach(list, i, word) {
        const char *value = json_string_value(word);
        if (value != NULL && strcmp(value, "message.output_text.logprobs") == 0)
            *logprobs = true;
    }
    return 0;
}

static int read_options(struct json_read *r, const json_t *body, struct reply *reply) {
    struct responses *s = reply->own;
    struct quire_options *o = &reply->options;
    if (json_read_u32(r, body, "max_output_tokens", 1, LIMIT_MAX_TOKENS, &o->max_tokens) < 0 ||
        json_read_u32(r, body, "top_logprobs", 0, LIMIT_LOGPROBS, &s->top_logprobs) < 0 ||
        read_include(r, body, &reply->logprobs) != 0)
        return -1;
    reply->logprobs = reply->logprobs || s->top_logprobs > 0;
    o->logprobs = reply->logprobs ? (s->top_logprobs > 0 ? s->top_logprobs : 1) : 0;
    reply->max_tokens = o->max_tokens;
    return openai_read_sampling(r, body, o);
}

static const struct tools_sink sink;

static int read_tools(struct json_read *r, const json_t *body, const struct dialect_world *world,
                      struct reply *reply, struct tools *tools, enum tools_mode *mode) {
    struct responses *s = reply->own;
    bool parallel = true, bound = false;
    const json_t *text = NULL;
    if (openai_read_tools(r, body, NULL, tools) != 0 ||
        tools_mode(tools, world->tools, r, "tool_choice", mode) != 0 ||
        json_read_bool(r, body, "parallel_tool_calls", &parallel) < 0 ||
        json_read_object(r, body, "text", &text) < 0)
        return -1;
    size_t mark = json_read_enter(r, "text");
    if (text != NULL && openai_read_format(r, text, "format", NULL, reply->request, &bound) < 0)
        return -1;
    if (*mode != TOOLS_OFF && bound)
        return json_read_refuse(r, "format",
                                "an answer that may call tools can't be held to a "
                                "format too");
    json_read_leave(r, mark);
    if (*mode == TOOLS_OFF)
        return 0;
    s->parser = tools_parser_open(*mode, !parallel, &sink);
    if (s->parser == NULL)
        return json_read_added(r, ERR_NOMEM, "");
    return tools_constrain(tools, *mode, r, reply->request);
}

/* A number as it was meant: 0.8 and not the float next to it. */
static json_t *plain(float value) {
    return json_real(round((double)value * 1e6) / 1e6);
}

static void echo(json_t *out, const json_t *body, const char *key, json_t *otherwise) {
    json_t *value = json_object_get(body, key);
    if (value != NULL && !json_is_null(value))
        (void)json_object_set(out, key, value);
    else
        (void)json_object_set(out, key, otherwise);
    json_decref(otherwise);
}

static json_t *make_echo(const json_t *body, const struct quire_options *o) {
    json_t *e = json_object();
    echo(e, body, "instructions", json_null());
    echo(e, body, "max_output_tokens", json_null());
    echo(e, body, "max_tool_calls", json_null());
    echo(e, body, "metadata", json_object());
    echo(e, body, "parallel_tool_calls", json_true());
    echo(e, body, "prompt_cache_key", json_null());
    echo(e, body, "reasoning", json_pack("{s:n,s:n}", "effort", "summary"));
    echo(e, body, "safety_identifier", json_null());
    echo(e, body, "text", json_pack("{s:{s:s}}", "format", "type", "text"));
    echo(e, body, "tool_choice", json_string("auto"));
    echo(e, body, "tools", json_array());
    echo(e, body, "top_logprobs", json_integer(0));
    (void)json_object_set_new(e, "temperature", plain(o->temperature));
    (void)json_object_set_new(e, "top_p", plain(o->top_p));
    return e;
}

/* What is repeated is kept as long as the answer takes, beyond the bound for bodies. */
static int check_echo(const struct json_read *r, const json_t *echo) {
    char limit[96];
    if (json_dumpb(echo, NULL, 0, JSON_COMPACT) <= ECHO_BYTES)
        return 0;
    (void)snprintf(limit, sizeof limit,
                   "instructions, tools, metadata and text may have %zu bytes together",
                   ECHO_BYTES);
    return json_read_added(r, ERR_LIMIT, limit);
}

static void responses_close(struct reply *reply) {
    struct responses *s = reply->own;
    if (s == NULL)
        return;
    output_close(&s->output);
    tools_parser_close(s->parser);
    json_decref(s->echo);
    free(s);
    reply->own = NULL;
}

static int responses_read(struct reply *reply, const json_t *body,
                          const struct dialect_world *world, struct fault *fault) {
    struct json_read r;
    struct tools tools;
    enum tools_mode mode;
    json_read_init(&r, fault);
    if (openai_open(reply, &r, body, world, sizeof(struct responses)) != 0)
        return -1;
    struct responses *s = reply->own;
    if (openai_refuse(&r, body, refusals) == 0 && read_options(&r, body, reply) == 0 &&
        read_tools(&r, body, world, reply, &tools, &mode) == 0 &&
        openai_responses_input(&r, body, &tools, world->tools, mode, reply->request) == 0) {
        s->echo = make_echo(body, &reply->options);
        if (s->echo == NULL || output_open(&s->output, reply, reply->logprobs) != 0)
            (void)json_read_added(&r, ERR_NOMEM, "");
        else if (check_echo(&r, s->echo) == 0)
            return 0;
    }
    responses_close(reply);
    return openai_abandon(reply);
}

/* ---- the response, in its states ---- */

static json_t *usage_of(const struct quire_usage *u) {
    json_int_t prompt = u->prompt_positions, answer = u->answer_tokens;
    return json_pack("{s:I,s:{s:I},s:I,s:{s:i},s:I}", "input_tokens", prompt,
                     "input_tokens_details", "cached_tokens", (json_int_t)u->reused_positions,
                     "output_tokens", answer, "output_tokens_details", "reasoning_tokens", 0,
                     "total_tokens", prompt + answer);
}

static json_t *response_of(const struct reply *reply, const char *status, const char *model) {
    const struct responses *s = reply->own;
    char id[OPENAI_ID_BYTES];
    openai_id(reply, openai_responses.id_prefix, id);
    json_t *response =
        json_pack("{s:s,s:s,s:I,s:s,s:s,s:b,s:n,s:n,s:n,s:b,s:s,s:s,s:n,s:n,s:o}", "id", id,
                  "object", "response", "created_at", (json_int_t)reply->created_s, "status",
                  status, "model", model, "background", 0, "error", "incomplete_details",
                  "previous_response_id", "store", 0, "truncation", "disabled", "service_tier",
                  "default", "usage", "user", "output", json_copy(s->output.items));
    if (response != NULL)
        (void)json_object_update(response, s->echo);
    return response;
}

static json_t *final_response(const struct reply *reply) {
    bool cut = reply->done->finish == QUIRE_FINISH_LENGTH;
    json_t *response =
        response_of(reply, cut ? "incomplete" : "completed", openai_model_name(reply));
    if (response == NULL)
        return NULL;
    if (cut)
        (void)json_object_set_new(response, "incomplete_details",
                                  json_pack("{s:s}", "reason", "max_output_tokens"));
    (void)json_object_set_new(response, "usage", usage_of(&reply->done->usage));
    return response;
}

/* ---- what comes ---- */

static struct output *output_of(void *arg) {
    struct responses *s = ((struct reply *)arg)->own;
    return &s->output;
}

static void found_text(void *arg, const char *data, size_t bytes) {
    output_text(output_of(arg), data, bytes);
}

static void found_call(void *arg, size_t index, const char *name) {
    output_call(output_of(arg), index, name);
}

static void found_arguments(void *arg, size_t index, const char *data, size_t bytes) {
    (void)index;
    output_arguments(output_of(arg), data, bytes);
}

static void found_call_end(void *arg, size_t index) {
    (void)index;
    output_item_end(output_of(arg));
}

static const struct tools_sink sink = {found_text, found_call, found_arguments, found_call_end};

static void take(struct reply *reply, const char *data, size_t bytes) {
    struct responses *s = reply->own;
    if (s->parser != NULL)
        tools_parser_feed(s->parser, data, bytes, reply);
    else if (bytes > 0)
        output_text(&s->output, data, bytes);
}

/* The answer is complete: closes what is open. An answer has at least one item, if an empty one. */
static void finish(struct reply *reply, struct text *out) {
    struct responses *s = reply->own;
    struct output *o = &s->output;
    o->ending = true;
    if (s->parser != NULL)
        tools_parser_finish(s->parser, reply);
    if (o->open == OPEN_NOTHING && json_array_size(o->items) == 0)
        output_text(o, "", 0);
    output_item_end(o);
    if (o->words.failed || (s->parser != NULL && tools_parser_failed(s->parser)))
        out->failed = true;
}

static void responses_whole(struct reply *reply, struct text *body) {
    struct responses *s = reply->own;
    if (reply->logprobs)
        output_logprobs(&s->output, openai_logprobs_all(reply->tokens, s->top_logprobs));
    take(reply, reply->answer.data, reply->answer.size);
    finish(reply, body);
    json_t *response = final_response(reply);
    openai_add_details(reply, response);
    text_json(body, response);
}

/* ---- streamed ---- */

static void responses_begin(struct reply *reply, struct text *events) {
    struct output *o = output_of(reply);
    o->events = events;
    output_event(o, "response.created",
                 json_pack("{s:o}", "response", response_of(reply, "in_progress", reply->model)));
    output_event(o, "response.in_progress",
                 json_pack("{s:o}", "response", response_of(reply, "in_progress", reply->model)));
}

static void responses_piece(struct reply *reply, const struct quire_event *event,
                            struct text *events) {
    struct responses *s = reply->own;
    s->output.events = events;
    if (reply->logprobs && event->tokens != NULL)
        output_logprobs(&s->output, openai_logprobs_event(event, s->top_logprobs));
    take(reply, event->text, event->text_bytes);
}

static void responses_end(struct reply *reply, struct text *events) {
    struct output *o = output_of(reply);
    o->events = events;
    finish(reply, events);
    bool cut = reply->done->finish == QUIRE_FINISH_LENGTH;
    json_t *event = json_pack("{s:o}", "response", final_response(reply));
    openai_add_details(reply, event);
    output_event(o, cut ? "response.incomplete" : "response.completed", event);
}

static const char *error_code_of(const struct fault *f) {
    if (f->code == ERR_BUSY)
        return "rate_limit_exceeded";
    return f->code == ERR_BAD_PICTURE ? "invalid_image" : "server_error";
}

/* The response's own end as a failed one, for who follows the events, and then an error event, at
 * which the SDKs throw. */
static void responses_broken(struct reply *reply, const struct fault *fault, struct text *events) {
    struct output *o = output_of(reply);
    o->events = events;
    json_t *response = response_of(reply, "failed", reply->model);
    if (response != NULL)
        (void)json_object_set_new(
            response, "error",
            json_pack("{s:s,s:s}", "code", error_code_of(fault), "message", fault->text));
    output_event(o, "response.failed", json_pack("{s:o}", "response", response));
    json_t *error = openai_error(fault), *event = json_pack("{s:O?}", "error", error);
    if (event != NULL)
        (void)json_object_update_missing(event, error);
    json_decref(error);
    output_event(o, "error", event);
}

const struct dialect openai_responses = {
    .name = "openai-responses",
    .id_prefix = "resp_",
    .read = responses_read,
    .whole = responses_whole,
    .begin = responses_begin,
    .piece = responses_piece,
    .end = responses_end,
    .broken = responses_broken,
    .ping = openai_ping,
    .fault = openai_fault,
    .close = responses_close,
};
