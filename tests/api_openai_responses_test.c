/* api_openai_responses_test.c - /v1/responses: items in, items and their events out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/openai_rig.h"

#define TOOLS                                                                                      \
    "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}]"
#define ASK "\"input\":\"Hi\""

static struct rig g = {.dialect = &openai_responses};

static int close_rig(void **state) {
    (void)state;
    rig_close(&g);
    g.tools = TOOLS_NONE;
    return 0;
}

/* ---- bodies ---- */

static void test_input_may_be_a_string(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g,
                              "{\"model\":\"m\",\"instructions\":\"Be brief.\","
                              "\"max_output_tokens\":9,\"temperature\":0,\"store\":true," ASK "}"),
                     0);
    assert_string_equal(rig_request(&g), "system[Be brief.]\nuser[Hi]\nmodel: m\n");
    assert_int_equal(g.reply.options.max_tokens, 9);
    assert_true(g.reply.options.temperature == 0);
}

static void test_items_become_messages(void **state) {
    (void)state;
    assert_int_equal(
        rig_read(&g,
                 "{\"input\":[{\"role\":\"developer\",\"content\":\"Be brief.\"},"
                 "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},"
                 "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64," RIG_PNG "\","
                 "\"detail\":\"low\"}]},"
                 "{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[]},"
                 "{\"type\":\"message\",\"role\":\"assistant\",\"id\":\"msg_1\",\"status\":"
                 "\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"I ask.\","
                 "\"annotations\":[]}]},"
                 "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":"
                 "\"{\\\"a\\\":1}\"},"
                 "{\"type\":\"function_call\",\"call_id\":\"d\",\"name\":\"f\",\"arguments\":\"\"},"
                 "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"sun\"},"
                 "{\"type\":\"function_call_output\",\"call_id\":\"d\",\"output\":"
                 "[{\"type\":\"input_text\",\"text\":\"rain\"}]},"
                 "{\"role\":\"user\",\"content\":\"b\"}]}"),
        0);
    assert_string_equal(
        rig_request(&g),
        "system[Be brief.]\nuser[a][picture 0 low]\nassistant[I ask.][\n<tool_call>\n{\"name\": "
        "\"f\", \"arguments\": {\"a\":1}}\n</tool_call>][\n<tool_call>\n{\"name\": \"f\", "
        "\"arguments\": {}}\n</tool_call>]\nuser[<tool_response>\nsun\n</tool_response>][\n"
        "<tool_response>\nrain\n</tool_response>]\nuser[b]\nmodel: demo\n");
}

static void test_calls_without_words_share_a_message(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g,
                              "{\"input\":[{\"role\":\"user\",\"content\":\"a\"},"
                              "{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{}\"},"
                              "{\"type\":\"function_call\",\"name\":\"g\",\"arguments\":\"{}\"}]}"),
                     0);
    assert_string_equal(
        rig_request(&g),
        "user[a]\nassistant[<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>][\n"
        "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>]\nmodel: demo\n");
}

static void test_formats_become_schemas(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\","
                                  "\"schema\":{\"type\":\"string\"}}}," ASK "}"),
                     0);
    assert_string_equal(rig_request(&g), "user[Hi]\nmodel: demo\nschema: {\"type\":\"string\"}\n");
    assert_int_equal(rig_read(&g, "{\"text\":{\"format\":{\"type\":\"json_object\"}}," ASK "}"), 0);
    assert_non_null(strstr(rig_request(&g), "schema: {\"type\":\"object\"}"));
}

static void test_tools_are_told_in_the_system_message(void **state) {
    (void)state;
    g.tools = TOOLS_HERMES;
    assert_int_equal(rig_read(&g, "{" TOOLS "," ASK "}"), 0);
    assert_non_null(strstr(rig_request(&g), "system[You are a helpful assistant.\n\n# Tools"));
    assert_int_equal(rig_read(&g, "{\"instructions\":\"Be brief.\"," TOOLS "," ASK "}"), 0);
    assert_non_null(strstr(rig_request(&g), "system[Be brief.][\n\n# Tools"));
    assert_int_equal(
        rig_read(&g, "{" TOOLS ",\"input\":[{\"role\":\"system\",\"content\":\"Be kind.\"}]}"), 0);
    assert_non_null(strstr(rig_request(&g), "system[Be kind.][\n\n# Tools"));
    assert_null(strstr(rig_request(&g), "schema:"));
    assert_int_equal(
        rig_read(&g, "{" TOOLS ",\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}," ASK "}"),
        0);
    assert_non_null(strstr(rig_request(&g), "schema: {\"type\":\"object\",\"properties\":"));
}

