/* api_openai_tools_test.c - calls of tools read back out of answers, however these are cut, and
 * what a model is told of tools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "gateway/api/tools_parse.h"
#include "tests/support/openai_rig.h"

/* ---- the parser ---- */

/* What was found, in one line: text as it is, a call as {name(arguments)}. */
static void note_text(void *arg, const char *data, size_t bytes) {
    text_add(arg, data, bytes);
}

static void note_call(void *arg, size_t index, const char *name) {
    text_print(arg, "{%zu %s(", index, name);
}

static void note_arguments(void *arg, size_t index, const char *data, size_t bytes) {
    (void)index;
    assert_true(bytes > 0);
    text_add(arg, data, bytes);
}

static void note_end(void *arg, size_t index) {
    (void)index;
    text_print(arg, ")}");
}

static const struct tools_sink notes = {note_text, note_call, note_arguments, note_end};

static void expect(enum tools_mode mode, bool one_call, const char *answer, size_t cut,
                   const char *wanted) {
    struct text found;
    struct tools_parser *p = tools_parser_open(mode, one_call, &notes);
    assert_non_null(p);
    text_init(&found, 65536);
    for (size_t at = 0, size = strlen(answer); at < size; at += cut)
        tools_parser_feed(p, answer + at, cut < size - at ? cut : size - at, &found);
    tools_parser_finish(p, &found);
    assert_false(tools_parser_failed(p));
    text_add(&found, "", 1);
    assert_string_equal(found.data, wanted);
    text_close(&found);
    tools_parser_close(p);
}

/* In pieces of each size, and in two at each place. */
static void expect_always(enum tools_mode mode, const char *answer, const char *wanted) {
    for (size_t cut = 1; cut <= strlen(answer) + 1; cut++)
        expect(mode, false, answer, cut, wanted);
}

#define CALL(name, arguments)                                                                      \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"

static void test_an_answer_without_calls_is_text(void **state) {
    (void)state;
    expect_always(TOOLS_MARKED, "Two < three, <tool_cal and  so on.\n",
                  "Two < three, <tool_cal and  so on.\n");
    expect_always(TOOLS_MARKED, "", "");
    expect_always(TOOLS_MARKED, " \n ", " \n ");
}

static void test_a_call_is_found_with_its_arguments(void **state) {
    (void)state;
    expect_always(TOOLS_MARKED, CALL("look", "{\"at\": [1, \"a}b\\\"]\"], \"o\": {}}"),
                  "{0 look({\"at\": [1, \"a}b\\\"]\"], \"o\": {}})}");
    expect_always(TOOLS_MARKED, "I look.\n\n" CALL("look", "{}") "\n", "I look.{0 look({})}");
    expect_always(TOOLS_MARKED, CALL("l\\u00e9", "null") " done ", "{0 l\xc3\xa9(null)}done");
}

static void test_several_calls_are_numbered(void **state) {
    (void)state;
    expect_always(TOOLS_MARKED, CALL("a", "{}") "\n" CALL("b", "{\"x\":1}") "\nThat is all.",
                  "{0 a({})}{1 b({\"x\":1})}That is all.");
    expect(TOOLS_MARKED, true, CALL("a", "{}") "\n" CALL("b", "{}"), 1, "{0 a({})}");
    expect(TOOLS_MARKED, true, CALL("a", "{}") "\n" CALL("b", "{}"), 1000, "{0 a({})}");
}

static void test_keys_may_come_in_any_order(void **state) {
    (void)state;
    expect_always(TOOLS_MARKED,
                  "<tool_call>{\"arguments\":{\"a\":\"</tool_call>\"},\"id\":[7],\"name\":\"f\"}"
                  "</tool_call>",
                  "{0 f({\"a\":\"</tool_call>\"})}");
    expect_always(TOOLS_MARKED, "<tool_call>{\"name\":\"f\"}</tool_call>", "{0 f({})}");
    expect_always(TOOLS_MARKED, "<tool_call>{\"n\":12 ,\"name\":\"f\",\"arguments\":3}</tool_call>",
                  "{0 f(3)}");
}

