/* openai_chat.c - POST /v1/chat/completions.
 *
 * Chunks differ from each other in their delta alone, so what stands around it is written once,
 * when the stream begins; a token then costs three copies and the escaping of its text. With a tool
 * format the text goes through the parser of calls, streamed or not, so both say the same. */
#include "gateway/api/openai_chat.h"

#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

struct chat {
    struct tools_parser *parser; /* NULL: the answer is text */
    uint32_t top_logprobs;
    /* streamed: around a delta */
    struct text head, tail;
    struct text *events; /* where the parser's findings go now; NULL: into the next two */
    /* in one piece: */
    struct text words, arguments; /* arguments: of the call under way */
    json_t *calls;
};

/* ---- the body ---- */

static const struct openai_refusal refusals[] = {
    {"n", WHEN_NOT_ONE, "a request has one answer: n can only be 1"},
    {"audio", WHEN_SET, "answers are text; there is no audio here"},
    {"logit_bias", WHEN_FILLED, "logit_bias is not done here"},
    {"prediction", WHEN_SET, "predicted outputs are not done here"},
    {"web_search_options", WHEN_SET, "nothing is searched for on the web here"},
    {"functions", WHEN_SET, "functions is the old form; use tools"},
    {"function_call", WHEN_SET, "function_call is the old form; use tool_choice"},
    {NULL, WHEN_SET, NULL},
};

static int read_modalities(struct json_read *r, const json_t *body) {
    const json_t *list = NULL, *word;
    size_t i;
    if (json_read_array(r, body, "modalities", 16, &list) < 0)
        return -1;
    json_array_foreach(list, i, word) {
        if (!json_is_string(word) || strcmp(json_string_value(word), "text") != 0)
            return json_read_refuse(r, "modalities",
                                    "answers are text: modalities can only be "
                                    "[\"text\"]");
    }
    return 0;
}

static int read_options(struct json_read *r, const json_t *body, struct reply *reply) {
    struct chat *c = reply->own;
    struct quire_options *o = &reply->options;
    const json_t *stream = NULL;
    int rc = json_read_u32(r, body, "max_tokens", 1, LIMIT_MAX_TOKENS, &o->max_tokens);
    if (rc >= 0) /* the newer name wins */
        rc = json_read_u32(r, body, "max_completion_tokens", 1, LIMIT_MAX_TOKENS, &o->max_tokens);
    if (rc < 0 || json_read_bool(r, body, "logprobs", &reply->logprobs) < 0 ||
        json_read_u32(r, body, "top_logprobs", 0, LIMIT_LOGPROBS, &c->top_logprobs) < 0 ||
        json_read_object(r, body, "stream_options", &stream) < 0)
        return -1;
    if (c->top_logprobs > 0 && !reply->logprobs)
        return json_read_refuse(r, "top_logprobs", "top_logprobs needs logprobs to be true");
    o->logprobs = reply->logprobs ? (c->top_logprobs > 0 ? c->top_logprobs : 1) : 0;
    reply->max_tokens = o->max_tokens;
    size_t mark = json_read_enter(r, "stream_options");
    if (stream != NULL && json_read_bool(r, stream, "include_usage", &reply->usage_wanted) < 0)
        return -1;
    json_read_leave(r, mark);
    return openai_read_sampling(r, body, o);
}

static const struct tools_sink sink;

static int read_tools(struct json_read *r, const json_t *body, const struct dialect_world *world,
                      struct reply *reply, struct tools *tools, enum tools_mode *mode) {
    struct chat *c = reply->own;
    bool parallel = true, bound;
    if (openai_read_tools(r, body, "function", tools) != 0 ||
        tools_mode(tools, world->tools, r, "tool_choice", mode) != 0 ||
        json_read_bool(r, body, "parallel_tool_calls", &parallel) < 0 ||
        openai_read_format(r, body, "response_format", "json_schema", reply->request, &bound) < 0)
        return -1;
    if (*mode == TOOLS_OFF)
        return 0;
    if (bound)
        return json_read_refuse(r, "response_format",
                                "an answer that may call tools can't be held "
                                "to a response_format too");
    const json_t *stop = json_object_get(body, "stop");
    if (*mode == TOOLS_FORCED && (json_is_string(stop) || json_array_size(stop) > 0))
        return json_read_refuse(r, "stop", "a call can't end at a stop string");
    c->parser = tools_parser_open(*mode, !parallel, &sink);
    if (c->parser == NULL)
        return json_read_added(r, ERR_NOMEM, "");
    return tools_constrain(tools, *mode, r, reply->request);
}

static void chat_close(struct reply *reply) {
    struct chat *c = reply->own;
    if (c == NULL)
        return;
    tools_parser_close(c->parser);
    text_close(&c->head);
    text_close(&c->tail);
    text_close(&c->words);
    text_close(&c->arguments);
    json_decref(c->calls);
    free(c);
    reply->own = NULL;
}