#define ITEM(fields) "{\"input\":[{" fields "}]}"
#define WITH(fields) "{" fields "," ASK "}"

static const struct {
    const char *body;
    int status;
    const char *param;
} refused[] = {
    {"{}", 400, "input"},
    {"{\"input\":[]}", 400, "input"},
    {"{\"input\":7}", 400, "input"},
    {"{\"input\":[7]}", 400, "input.0"},
    {ITEM("\"type\":\"item_reference\",\"id\":\"x\""), 400, "input.0.type"},
    {ITEM("\"type\":\"web_search_call\""), 400, "input.0.type"},
    {ITEM("\"content\":\"a\""), 400, "input.0.role"},
    {ITEM("\"role\":\"user\""), 400, "input.0.content"},
    {ITEM("\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]"), 400,
     "input.0.content.0.type"},
    {ITEM("\"role\":\"user\",\"content\":[{\"type\":\"input_text\"}]"), 400,
     "input.0.content.0.text"},
    {ITEM("\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"file_id\":\"f\"}]"), 400,
     "input.0.content.0.image_url"},
    {ITEM("\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"http://a\"}]"),
     400, "input.0.content.0.image_url"},
    {ITEM("\"role\":\"assistant\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"a\"}]"),
     400, "input.0.content.0"},
    {ITEM("\"type\":\"function_call\""), 400, "input.0.name"},
    {ITEM("\"type\":\"function_call_output\""), 400, "input.0.output"},
    {ITEM("\"type\":\"function_call_output\",\"output\":[{\"type\":\"input_image\"}]"), 400,
     "input.0.output.0"},
    {WITH("\"previous_response_id\":\"resp_1\""), 400, "previous_response_id"},
    {WITH("\"conversation\":\"c\""), 400, "conversation"},
    {WITH("\"background\":true"), 400, "background"},
    {WITH("\"prompt\":{\"id\":\"p\"}"), 400, "prompt"},
    {WITH("\"instructions\":7"), 400, "instructions"},
    {WITH("\"max_output_tokens\":0"), 400, "max_output_tokens"},
    {WITH("\"top_logprobs\":21"), 400, "top_logprobs"},
    {WITH("\"text\":{\"format\":{\"type\":\"json_schema\"}}"), 400, "text.format.schema"},
    {WITH("\"tools\":[{\"type\":\"file_search\"}]"), 400, "tools.0.type"},
    {WITH(TOOLS), 400, "tool_choice"},
    {WITH(TOOLS ",\"tool_choice\":\"required\",\"text\":{\"format\":{\"type\":\"json_object\"}}"),
     400, "text.format"},
};

static void test_what_does_not_fit_is_refused_with_its_place(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (rig_read(&g, refused[i].body) == 0)
            fail_msg("taken: %s", refused[i].body);
        if (g.fault.status != refused[i].status || strcmp(g.fault.param, refused[i].param) != 0)
            fail_msg("%d %s (%s): %s", g.fault.status, g.fault.param, g.fault.text,
                     refused[i].body);
    }
}

/* An answer repeats parts of its request, thrice when it is streamed. */
static void test_what_an_answer_repeats_is_bounded(void **state) {
    (void)state;
    size_t bytes = (size_t)2 << 20;
    char *words = malloc(bytes + 1);
    assert_non_null(words);
    memset(words, 'x', bytes);
    words[bytes] = '\0';
    json_t *body = json_pack("{s:s,s:{s:s}}", "input", "Hi", "metadata", "note", words);
    free(words);
    assert_non_null(body);
    assert_int_equal(rig_read_json(&g, body), -1);
    json_decref(body);
    assert_int_equal(g.fault.status, 413);
}

/* ---- answers ---- */