static void test_what_is_no_call_comes_back_as_text(void **state) {
    (void)state;
    expect_always(TOOLS_MARKED, "<tool_call>look()</tool_call>", "<tool_call>look()</tool_call>");
    expect_always(TOOLS_MARKED, "<tool_call>{\"x\": 1}</tool_call>!",
                  "<tool_call>{\"x\": 1}</tool_call>!");
    expect_always(TOOLS_MARKED, "<tool_call>{\"name\": 7}", "<tool_call>{\"name\": 7}");
    expect_always(TOOLS_MARKED, "<tool_call>{\"name\": \"\"}", "<tool_call>{\"name\": \"\"}");
    expect_always(TOOLS_MARKED, "<tool_call>\n{\"na", "<tool_call>\n{\"na");
}

static void test_a_call_that_breaks_off_keeps_what_it_has(void **state) {
    (void)state;
    expect_always(TOOLS_MARKED, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":[1,",
                  "{0 f({\"a\":[1,)}");
    expect_always(TOOLS_MARKED, "<tool_call>{\"name\":\"f\"", "{0 f()}");
    /* A missing bracket, a string that is not closed: the mark of the end still counts. */
    expect_always(TOOLS_MARKED, "<tool_call>{\"name\":\"f\",\"arguments\":{}</tool_call> Done.",
                  "{0 f({})}Done.");
    expect_always(TOOLS_MARKED,
                  "<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\":\"b}\n</tool_call>\nDone.",
                  "{0 f({\"a\":\"b})}Done.");
}

static void test_a_forced_answer_is_the_call_itself(void **state) {
    (void)state;
    expect_always(TOOLS_FORCED, "{\"name\":\"f\",\"arguments\":{\"a\":\"b\"}}",
                  "{0 f({\"a\":\"b\"})}");
    expect_always(TOOLS_FORCED, "{\"name\":\"f\",\"arguments\":{\"a\":\"b", "{0 f({\"a\":\"b)}");
    expect_always(TOOLS_FORCED, "{\"na", "{\"na");
    expect_always(TOOLS_FORCED, "No.", "No.");
    expect_always(TOOLS_FORCED, "", "");
}

/* ---- characters ---- */

static void whole_text(void *arg, const char *data, size_t bytes) {
    assert_true(utf8_valid((const uint8_t *)data, bytes));
    note_text(arg, data, bytes);
}

static void whole_arguments(void *arg, size_t index, const char *data, size_t bytes) {
    assert_true(utf8_valid((const uint8_t *)data, bytes));
    note_arguments(arg, index, data, bytes);
}

/* The pool sends whole characters; each thing that is told becomes a JSON string of its own. */
static void test_no_character_is_told_in_two_pieces(void **state) {
    (void)state;
    static const struct tools_sink whole = {whole_text, note_call, whole_arguments, note_end};
    static const char *const answers[] = {
        CALL("f", "\xc3\xa9t\xc3\xa9"), CALL("f", "\"\xc3\xa9\""),
        CALL("f", "tr\xc3\xa9"),        "<tool_call>\xc3\xa9</tool_call>",
        "<tool_call>{\xc3\xa9",         "\xc3\xa9<tool_call>{\"\xc3\xa9"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct text found;
        struct tools_parser *p = tools_parser_open(TOOLS_MARKED, false, &whole);
        assert_non_null(p);
        text_init(&found, 65536);
        tools_parser_feed(p, answers[i], strlen(answers[i]), &found);
        tools_parser_finish(p, &found);
        text_close(&found);
        tools_parser_close(p);
    }
}

/* ---- what the model is told ---- */

#define WEATHER                                                                                    \
    "{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"Tells it\","      \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},"         \
    "\"required\":[\"city\"]}}}"