static int chat_read(struct reply *reply, const json_t *body, const struct dialect_world *world,
                     struct fault *fault) {
    struct json_read r;
    struct tools tools;
    enum tools_mode mode;
    json_read_init(&r, fault);
    if (openai_open(reply, &r, body, world, sizeof(struct chat)) != 0)
        return -1;
    struct chat *c = reply->own;
    text_init(&c->head, DIALECT_ANSWER_BYTES);
    text_init(&c->tail, DIALECT_ANSWER_BYTES);
    text_init(&c->words, DIALECT_ANSWER_BYTES);
    text_init(&c->arguments, DIALECT_ANSWER_BYTES);
    if (openai_refuse(&r, body, refusals) == 0 && read_modalities(&r, body) == 0 &&
        read_options(&r, body, reply) == 0 && openai_read_stop(&r, body, reply->request) == 0 &&
        read_tools(&r, body, world, reply, &tools, &mode) == 0 &&
        openai_chat_messages(&r, body, &tools, world->tools, mode, reply->request) == 0)
        return 0;
    chat_close(reply);
    return openai_abandon(reply);
}

/* ---- chunks ---- */

static void write_head(struct reply *reply) {
    struct chat *c = reply->own;
    char id[OPENAI_ID_BYTES];
    openai_id(reply, openai_chat.id_prefix, id);
    text_print(&c->head,
               "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,"
               "\"model\":",
               id, (long long)reply->created_s);
    json_write_string(&c->head, reply->model, strlen(reply->model));
    json_write_raw(&c->head, ",\"system_fingerprint\":\"" OPENAI_FINGERPRINT "\",\"choices\":[");
    if (reply->usage_wanted)
        json_write_raw(&c->tail, ",\"usage\":null");
    json_write_raw(&c->tail, "}\n\n");
}

static void chunk_begin(struct chat *c) {
    text_add(c->events, c->head.data, c->head.size);
    json_write_raw(c->events, "{\"index\":0,\"delta\":{");
}

/* logprobs: taken; NULL: none. */
static void chunk_end(struct chat *c, json_t *logprobs) {
    json_write_raw(c->events, "},\"logprobs\":");
    if (logprobs != NULL)
        text_json(c->events, json_pack("{s:o,s:n}", "content", logprobs, "refusal"));
    else
        json_write_raw(c->events, "null");
    json_write_raw(c->events, ",\"finish_reason\":null}]");
    text_add(c->events, c->tail.data, c->tail.size);
}

static void chunk_content(struct chat *c, const char *data, size_t bytes, json_t *logprobs) {
    chunk_begin(c);
    json_write_raw(c->events, "\"content\":");
    json_write_string(c->events, data, bytes);
    chunk_end(c, logprobs);
}

/* ---- what the parser finds ---- */

static void found_text(void *arg, const char *data, size_t bytes) {
    struct chat *c = ((struct reply *)arg)->own;
    if (c->events != NULL)
        chunk_content(c, data, bytes, NULL);
    else
        text_add(&c->words, data, bytes);
}

static void found_call(void *arg, size_t index, const char *name) {
    struct reply *reply = arg;
    struct chat *c = reply->own;
    char id[TOOLS_ID_BYTES];
    tools_call_id(id, "call_", reply->id, index);
    if (c->events == NULL) {
        (void)json_array_append_new(c->calls,
                                    json_pack("{s:s,s:s,s:{s:s,s:s}}", "id", id, "type", "function",
                                              "function", "name", name, "arguments", ""));
        return;
    }
    chunk_begin(c);
    text_print(c->events,
               "\"tool_calls\":[{\"index\":%zu,\"id\":\"%s\",\"type\":\"function\","
               "\"function\":{\"name\":",
               index, id);
    json_write_string(c->events, name, strlen(name));
    json_write_raw(c->events, ",\"arguments\":\"\"}}]");
    chunk_end(c, NULL);
}

static void found_arguments(void *arg, size_t index, const char *data, size_t bytes) {
    struct chat *c = ((struct reply *)arg)->own;
    if (c->events == NULL) {
        text_add(&c->arguments, data, bytes);
        return;
    }
    chunk_begin(c);
    text_print(c->events, "\"tool_calls\":[{\"index\":%zu,\"function\":{\"arguments\":", index);
    json_write_string(c->events, data, bytes);
    json_write_raw(c->events, "}}]");
    chunk_end(c, NULL);
}

static void found_call_end(void *arg, size_t index) {
    struct chat *c = ((struct reply *)arg)->own;
    struct text *arguments = &c->arguments;
    if (c->events != NULL)
        return;
    json_t *f = json_object_get(json_array_get(c->calls, index), "function");
    (void)json_object_set_new(
        f, "arguments", json_stringn(arguments->size > 0 ? arguments->data : "", arguments->size));
    arguments->size = 0;
}

static const struct tools_sink sink = {found_text, found_call, found_arguments, found_call_end};

static const char *finish_of(const struct reply *reply) {
    const struct chat *c = reply->own;
    if (reply->done->finish == QUIRE_FINISH_LENGTH)
        return "length";
    return c->parser != NULL && tools_parser_calls(c->parser) > 0 ? "tool_calls" : "stop";
}

