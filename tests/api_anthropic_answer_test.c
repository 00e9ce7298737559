/* api_anthropic_answer_test.c - answers of the pool to messages, events and errors of Anthropic's
 * API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/anthropic_rig.h"

/* ---- whole answers ---- */

static json_t *whole(struct rig *r, const char *answer) {
    text_add(&r->reply.answer, answer, strlen(answer));
    r->reply.done = &r->done;
    r->dialect->whole(&r->reply, &r->out);
    assert_false(r->out.failed);
    json_t *message = json_loadb(r->out.data, r->out.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(message);
    return message;
}

static void test_a_whole_answer_is_a_message(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD USER "}");
    json_t *m = whole(&r, "Good \"day\".");
    has(m, "id", "\"msg_0123456789abcdef0123456789abcdef\"");
    has(m, "type", "\"message\"");
    has(m, "role", "\"assistant\"");
    has(m, "model", "\"demo\"");
    has(m, "content", "[{\"type\":\"text\",\"text\":\"Good \\\"day\\\".\",\"citations\":null}]");
    has(m, "stop_reason", "\"end_turn\"");
    has(m, "stop_sequence", "null");
    has(m, "stop_details", "null");
    has(m, "container", "null");
    assert_null(json_object_get(m, "quire"));
    json_decref(m);
    rig_close(&r);
}

static void test_an_answer_without_words_has_no_block(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD USER "}");
    json_t *m = whole(&r, "");
    has(m, "content", "[]");
    json_decref(m);
    rig_close(&r);
}

static void usage_is(const char *body, const char *input, const char *created) {
    struct rig r;
    asked(&r, body);
    json_t *m = whole(&r, "x"), *u = json_object_get(m, "usage");
    has(u, "input_tokens", input);
    has(u, "cache_creation_input_tokens", created);
    has(u, "cache_read_input_tokens", "60");
    has(u, "output_tokens", "7");
    json_decref(m);
    rig_close(&r);
}

static void test_usage_adds_up_to_the_prompt(void **state) {
    (void)state;
    static const char cache[] = "\"cache_control\":{\"type\":\"ephemeral\"}";
    char body[1000];
    usage_is(HEAD USER "}", "40", "0");
    (void)snprintf(body, sizeof body, HEAD "%s," USER "}", cache);
    usage_is(body, "0", "40");
    (void)snprintf(body, sizeof body,
                   HEAD "\"system\":[{\"type\":\"text\",\"text\":\"s\",%s}]," USER "}", cache);
    usage_is(body, "0", "40");
    (void)snprintf(body, sizeof body,
                   HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                        "\"s\",%s}]}]}",
                   cache);
    usage_is(body, "0", "40");
    usage_is(HEAD "\"cache_control\":null," USER "}", "40", "0");
}

static void test_why_an_answer_ended_is_told(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD USER "}");
    r.done.finish = QUIRE_FINISH_LENGTH;
    r.done.usage.answer_tokens = 9;
    json_t *m = whole(&r, "x");
    has(m, "stop_reason", "\"max_tokens\"");
    json_decref(m);
    rig_close(&r);
    asked(&r, HEAD USER "}");
    r.done.finish = QUIRE_FINISH_LENGTH;
    r.done.usage.answer_tokens = 8;
    m = whole(&r, "x");
    has(m, "stop_reason", "\"model_context_window_exceeded\"");
    json_decref(m);
    rig_close(&r);
    asked(&r, HEAD "\"stop_sequences\":[\"END\",\"STOP\"]," USER "}");
    r.done.finish = QUIRE_FINISH_STOP;
    r.done.stop = 1;
    m = whole(&r, "x");
    has(m, "stop_reason", "\"stop_sequence\"");
    has(m, "stop_sequence", "\"STOP\"");
    json_decref(m);
    rig_close(&r);
}

static void test_calls_in_a_whole_answer_are_blocks(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD TOOL "," USER "}");
    json_t *m = whole(&r, "Let me see.\n<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": "
                          "\"x\"}}\n</tool_call>");
    json_t *content = json_object_get(m, "content"), *call = json_array_get(content, 1);
    assert_int_equal(json_array_size(content), 2);
    has(json_array_get(content, 0), "text", "\"Let me see.\"");
    has(call, "type", "\"tool_use\"");
    has(call, "name", "\"look\"");
    has(call, "input", "{\"at\":\"x\"}");
    has(call, "caller", "{\"type\":\"direct\"}");
    assert_int_equal(strncmp(json_string_value(json_object_get(call, "id")), "toolu_", 6), 0);
    has(m, "stop_reason", "\"tool_use\"");
    json_decref(m);
    rig_close(&r);
}