#define TIME "{\"type\":\"function\",\"function\":{\"name\":\"time\"}}"
#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"

static void test_definitions_stand_in_the_system_message(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_HERMES};
    assert_int_equal(rig_read(&g, "{\"tools\":[" WEATHER "]," ASK "}"), 0);
    assert_string_equal(
        rig_request(&g),
        "system[You are a helpful assistant.\n\n# Tools\n\nYou may call one or more functions to "
        "assist with the user query.\n\nYou are provided with function signatures within "
        "<tools></tools> XML tags:\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": "
        "\"weather\", \"description\": \"Tells it\", \"parameters\": {\"type\": \"object\", "
        "\"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}\n"
        "</tools>\n\nFor each function call, return a json object with function name and arguments "
        "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
        "\"arguments\": <args-json-object>}\n</tool_call>]\nuser[Hi]\nmodel: demo\n");
    assert_int_equal(rig_read(&g,
                              "{\"tools\":[" TIME "],\"messages\":[{\"role\":\"system\","
                              "\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Hi\"}"
                              "]}"),
                     0);
    assert_non_null(strstr(rig_request(&g), "system[Be brief.][\n\n# Tools\n\nYou may"));
    rig_close(&g);
}

static void test_calls_and_results_go_back_as_the_model_wrote_them(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_HERMES};
    assert_int_equal(
        rig_read(&g,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
                 "{\"role\":\"assistant\",\"content\":\"I ask.\",\"tool_calls\":["
                 "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"weather\","
                 "\"arguments\":\"{\\\"city\\\":  \\\"Ulm\\\"}\"}},"
                 "{\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"time\","
                 "\"arguments\":\"\"}}]},"
                 "{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"sun\"},"
                 "{\"role\":\"tool\",\"tool_call_id\":\"call_2\",\"content\":"
                 "[{\"type\":\"text\",\"text\":\"no\"},{\"type\":\"text\",\"text\":\"on\"}]}]}"),
        0);
    assert_string_equal(
        rig_request(&g),
        "user[Hi]\nassistant[I ask.][\n<tool_call>\n{\"name\": \"weather\", \"arguments\": "
        "{\"city\":  \"Ulm\"}}\n</tool_call>][\n<tool_call>\n{\"name\": \"time\", \"arguments\": "
        "{}}\n"
        "</tool_call>]\nuser[<tool_response>\nsun\n</tool_response>][\n<tool_response>\nnoon\n"
        "</tool_response>]\nmodel: demo\n");
    rig_close(&g);
}

static void test_tool_choice_decides_what_is_asked_for(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_NONE};
    assert_int_equal(rig_read(&g, "{\"tools\":[" WEATHER "],\"tool_choice\":\"none\"," ASK "}"), 0);
    assert_string_equal(rig_request(&g), "user[Hi]\nmodel: demo\n");
    assert_int_equal(rig_read(&g, "{\"tools\":[" WEATHER "]," ASK "}"), -1);
    assert_int_equal(g.fault.status, 400);
    assert_string_equal(g.fault.param, "tool_choice");
    assert_int_equal(rig_read(&g, "{\"tools\":[" WEATHER "],\"tool_choice\":\"required\"," ASK "}"),
                     0);
    assert_non_null(
        strstr(rig_request(&g),
               "schema: {\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"weather\"},"
               "\"arguments\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},"
               "\"required\":[\"city\"]}},\"required\":[\"name\",\"arguments\"],"
               "\"additionalProperties\":false}\n"));
    assert_non_null(strstr(rig_request(&g), "These functions can be called"));
    assert_int_equal(
        rig_read(&g, "{\"tools\":[" WEATHER "," TIME "],\"tool_choice\":\"required\"," ASK "}"), 0);
    assert_non_null(strstr(rig_request(&g), "schema: {\"anyOf\":[{"));
    assert_int_equal(rig_read(&g, "{\"tools\":[" WEATHER "," TIME "],\"tool_choice\":{\"type\":"
                                  "\"function\",\"function\":{\"name\":\"time\"}}," ASK "}"),
                     0);
    assert_non_null(strstr(rig_request(&g), "{\"const\":\"time\"}"));
    assert_null(strstr(rig_request(&g), "weather"));
    rig_close(&g);
}