static void test_a_whole_response(void **state) {
    (void)state;
    assert_int_equal(
        rig_read(&g, "{\"instructions\":\"Be brief.\",\"metadata\":{\"a\":\"b\"}," ASK "}"), 0);
    json_t *a = rig_whole(&g, "Two.", QUIRE_FINISH_END);
    assert_string_equal(rig_string(a, "id"), "resp_" RIG_ID);
    assert_string_equal(rig_string(a, "object"), "response");
    assert_string_equal(rig_string(a, "status"), "completed");
    assert_string_equal(rig_string(a, "model"), "demo-2");
    assert_string_equal(rig_string(a, "instructions"), "Be brief.");
    assert_string_equal(rig_string(a, "metadata.a"), "b");
    assert_string_equal(rig_string(a, "output.0.type"), "message");
    assert_string_equal(rig_string(a, "output.0.status"), "completed");
    assert_string_equal(rig_string(a, "output.0.content.0.type"), "output_text");
    assert_string_equal(rig_string(a, "output.0.content.0.text"), "Two.");
    assert_int_equal(rig_integer(a, "usage.input_tokens"), 40);
    assert_int_equal(rig_integer(a, "usage.input_tokens_details.cached_tokens"), 30);
    assert_int_equal(rig_integer(a, "usage.output_tokens"), 5);
    assert_true(json_is_null(rig_at(a, "error")));
    assert_true(json_is_null(rig_at(a, "incomplete_details")));
    json_decref(a);
    assert_int_equal(rig_read(&g, "{" ASK "}"), 0);
    a = rig_whole(&g, "", QUIRE_FINISH_LENGTH);
    assert_string_equal(rig_string(a, "status"), "incomplete");
    assert_string_equal(rig_string(a, "incomplete_details.reason"), "max_output_tokens");
    assert_string_equal(rig_string(a, "output.0.status"), "incomplete");
    json_decref(a);
}

/* The types of the events, one a line, runs of the same once. */
static void expect_types(json_t *events, const char *wanted) {
    struct text types;
    const char *before = "";
    size_t i;
    json_t *event;
    text_init(&types, 4096);
    json_array_foreach(events, i, event) {
        const char *type = rig_string(event, "type");
        assert_int_equal(rig_integer(event, "sequence_number"), i);
        if (strcmp(type, before) != 0)
            text_print(&types, "%s\n", type);
        before = type;
    }
    text_add(&types, "", 1);
    assert_string_equal(types.data, wanted);
    text_close(&types);
}

static void test_the_events_of_a_text(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"stream\":true," ASK "}"), 0);
    json_t *e = rig_stream(&g, "Two.", 2, QUIRE_FINISH_END);
    assert_non_null(strstr(g.out.data, "event: response.output_text.delta\ndata: {"));
    expect_types(e, "response.created\nresponse.in_progress\nresponse.output_item.added\n"
                    "response.content_part.added\nresponse.output_text.delta\n"
                    "response.output_text.done\nresponse.content_part.done\n"
                    "response.output_item.done\nresponse.completed\n");
    const char *item = rig_string(e, "2.item.id");
    assert_string_equal(rig_string(e, "0.response.status"), "in_progress");
    assert_string_equal(rig_string(e, "4.delta"), "Tw");
    assert_string_equal(rig_string(e, "4.item_id"), item);
    assert_int_equal(rig_integer(e, "5.output_index"), 0);
    assert_string_equal(rig_string(e, "6.text"), "Two.");
    assert_string_equal(rig_string(e, "7.part.text"), "Two.");
    assert_string_equal(rig_string(e, "8.item.content.0.text"), "Two.");
    assert_string_equal(rig_string(e, "9.response.output.0.id"), item);
    assert_int_equal(rig_integer(e, "9.response.usage.total_tokens"), 45);
    json_decref(e);
}