static void test_a_call_that_breaks_off_comes_back_as_text(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD TOOL "," USER "}");
    r.done.finish = QUIRE_FINISH_LENGTH;
    r.done.usage.answer_tokens = 9;
    json_t *m = whole(&r, "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"x");
    json_t *content = json_object_get(m, "content");
    assert_int_equal(json_array_size(content), 1);
    has(json_array_get(content, 0), "type", "\"text\"");
    assert_non_null(strstr(json_string_value(json_object_get(json_array_get(content, 0), "text")),
                           "{\"at\": \"x"));
    has(m, "stop_reason", "\"max_tokens\"");
    json_decref(m);
    rig_close(&r);
}

/* The model made the name up; its 65th byte is in the middle of a character. */
static void test_a_call_of_a_tool_with_a_long_name_is_told_as_it_is(void **state) {
    (void)state;
    static const char name[] =
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\xc3\xa4n";
    struct rig r;
    char answer[256];
    rig_init(&r, &anthropic_messages);
    r.world.tools = TOOLS_HERMES;
    assert_int_equal(ask(&r, HEAD USER "," TOOL "}"), 0);
    (void)snprintf(answer, sizeof answer,
                   "<tool_call>\n{\"name\": \"%s\", \"arguments\": {}}\n</tool_call>", name);
    json_t *m = whole(&r, answer);
    const json_t *call = json_array_get(json_object_get(m, "content"), 0);
    assert_string_equal(json_string_value(json_object_get(call, "name")), name);
    json_decref(m);
    rig_close(&r);
}

static void test_a_forced_call_is_the_whole_answer(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r, &anthropic_messages);
    r.world.tools = TOOLS_NONE;
    assert_int_equal(ask(&r, HEAD TOOL ",\"tool_choice\":{\"type\":\"any\"}," USER "}"), 0);
    json_t *m = whole(&r, "{\"name\":\"look\",\"arguments\":{\"at\":\"y\"}}");
    json_t *content = json_object_get(m, "content");
    assert_int_equal(json_array_size(content), 1);
    has(json_array_get(content, 0), "input", "{\"at\":\"y\"}");
    has(m, "stop_reason", "\"tool_use\"");
    json_decref(m);
    rig_close(&r);
}

/* ---- streams ---- */

static void feed(struct rig *r, const char *text, size_t bytes) {
    struct quire_event event = {.kind = QUIRE_TOKENS, .text = text, .text_bytes = bytes};
    text_add(&r->reply.answer, text, bytes);
    r->dialect->piece(&r->reply, &event, &r->out);
}

/* begin, the answer in pieces of `size` bytes, end. */
static void stream(struct rig *r, const char *answer, size_t size) {
    size_t n = strlen(answer);
    r->dialect->begin(&r->reply, &r->out);
    for (size_t at = 0; at < n; at += size)
        feed(r, answer + at, n - at < size ? n - at : size);
    feed(r, "", 0);
    r->reply.done = &r->done;
    r->dialect->end(&r->reply, &r->out);
    assert_false(r->out.failed);
    text_add(&r->out, "", 1);
}

/* The next event of the stream at *at: its JSON, whose type must be the event's name. */
static json_t *next_event(const char **at) {
    char name[64];
    int n = 0;
    if (sscanf(*at, "event: %63s\ndata: %n", name, &n) != 1 || n == 0)
        fail_msg("no event at: %.80s", *at);
    const char *end = strstr(*at, "\n\n");
    assert_non_null(end);
    json_t *event = json_loadb(*at + n, (size_t)(end - *at) - (size_t)n, 0, NULL);
    assert_non_null(event);
    assert_string_equal(json_string_value(json_object_get(event, "type")), name);
    *at = end + 2;
    return event;
}

static void expect(const char **at, const char *expected) {
    json_t *event = next_event(at);
    char *got = json_dumps(event, JSON_COMPACT);
    assert_non_null(got);
    if (strncmp(got, expected, strlen(expected)) != 0)
        fail_msg("%s\nis not\n%s", got, expected);
    free(got);
    json_decref(event);
}