/* ---- streamed ---- */

static void chat_begin(struct reply *reply, struct text *events) {
    struct chat *c = reply->own;
    write_head(reply);
    c->events = events;
    chunk_begin(c);
    json_write_raw(events, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    chunk_end(c, NULL);
}

static void chat_piece(struct reply *reply, const struct quire_event *event, struct text *events) {
    struct chat *c = reply->own;
    bool entries = reply->logprobs && event->tokens != NULL && event->n_tokens > 0;
    json_t *logprobs = entries ? openai_logprobs_event(event, c->top_logprobs) : NULL;
    c->events = events;
    if (c->parser == NULL) {
        if (event->text_bytes > 0 || entries)
            chunk_content(c, event->text, event->text_bytes, logprobs);
        return;
    }
    tools_parser_feed(c->parser, event->text, event->text_bytes, reply);
    if (entries) { /* tokens and what the parser makes of them do not line up */
        chunk_begin(c);
        chunk_end(c, logprobs);
    }
    events->failed = events->failed || tools_parser_failed(c->parser);
}

static json_t *chunk(const struct reply *reply, json_t *choices) {
    char id[OPENAI_ID_BYTES];
    openai_id(reply, openai_chat.id_prefix, id);
    return json_pack("{s:s,s:s,s:I,s:s,s:s,s:o}", "id", id, "object", "chat.completion.chunk",
                     "created", (json_int_t)reply->created_s, "model", reply->model,
                     "system_fingerprint", OPENAI_FINGERPRINT, "choices", choices);
}

static void chat_end(struct reply *reply, struct text *events) {
    struct chat *c = reply->own;
    c->events = events;
    if (c->parser != NULL) {
        tools_parser_finish(c->parser, reply);
        events->failed = events->failed || tools_parser_failed(c->parser);
    }
    json_t *last = chunk(reply, json_pack("[{s:i,s:{},s:n,s:s}]", "index", 0, "delta", "logprobs",
                                          "finish_reason", finish_of(reply)));
    if (reply->usage_wanted)
        (void)json_object_set_new(last, "usage", json_null());
    else
        openai_add_details(reply, last);
    text_event(events, NULL, last);
    if (reply->usage_wanted) {
        json_t *usage = chunk(reply, json_array());
        (void)json_object_set_new(usage, "usage", openai_usage(&reply->done->usage));
        openai_add_details(reply, usage);
        text_event(events, NULL, usage);
    }
    json_write_raw(events, "data: [DONE]\n\n");
}

/* ---- in one piece ---- */

static json_t *message_of(struct reply *reply) {
    struct chat *c = reply->own;
    const struct text *words = &reply->answer;
    if (c->parser != NULL) {
        c->events = NULL;
        c->calls = json_array();
        tools_parser_feed(c->parser, reply->answer.data, reply->answer.size, reply);
        tools_parser_finish(c->parser, reply);
        words = &c->words;
    }
    bool calls = json_array_size(c->calls) > 0;
    json_t *content = calls && words->size == 0
                          ? json_null()
                          : json_stringn(words->size > 0 ? words->data : "", words->size);
    json_t *message = json_pack("{s:s,s:o,s:n,s:[]}", "role", "assistant", "content", content,
                                "refusal", "annotations");
    if (calls)
        (void)json_object_set(message, "tool_calls", c->calls);
    return message;
}

static void chat_whole(struct reply *reply, struct text *body) {
    struct chat *c = reply->own;
    char id[OPENAI_ID_BYTES];
    openai_id(reply, openai_chat.id_prefix, id);
    json_t *message = message_of(reply);
    json_t *logprobs =
        reply->logprobs ? json_pack("{s:o,s:n}", "content",
                                    openai_logprobs_all(reply->tokens, c->top_logprobs), "refusal")
                        : json_null();
    json_t *answer = json_pack(
        "{s:s,s:s,s:I,s:s,s:[{s:i,s:o,s:o,s:s}],s:o,s:s}", "id", id, "object", "chat.completion",
        "created", (json_int_t)reply->created_s, "model", openai_model_name(reply), "choices",
        "index", 0, "message", message, "logprobs", logprobs, "finish_reason", finish_of(reply),
        "usage", openai_usage(&reply->done->usage), "system_fingerprint", OPENAI_FINGERPRINT);
    openai_add_details(reply, answer);
    text_json(body, answer);
    if (c->words.failed || c->arguments.failed ||
        (c->parser != NULL && tools_parser_failed(c->parser)))
        body->failed = true;
}

const struct dialect openai_chat = {
    .name = "openai-chat",
    .id_prefix = "chatcmpl-",
    .read = chat_read,
    .whole = chat_whole,
    .begin = chat_begin,
    .piece = chat_piece,
    .end = chat_end,
    .broken = openai_broken,
    .ping = openai_ping,
    .fault = openai_fault,
    .close = chat_close,
};