static void test_a_name_that_is_cut_in_a_sentence_stays_text(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_HERMES};
    char body[512];
    (void)snprintf(body, sizeof body,
                   "{\"tools\":[" WEATHER "],\"tool_choice\":{\"type\":\"function\",\"function\":"
                   "{\"name\":\"%.63s\xc3\xa9\"}}," ASK "}",
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_int_equal(rig_read(&g, body), -1);
    json_t *fault = rig_fault(&g);
    assert_non_null(strstr(rig_string(fault, "error.message"), "there is no tool named \"aaa"));
    json_decref(fault);
    rig_close(&g);
}

static void test_references_of_parameters_move_with_them(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_NONE};
    assert_int_equal(
        rig_read(&g, "{\"tool_choice\":\"required\",\"tools\":[" TIME ",{\"type\":\"function\","
                     "\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
                     "\"properties\":{\"a\":{\"$ref\":\"#/$defs/A\"},\"b\":{\"$ref\":\"#\"},"
                     "\"c\":{\"$ref\":\"#/properties/a\"}},"
                     "\"$defs\":{\"A\":{\"type\":\"string\"}}}}}]," ASK "}"),
        0);
    const char *request = rig_request(&g);
    assert_non_null(strstr(request, "\"a\":{\"$ref\":\"#/$defs/f1/$defs/A\"}"));
    assert_non_null(strstr(request, "\"b\":{\"$ref\":\"#/$defs/f1\"}"));
    assert_non_null(strstr(request, "\"c\":{\"$ref\":\"#/$defs/f1/properties/a\"}"));
    assert_non_null(strstr(request, "\"arguments\":{\"$ref\":\"#/$defs/f1\"}"));
    assert_non_null(strstr(request, "\"$defs\":{\"f1\":{\"type\""));
    rig_close(&g);
}

static void test_a_definition_with_a_long_name_is_found_again(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat};
    char name[131] = "", body[1024], wanted[192];
    memset(name, 'n', sizeof name - 1);
    (void)snprintf(body, sizeof body,
                   "{\"tool_choice\":\"required\",\"tools\":[{\"type\":\"function\",\"function\":"
                   "{\"name\":\"f\",\"parameters\":{\"$ref\":\"#/$defs/%s\",\"$defs\":{\"%s\":"
                   "{\"type\":\"object\"}}}}}]," ASK "}",
                   name, name);
    assert_int_equal(rig_read(&g, body), 0);
    (void)snprintf(wanted, sizeof wanted, "{\"$ref\":\"#/$defs/f0/$defs/%s\"", name);
    assert_non_null(strstr(rig_request(&g), wanted));
    rig_close(&g);
}

static void test_a_call_of_many_tools_is_held_to_their_names(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_NONE};
    for (int n = TOOLS_APART_MAX; n <= TOOLS_APART_MAX + 1; n++) {
        json_t *body = json_pack("{s:s,s:[{s:s,s:s}],s:[]}", "tool_choice", "required", "messages",
                                 "role", "user", "content", "Hi", "tools");
        for (int i = 0; i < n; i++)
            (void)json_array_append_new(json_object_get(body, "tools"),
                                        json_pack("{s:s,s:{s:o}}", "type", "function", "function",
                                                  "name", json_sprintf("f%d", i)));
        assert_int_equal(rig_read_json(&g, body), 0);
        bool apart = strstr(rig_request(&g), "schema: {\"anyOf\":[") != NULL;
        bool loose = strstr(rig_request(&g), "\"name\":{\"enum\":[\"f0\",\"f1\",") != NULL;
        assert_true(apart == (n <= TOOLS_APART_MAX) && loose == !apart);
        json_decref(body);
    }
    rig_close(&g);
}

