/* openai_responses_output.c - an answer of /v1/responses, item by item.
 *
 * At most one item is open. What comes opens the kind of item that it belongs to and closes the one
 * before; every step tells its event, when there is a stream to tell it to. */
#include <string.h>

#include "gateway/api/openai_responses.h"

int output_open(struct output *o, struct reply *reply, bool logprobs) {
    *o = (struct output){.reply = reply, .items = json_array()};
    text_init(&o->words, DIALECT_ANSWER_BYTES);
    if (logprobs) {
        o->logprobs = json_array();
        o->new_logprobs = json_array();
    }
    return o->items == NULL ? -1 : 0;
}

void output_close(struct output *o) {
    text_close(&o->words);
    json_decref(o->items);
    json_decref(o->name);
    json_decref(o->logprobs);
    json_decref(o->new_logprobs);
    *o = (struct output){0};
}

/* ---- events ---- */

void output_event(struct output *o, const char *type, json_t *event) {
    if (o->events == NULL) {
        json_decref(event);
        return;
    }
    if (event != NULL) {
        (void)json_object_set_new(event, "type", json_string(type));
        (void)json_object_set_new(event, "sequence_number", json_integer((json_int_t)o->sequence));
    }
    o->sequence++;
    text_event(o->events, type, event);
}

static json_int_t index_of(const struct output *o) {
    return (json_int_t)json_array_size(o->items);
}

/* A delta, the event that comes for every token, is written without a tree, up to its text. */
static void tell_delta(struct output *o, const char *type, const char *before, const char *data,
                       size_t bytes) {
    text_print(o->events,
               "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%llu,\"item_id\":\"%s\","
               "\"output_index\":%lld,%s\"delta\":",
               type, type, (unsigned long long)o->sequence++, o->item_id, (long long)index_of(o),
               before);
    json_write_string(o->events, data, bytes);
}

/* ---- messages ---- */

static json_t *words_of(const struct output *o) {
    return json_stringn(o->words.size > 0 ? o->words.data : "", o->words.size);
}

static json_t *logprobs_of(const struct output *o) {
    return o->logprobs != NULL ? json_incref(o->logprobs) : json_array();
}

static json_t *part_of(const struct output *o) {
    return json_pack("{s:s,s:o,s:[],s:o}", "type", "output_text", "text", words_of(o),
                     "annotations", "logprobs", logprobs_of(o));
}

static json_t *message_of(const struct output *o, const char *status, json_t *content) {
    return json_pack("{s:s,s:s,s:s,s:s,s:o}", "id", o->item_id, "type", "message", "status", status,
                     "role", "assistant", "content", content);
}

static void open_message(struct output *o) {
    output_item_end(o);
    o->open = OPEN_MESSAGE;
    tools_call_id(o->item_id, "msg_", o->reply->id, json_array_size(o->items));
    output_event(o, "response.output_item.added",
                 json_pack("{s:I,s:o}", "output_index", index_of(o), "item",
                           message_of(o, "in_progress", json_array())));
    output_event(o, "response.content_part.added",
                 json_pack("{s:s,s:I,s:i,s:{s:s,s:s,s:[],s:[]}}", "item_id", o->item_id,
                           "output_index", index_of(o), "content_index", 0, "part", "type",
                           "output_text", "text", "", "annotations", "logprobs"));
}

void output_text(struct output *o, const char *data, size_t bytes) {
    if (o->open != OPEN_MESSAGE)
        open_message(o);
    text_add(&o->words, data, bytes);
    if (o->events == NULL)
        return;
    tell_delta(o, "response.output_text.delta", "\"content_index\":0,", data, bytes);
    if (json_array_size(o->new_logprobs) == 0) {
        json_write_raw(o->events, ",\"logprobs\":[]}\n\n");
        return;
    }
    json_write_raw(o->events, ",\"logprobs\":");
    text_json(o->events, json_incref(o->new_logprobs));
    json_write_raw(o->events, "}\n\n");
    (void)json_array_clear(o->new_logprobs);
}

void output_logprobs(struct output *o, json_t *entries) {
    (void)json_array_extend(o->logprobs, entries);
    (void)json_array_extend(o->new_logprobs, entries);
    json_decref(entries);
}

static json_t *end_message(struct output *o, const char *status) {
    output_event(o, "response.output_text.done",
                 json_pack("{s:s,s:I,s:i,s:o,s:o}", "item_id", o->item_id, "output_index",
                           index_of(o), "content_index", 0, "text", words_of(o), "logprobs",
                           logprobs_of(o)));
    output_event(o, "response.content_part.done",
                 json_pack("{s:s,s:I,s:i,s:o}", "item_id", o->item_id, "output_index", index_of(o),
                           "content_index", 0, "part", part_of(o)));
    return message_of(o, status, json_pack("[o]", part_of(o)));
}

/* ---- calls ---- */

static json_t *call_of(const struct output *o, const char *status, json_t *arguments) {
    return json_pack("{s:s,s:s,s:s,s:s,s:O,s:o}", "id", o->item_id, "type", "function_call",
                     "status", status, "call_id", o->call_id, "name", o->name, "arguments",
                     arguments);
}

void output_call(struct output *o, size_t index, const char *name) {
    output_item_end(o);
    o->open = OPEN_CALL;
    tools_call_id(o->item_id, "fc_", o->reply->id, json_array_size(o->items));
    tools_call_id(o->call_id, "call_", o->reply->id, index);
    o->name = json_string(name);
    output_event(o, "response.output_item.added",
                 json_pack("{s:I,s:o}", "output_index", index_of(o), "item",
                           call_of(o, "in_progress", json_string(""))));
}

void output_arguments(struct output *o, const char *data, size_t bytes) {
    text_add(&o->words, data, bytes);
    if (o->events == NULL)
        return;
    tell_delta(o, "response.function_call_arguments.delta", "", data, bytes);
    json_write_raw(o->events, "}\n\n");
}

static json_t *end_call(struct output *o, const char *status) {
    output_event(o, "response.function_call_arguments.done",
                 json_pack("{s:s,s:I,s:O,s:o}", "item_id", o->item_id, "output_index", index_of(o),
                           "name", o->name, "arguments", words_of(o)));
    return call_of(o, status, words_of(o));
}

/* ---- ends ---- */

void output_item_end(struct output *o) {
    if (o->open == OPEN_NOTHING)
        return;
    bool cut = o->ending && o->reply->done->finish == QUIRE_FINISH_LENGTH;
    const char *status = cut ? "incomplete" : "completed";
    json_t *item = o->open == OPEN_MESSAGE ? end_message(o, status) : end_call(o, status);
    output_event(o, "response.output_item.done",
                 json_pack("{s:I,s:O?}", "output_index", index_of(o), "item", item));
    (void)json_array_append_new(o->items, item);
    o->open = OPEN_NOTHING;
    o->words.size = 0;
    json_decref(o->name);
    o->name = NULL;
    /* Events and items hold on to the list, so the next message gets one of its own. */
    if (o->logprobs != NULL) {
        json_decref(o->logprobs);
        o->logprobs = json_array();
    }
}
