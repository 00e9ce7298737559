/* anthropic_blocks.c - an answer's text to content blocks: text, and calls of tools.
 *
 * A call is told when it is complete, since only then is it known that its input is a JSON object:
 * what is not becomes text again, in the form in which the model wrote it. So a streamed answer and
 * a whole one have the same blocks. */
#include <string.h>

#include "gateway/api/anthropic.h"
#include "gateway/api/json_write.h"

static void add_event_head(struct text *events, const char *name) {
    text_print(events, "event: %s\ndata: {\"type\":\"%s\",\"index\":", name, name);
}

/* ---- text ---- */

static void close_text(struct anthropic_own *own, struct text *events) {
    if (events != NULL && own->in_text) {
        add_event_head(events, "content_block_stop");
        text_print(events, "%zu}\n\n", own->blocks - 1);
        own->in_text = false;
    }
    if (events == NULL && own->words.size > 0) {
        json_t *block = json_pack("{s:s,s:s%,s:n}", "type", "text", "text", own->words.data,
                                  own->words.size, "citations");
        own->failed = json_array_append_new(own->content, block) != 0 || own->failed;
        own->words.size = 0;
        own->blocks++;
    }
}

static void add_text(struct reply *reply, const char *data, size_t bytes) {
    struct anthropic_own *own = reply->own;
    struct text *events = own->events;
    if (bytes == 0)
        return;
    if (events == NULL) {
        text_add(&own->words, data, bytes);
        return;
    }
    if (!own->in_text) {
        add_event_head(events, "content_block_start");
        text_print(events,
                   "%zu,\"content_block\":{\"type\":\"text\",\"text\":\"\",\"citations\":null}}"
                   "\n\n",
                   own->blocks++);
        own->in_text = true;
    }
    add_event_head(events, "content_block_delta");
    text_print(events, "%zu,\"delta\":{\"type\":\"text_delta\",\"text\":", own->blocks - 1);
    json_write_string(events, data, bytes);
    json_write_raw(events, "}}\n\n");
}

static void on_text(void *arg, const char *data, size_t bytes) {
    add_text(arg, data, bytes);
}

/* ---- calls ---- */

static void on_call(void *arg, size_t index, const char *name) {
    struct anthropic_own *own = ((struct reply *)arg)->own;
    (void)index;
    own->call.size = 0;
    text_add(&own->call, name, strlen(name) + 1);
    own->arguments.size = 0;
}

static void on_arguments(void *arg, size_t index, const char *data, size_t bytes) {
    struct anthropic_own *own = ((struct reply *)arg)->own;
    (void)index;
    text_add(&own->arguments, data, bytes);
}

static json_t *call_block(const struct reply *reply, json_t *input) {
    const struct anthropic_own *own = reply->own;
    char id[TOOLS_ID_BYTES];
    tools_call_id(id, "toolu_", reply->id, own->calls);
    return json_pack("{s:s,s:s,s:s,s:o,s:{s:s}}", "type", "tool_use", "id", id, "name",
                     own->call.data, "input", input, "caller", "type", "direct");
}

static void stream_call(struct reply *reply) {
    struct anthropic_own *own = reply->own;
    struct text *events = own->events;
    size_t index = own->blocks++;
    add_event_head(events, "content_block_start");
    text_print(events, "%zu,\"content_block\":", index);
    text_json(events, call_block(reply, json_object()));
    json_write_raw(events, "}\n\n");
    add_event_head(events, "content_block_delta");
    text_print(events, "%zu,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":", index);
    json_write_string(events, own->arguments.data, own->arguments.size);
    json_write_raw(events, "}}\n\n");
    add_event_head(events, "content_block_stop");
    text_print(events, "%zu}\n\n", index);
}

static void on_call_end(void *arg, size_t index) {
    struct reply *reply = arg;
    struct anthropic_own *own = reply->own;
    struct text *a = &own->arguments;
    (void)index;
    json_t *input = a->size > 0 ? json_loadb(a->data, a->size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json_is_object(input)) {
        struct text written;
        text_init(&written, TOOLS_TEXT_BYTES);
        tools_write_call(&written, own->call.data, a->data, a->size);
        own->failed = own->failed || written.failed;
        add_text(reply, written.data, written.size);
        text_close(&written);
        json_decref(input);
        return;
    }
    close_text(own, own->events);
    if (own->events != NULL) {
        stream_call(reply);
    } else {
        json_t *block = call_block(reply, json_incref(input));
        own->failed = json_array_append_new(own->content, block) != 0 || own->failed;
        own->blocks++;
    }
    json_decref(input);
    own->calls++;
}

const struct tools_sink anthropic_sink = {on_text, on_call, on_arguments, on_call_end};

/* ---- the whole ---- */

static bool has_failed(const struct anthropic_own *own) {
    return own->failed || own->words.failed || own->call.failed || own->arguments.failed ||
           (own->parser != NULL && tools_parser_failed(own->parser));
}

void anthropic_feed(struct reply *reply, const char *data, size_t bytes, struct text *events) {
    struct anthropic_own *own = reply->own;
    own->events = events;
    if (own->parser != NULL)
        tools_parser_feed(own->parser, data, bytes, reply);
    else
        add_text(reply, data, bytes);
    own->events = NULL;
    if (events != NULL && has_failed(own))
        events->failed = true;
}

void anthropic_finish(struct reply *reply, struct text *events) {
    struct anthropic_own *own = reply->own;
    own->events = events;
    if (own->parser != NULL)
        tools_parser_finish(own->parser, reply);
    close_text(own, events);
    own->events = NULL;
    own->failed = has_failed(own);
    if (events != NULL && own->failed)
        events->failed = true;
}