/* ---- answers ---- */

static void test_a_call_in_a_whole_answer(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_HERMES};
    assert_int_equal(rig_read(&g, "{\"tools\":[" WEATHER "]," ASK "}"), 0);
    json_t *answer = rig_whole(&g, CALL("weather", "{\"city\": \"Ulm\"}"), QUIRE_FINISH_END);
    assert_true(json_is_null(rig_at(answer, "choices.0.message.content")));
    assert_string_equal(rig_string(answer, "choices.0.finish_reason"), "tool_calls");
    assert_string_equal(rig_string(answer, "choices.0.message.tool_calls.0.id"),
                        "call_0123456789abcdef0123456700");
    assert_string_equal(rig_string(answer, "choices.0.message.tool_calls.0.type"), "function");
    assert_string_equal(rig_string(answer, "choices.0.message.tool_calls.0.function.name"),
                        "weather");
    assert_string_equal(rig_string(answer, "choices.0.message.tool_calls.0.function.arguments"),
                        "{\"city\": \"Ulm\"}");
    json_decref(answer);
    rig_close(&g);
}

static void test_a_call_in_a_stream(void **state) {
    (void)state;
    struct rig g = {.dialect = &openai_chat, .tools = TOOLS_NONE};
    struct text arguments;
    assert_int_equal(rig_read(&g, "{\"stream\":true,\"tools\":[" WEATHER "],\"tool_choice\":"
                                  "\"required\"," ASK "}"),
                     0);
    json_t *events = rig_stream(&g, "{\"name\":\"weather\",\"arguments\":{\"city\":\"Ulm\"}}", 3,
                                QUIRE_FINISH_END);
    size_t n = json_array_size(events);
    text_init(&arguments, 4096);
    assert_string_equal(rig_string(events, "1.choices.0.delta.tool_calls.0.function.name"),
                        "weather");
    for (size_t i = 1; i + 2 < n; i++) {
        json_t *call = rig_at(json_array_get(events, i), "choices.0.delta.tool_calls.0");
        const char *piece = rig_string(call, "function.arguments");
        assert_int_equal(rig_integer(call, "index"), 0);
        text_add(&arguments, piece, strlen(piece));
    }
    text_add(&arguments, "", 1);
    assert_string_equal(arguments.data, "{\"city\":\"Ulm\"}");
    assert_string_equal(rig_string(json_array_get(events, n - 2), "choices.0.finish_reason"),
                        "tool_calls");
    text_close(&arguments);
    json_decref(events);
    rig_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_without_calls_is_text),
        cmocka_unit_test(test_a_call_is_found_with_its_arguments),
        cmocka_unit_test(test_several_calls_are_numbered),
        cmocka_unit_test(test_keys_may_come_in_any_order),
        cmocka_unit_test(test_what_is_no_call_comes_back_as_text),
        cmocka_unit_test(test_a_call_that_breaks_off_keeps_what_it_has),
        cmocka_unit_test(test_a_forced_answer_is_the_call_itself),
        cmocka_unit_test(test_no_character_is_told_in_two_pieces),
        cmocka_unit_test(test_definitions_stand_in_the_system_message),
        cmocka_unit_test(test_calls_and_results_go_back_as_the_model_wrote_them),
        cmocka_unit_test(test_tool_choice_decides_what_is_asked_for),
        cmocka_unit_test(test_a_name_that_is_cut_in_a_sentence_stays_text),
        cmocka_unit_test(test_references_of_parameters_move_with_them),
        cmocka_unit_test(test_a_definition_with_a_long_name_is_found_again),
        cmocka_unit_test(test_a_call_of_many_tools_is_held_to_their_names),
        cmocka_unit_test(test_a_call_in_a_whole_answer),
        cmocka_unit_test(test_a_call_in_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