static void test_the_events_of_calls(void **state) {
    (void)state;
    g.tools = TOOLS_HERMES;
    assert_int_equal(rig_read(&g, "{\"stream\":true," TOOLS "," ASK "}"), 0);
    json_t *e = rig_stream(&g,
                           "I ask.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n"
                           "</tool_call>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a",
                           1, QUIRE_FINISH_LENGTH);
    expect_types(e, "response.created\nresponse.in_progress\n"
                    "response.output_item.added\nresponse.content_part.added\n"
                    "response.output_text.delta\nresponse.output_text.done\n"
                    "response.content_part.done\nresponse.output_item.done\n"
                    "response.output_item.added\nresponse.function_call_arguments.delta\n"
                    "response.function_call_arguments.done\nresponse.output_item.done\n"
                    "response.output_item.added\nresponse.function_call_arguments.delta\n"
                    "response.function_call_arguments.done\nresponse.output_item.done\n"
                    "response.incomplete\n");
    json_t *output = rig_at(json_array_get(e, json_array_size(e) - 1), "response.output");
    assert_string_equal(rig_string(output, "0.content.0.text"), "I ask.");
    assert_string_equal(rig_string(output, "1.name"), "f");
    assert_string_equal(rig_string(output, "1.arguments"), "{\"a\": 1}");
    assert_string_equal(rig_string(output, "1.status"), "completed");
    assert_string_equal(rig_string(output, "2.arguments"), "{\"a");
    assert_string_equal(rig_string(output, "2.status"), "incomplete");
    assert_string_not_equal(rig_string(output, "1.call_id"), rig_string(output, "2.call_id"));
    json_t *streamed = json_deep_copy(output);
    json_decref(e);
    /* In one piece the items are the same. */
    assert_int_equal(rig_read(&g, "{" TOOLS "," ASK "}"), 0);
    json_t *whole = rig_whole(&g,
                              "I ask.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n"
                              "</tool_call>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a",
                              QUIRE_FINISH_LENGTH);
    assert_true(json_equal(rig_at(whole, "output"), streamed));
    json_decref(whole);
    json_decref(streamed);
}

static void test_a_broken_stream_has_a_failed_response_and_an_error(void **state) {
    (void)state;
    struct fault lost;
    assert_int_equal(rig_read(&g, "{\"stream\":true," ASK "}"), 0);
    g.out.size = 0;
    g.dialect->begin(&g.reply, &g.out);
    fault_from_pool(&lost, ERR_WORKER_LOST, "the worker died", 0);
    g.dialect->broken(&g.reply, &lost, &g.out);
    json_t *e = rig_events(&g);
    expect_types(e, "response.created\nresponse.in_progress\nresponse.failed\nerror\n");
    assert_string_equal(rig_string(e, "2.response.status"), "failed");
    assert_string_equal(rig_string(e, "2.response.error.code"), "server_error");
    assert_string_equal(rig_string(e, "3.message"), "the worker died");
    assert_string_equal(rig_string(e, "3.error.message"), "the worker died");
    json_decref(e);
}

static void test_probabilities_stand_with_the_text(void **state) {
    (void)state;
    const struct quire_token token = {{7, -0.5F, "Hi", 2}, NULL, 0};
    struct quire_event event = {
        .kind = QUIRE_TOKENS, .n_tokens = 1, .tokens = &token, .text = "Hi", .text_bytes = 2};
    assert_int_equal(
        rig_read(&g, "{\"stream\":true,\"include\":[\"message.output_text.logprobs\"]," ASK "}"),
        0);
    g.dialect->begin(&g.reply, &g.out);
    g.dialect->piece(&g.reply, &event, &g.out);
    g.dialect->piece(&g.reply, &event, &g.out);
    g.done = (struct quire_event){.kind = QUIRE_DONE, .finish = QUIRE_FINISH_END};
    g.reply.done = &g.done;
    g.dialect->end(&g.reply, &g.out);
    json_t *e = rig_events(&g);
    assert_int_equal(json_array_size(rig_at(e, "4.logprobs")), 1);
    assert_string_equal(rig_string(e, "5.logprobs.0.token"), "Hi");
    assert_int_equal(json_array_size(rig_at(e, "6.logprobs")), 2);
    json_decref(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_input_may_be_a_string, close_rig),
        cmocka_unit_test_teardown(test_items_become_messages, close_rig),
        cmocka_unit_test_teardown(test_calls_without_words_share_a_message, close_rig),
        cmocka_unit_test_teardown(test_formats_become_schemas, close_rig),
        cmocka_unit_test_teardown(test_tools_are_told_in_the_system_message, close_rig),
        cmocka_unit_test_teardown(test_what_does_not_fit_is_refused_with_its_place, close_rig),
        cmocka_unit_test_teardown(test_what_an_answer_repeats_is_bounded, close_rig),
        cmocka_unit_test_teardown(test_a_whole_response, close_rig),
        cmocka_unit_test_teardown(test_the_events_of_a_text, close_rig),
        cmocka_unit_test_teardown(test_the_events_of_calls, close_rig),
        cmocka_unit_test_teardown(test_a_broken_stream_has_a_failed_response_and_an_error,
                                  close_rig),
        cmocka_unit_test_teardown(test_probabilities_stand_with_the_text, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