static void test_a_stream_has_its_events_in_order(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD "\"stream\":true," USER "}");
    stream(&r, "Good d\xc3\xa4y\n", 5);
    const char *at = r.out.data;
    json_t *start = next_event(&at), *m = json_object_get(start, "message");
    has(m, "id", "\"msg_0123456789abcdef0123456789abcdef\"");
    has(m, "model", "\"m\"");
    has(m, "content", "[]");
    has(m, "stop_reason", "null");
    has(json_object_get(m, "usage"), "input_tokens", "0");
    has(json_object_get(m, "usage"), "output_tokens", "0");
    json_decref(start);
    expect(&at, "{\"type\":\"ping\"}");
    expect(&at, "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
                "\"text\",\"text\":\"\",\"citations\":null}}");
    expect(&at, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                "\"text_delta\",\"text\":\"Good \"}}");
    expect(&at, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                "\"text_delta\",\"text\":\"d\xc3\xa4"
                "y\\n\"}}");
    expect(&at, "{\"type\":\"content_block_stop\",\"index\":0}");
    json_t *end = next_event(&at);
    has(end, "delta",
        "{\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"stop_details\":null,"
        "\"container\":null}");
    has(json_object_get(end, "usage"), "input_tokens", "40");
    has(json_object_get(end, "usage"), "cache_read_input_tokens", "60");
    has(json_object_get(end, "usage"), "output_tokens", "7");
    json_decref(end);
    expect(&at, "{\"type\":\"message_stop\"}");
    assert_string_equal(at, "");
    rig_close(&r);
}

static void test_a_stream_without_words_has_no_block(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD "\"stream\":true," USER "}");
    stream(&r, "", 1);
    const char *at = r.out.data;
    expect(&at, "{\"type\":\"message_start\"");
    expect(&at, "{\"type\":\"ping\"}");
    expect(&at, "{\"type\":\"message_delta\"");
    expect(&at, "{\"type\":\"message_stop\"}");
    assert_string_equal(at, "");
    rig_close(&r);
}

/* What a client puts together from a stream: "text:..|look{..}|text:.." */
static void assemble(const char *at, struct text *out) {
    long open = -1, next = 0;
    while (*at != '\0') {
        json_t *e = next_event(&at), *block = json_object_get(e, "content_block");
        json_t *delta = json_object_get(e, "delta");
        const char *type = json_string_value(json_object_get(e, "type"));
        long index = (long)json_integer_value(json_object_get(e, "index"));
        if (strcmp(type, "content_block_start") == 0) {
            assert_int_equal(open, -1);
            assert_int_equal(index, next);
            open = next++;
            const char *name = json_string_value(json_object_get(block, "name"));
            text_print(out, "|%s", name != NULL ? name : "text:");
        } else if (strcmp(type, "content_block_delta") == 0) {
            assert_int_equal(index, open);
            const char *text = json_string_value(json_object_get(delta, "text"));
            const char *part = json_string_value(json_object_get(delta, "partial_json"));
            text_print(out, "%s", text != NULL ? text : part);
        } else if (strcmp(type, "content_block_stop") == 0) {
            assert_int_equal(index, open);
            open = -1;
        } else if (strcmp(type, "message_delta") == 0) {
            assert_int_equal(open, -1);
            text_print(out, "|%s", json_string_value(json_object_get(delta, "stop_reason")));
        }
        json_decref(e);
    }
    text_add(out, "", 1);
}

static void streamed_is(const char *answer, const char *expected) {
    for (size_t size = 1; size <= 40; size++) {
        struct rig r;
        struct text got;
        asked(&r, HEAD TOOL ",\"stream\":true," USER "}");
        stream(&r, answer, size);
        text_init(&got, DIALECT_ANSWER_BYTES);
        assemble(r.out.data, &got);
        assert_string_equal(got.data, expected);
        text_close(&got);
        rig_close(&r);
    }
}

static void test_calls_in_a_stream_are_the_same_however_it_is_cut(void **state) {
    (void)state;
    streamed_is("Only words, a < b.", "|text:Only words, a < b.|end_turn");
    streamed_is("See.\n<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"x\"}}\n"
                "</tool_call>",
                "|text:See.|look{\"at\": \"x\"}|tool_use");
    streamed_is("<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n"
                "{\"name\": \"look\", \"arguments\": {\"at\": \"\\u00e4\"}}\n</tool_call>",
                "|look{}|look{\"at\": \"\\u00e4\"}|tool_use");
    streamed_is("<tool_call>{\"name\": \"look\", \"arguments\": [1]}</tool_call>",
                "|text:<tool_call>\n{\"name\": \"look\", \"arguments\": [1]}\n</tool_call>"
                "|end_turn");
    streamed_is("<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": ",
                "|text:<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": }\n</tool_call>"
                "|end_turn");
}

static void test_a_broken_stream_ends_with_an_error_and_no_end_mark(void **state) {
    (void)state;
    struct rig r;
    asked(&r, HEAD "\"stream\":true," USER "}");
    r.dialect->begin(&r.reply, &r.out);
    feed(&r, "Go", 2);
    fault_set(&r.fault, 502, ERR_WORKER_LOST, "", "the worker was lost");
    r.dialect->broken(&r.reply, &r.fault, &r.out);
    text_add(&r.out, "", 1);
    assert_null(strstr(r.out.data, "message_stop"));
    const char *at = strstr(r.out.data, "event: error");
    assert_non_null(at);
    expect(&at,
           "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the worker was "
           "lost\"},\"request_id\":\"0123456789abcdef0123456789abcdef\"}");
    assert_string_equal(at, "");
    rig_close(&r);
}

static void test_details_stand_in_the_last_event_and_in_the_whole_answer(void **state) {
    (void)state;
    struct rig r;
    json_t *details = json_pack("{s:s}", "worker", "w1");
    asked(&r, HEAD "\"stream\":true," USER "}");
    r.reply.details = true;
    r.reply.details_object = details;
    stream(&r, "x", 1);
    const char *at = strstr(r.out.data, "event: message_delta");
    assert_non_null(at);
    json_t *e = next_event(&at);
    has(e, "quire", "{\"worker\":\"w1\"}");
    json_decref(e);
    rig_close(&r);
    asked(&r, HEAD USER "}");
    r.reply.details = true;
    r.reply.details_object = details;
    json_t *m = whole(&r, "x");
    has(m, "quire", "{\"worker\":\"w1\"}");
    json_decref(m);
    rig_close(&r);
    json_decref(details);
}

/* ---- errors ---- */

static void test_every_status_has_anthropics_type(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *type;
    } types[] = {
        {400, "invalid_request_error"},
        {401, "authentication_error"},
        {403, "permission_error"},
        {404, "not_found_error"},
        {405, "invalid_request_error"},
        {408, "timeout_error"},
        {409, "conflict_error"},
        {413, "request_too_large"},
        {415, "invalid_request_error"},
        {422, "invalid_request_error"},
        {429, "rate_limit_error"},
        {500, "api_error"},
        {502, "api_error"},
        {503, "overloaded_error"},
        {504, "timeout_error"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct fault f;
        struct text body;
        text_init(&body, 4096);
        fault_set(&f, types[i].status, ERR_BAD_REQUEST, "", "a sentence");
        anthropic_messages.fault(&f, &body);
        json_t *e = json_loadb(body.data, body.size, 0, NULL);
        has(e, "type", "\"error\"");
        assert_string_equal(json_string_value(json_object_get(json_object_get(e, "error"), "type")),
                            types[i].type);
        json_decref(e);
        text_close(&body);
    }
}

static void message_is(const char *param, const char *text, const char *expected) {
    struct fault f;
    struct text body;
    text_init(&body, 4096);
    fault_set(&f, 400, ERR_BAD_REQUEST, param, "%s", text);
    anthropic_count_tokens.fault(&f, &body);
    json_t *e = json_loadb(body.data, body.size, 0, NULL);
    has(json_object_get(e, "error"), "message", expected);
    json_decref(e);
    text_close(&body);
}

static void test_an_error_names_its_field_once(void **state) {
    (void)state;
    message_is("messages.0", "is wrong", "\"messages.0: is wrong\"");
    message_is("top_k", "top_k must be a number", "\"top_k must be a number\"");
    message_is("", "is wrong", "\"is wrong\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_answer_is_a_message),
        cmocka_unit_test(test_an_answer_without_words_has_no_block),
        cmocka_unit_test(test_usage_adds_up_to_the_prompt),
        cmocka_unit_test(test_why_an_answer_ended_is_told),
        cmocka_unit_test(test_calls_in_a_whole_answer_are_blocks),
        cmocka_unit_test(test_a_call_that_breaks_off_comes_back_as_text),
        cmocka_unit_test(test_a_call_of_a_tool_with_a_long_name_is_told_as_it_is),
        cmocka_unit_test(test_a_forced_call_is_the_whole_answer),
        cmocka_unit_test(test_a_stream_has_its_events_in_order),
        cmocka_unit_test(test_a_stream_without_words_has_no_block),
        cmocka_unit_test(test_calls_in_a_stream_are_the_same_however_it_is_cut),
        cmocka_unit_test(test_a_broken_stream_ends_with_an_error_and_no_end_mark),
        cmocka_unit_test(test_details_stand_in_the_last_event_and_in_the_whole_answer),
        cmocka_unit_test(test_every_status_has_anthropics_type),
        cmocka_unit_test(test_an_error_names_its_field_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
