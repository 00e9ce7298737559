/* api_anthropic_test.c - bodies of Anthropic's API to requests of the pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/client.h"
#include "tests/support/anthropic_rig.h"

/* ---- what the pool is asked ---- */

static void show_message(const struct request_message *m, struct text *out) {
    static const char *const roles[] = {"?", "S", "U", "A", "R"};
    text_print(out, "%s", roles[m->role]);
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct request_part *p = &m->parts[i];
        if (p->kind == PART_PICTURE)
            text_print(out, "<%u>", p->picture);
        else
            text_print(out, "[%.*s]", (int)p->text.size, (const char *)p->text.data);
    }
}

/* "S[Be kind.]U<0>[What?]A[A cat.]": roles with their texts and pictures, as they reach the broker.
 */
static void says(struct rig *r, const char *expected) {
    struct wire_message m;
    struct request request;
    struct error e = {0};
    struct text got;
    wire_message_init(&m);
    text_init(&got, DIALECT_ANSWER_BYTES);
    quire_request_options(r->reply.request, &r->reply.options);
    if (request_to_wire(r->reply.request, (struct request_id){{1}}, &m, &e) != 0)
        fail_msg("the broker would not take it: %s", e.text);
    assert_int_equal(request_decode(&request, wire_frame(&m, 0), (uint32_t)m.n_frames - 1, &e), 0);
    for (size_t i = 0; i < request.n_messages; i++)
        show_message(&request.messages[i], &got);
    text_add(&got, "", 1);
    assert_string_equal(got.data, expected);
    request_clear(&request);
    wire_message_close(&m);
    text_close(&got);
}

static void said(const char *body, const char *expected) {
    struct rig r;
    asked(&r, body);
    says(&r, expected);
    rig_close(&r);
}

/* Refused with this status, about this field, with this word in the sentence. */
static void refused_as(const struct dialect *dialect, enum tool_format tools, const char *body,
                       int status, const char *param, const char *word) {
    struct rig r;
    rig_init(&r, dialect);
    r.world.tools = tools;
    if (ask(&r, body) == 0)
        fail_msg("not refused: %s", body);
    if (strcmp(r.fault.param, param) != 0 || strstr(r.fault.text, word) == NULL ||
        r.fault.status != status)
        fail_msg("%s\nstatus %d, param %s: %s", body, r.fault.status, r.fault.param, r.fault.text);
    assert_null(r.reply.request);
    rig_close(&r);
}

static void refused(const char *body, int status, const char *param, const char *word) {
    refused_as(&anthropic_messages, TOOLS_HERMES, body, status, param, word);
}

static void test_a_conversation_reaches_the_pool_as_it_is(void **state) {
    (void)state;
    said(HEAD USER "}", "U[Hi]");
    said(HEAD "\"system\":\"Be kind.\"," USER "}", "S[Be kind.]U[Hi]");
    said(HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
              "\"content\":\"b\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
              "\"c\"},{\"type\":\"text\",\"text\":\"d\"}]}]}",
         "U[a]A[b]U[c][d]");
}

static void test_blocks_of_a_system_text_become_one_text(void **state) {
    (void)state;
    said(HEAD "\"system\":[{\"type\":\"text\",\"text\":\"One.\",\"cache_control\":{\"type\":"
              "\"ephemeral\"}},{\"type\":\"text\",\"text\":\"Two.\"}]," USER "}",
         "S[One.\nTwo.]U[Hi]");
    said(HEAD "\"system\":\"\"," USER "}", "U[Hi]");
    said(HEAD "\"system\":[]," USER "}", "U[Hi]");
    said(HEAD "\"system\":null," USER "}", "U[Hi]");
}

static void test_messages_of_one_role_in_a_row_join(void **state) {
    (void)state;
    said(HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
              "\"b\"},{\"role\":\"assistant\",\"content\":\"c\"},{\"role\":\"assistant\","
              "\"content\":[]},{\"role\":\"user\",\"content\":\"d\"}]}",
         "U[a][\nb]A[c]U[d]");
    said(HEAD "\"system\":\"s\",\"messages\":[{\"role\":\"system\",\"content\":\"t\"},{\"role\":"
              "\"user\",\"content\":\"d\"}]}",
         "S[s][\nt]U[d]");
}

static void test_an_answer_without_words_is_still_a_turn(void **state) {
    (void)state;
    said(HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
              "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"x\"}]},"
              "{\"role\":\"user\",\"content\":\"d\"}]}",
         "U[a]A[]U[d]");
}

static void test_pictures_stand_where_they_were_put(void **state) {
    (void)state;
    said(HEAD "\"messages\":[{\"role\":\"user\",\"content\":["
              "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
              "\"data\":\"" PNG "\"}},{\"type\":\"text\",\"text\":\"and\"},"
              "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\","
              "\"data\":\"" JPEG "\"},\"cache_control\":{\"type\":\"ephemeral\"}}]}]}",
         "U<0>[and]<1>");
}

#define PICTURE(source)                                                                            \
    HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":" source    \
         "}]}]}"

static void test_pictures_that_can_not_be_taken_are_refused(void **state) {
    (void)state;
    static const char source[] = "messages.0.content.0.source";
    refused(PICTURE("{\"type\":\"url\",\"url\":\"http://10.0.0.1/a.png\"}"), 400,
            "messages.0.content.0.source.type", "send the picture itself");
    refused(PICTURE("{\"type\":\"file\",\"file_id\":\"file_1\"}"), 400,
            "messages.0.content.0.source.type", "send the picture itself");
    refused(PICTURE("{\"type\":\"base64\",\"media_type\":\"image/png\"}"), 400, source, "data");
    refused(PICTURE("{\"type\":\"base64\",\"data\":\"" PNG "\"}"), 400, source, "media_type");
    refused(PICTURE("null"), 400, "messages.0.content.0.source", "source");
    refused(PICTURE("{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"####\"}"), 400,
            source, "base64");
    refused(PICTURE("{\"type\":\"base64\",\"media_type\":\"image/gif\",\"data\":\"R0lGODlh\"}"),
            422, source, "JPEG");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
                 "\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":"
                 "\"image/png\",\"data\":\"" PNG "\"}}]}]}",
            400, "messages.1.content.0.type", "of the user");
}

static void test_options_reach_the_pool(void **state) {
    (void)state;
    struct rig r;
    asked(&r, "{\"model\":\"m\",\"max_tokens\":33,\"temperature\":0.5,\"top_p\":0.25,\"top_k\":3,"
              "\"stream\":true,\"stop_sequences\":[\"END\",\"\\n\"],\"metadata\":{\"user_id\":"
              "\"u1\"},\"thinking\":{\"type\":\"disabled\"},\"service_tier\":\"auto\"," USER "}");
    assert_string_equal(r.reply.model, "m");
    assert_true(r.reply.stream);
    assert_int_equal(r.reply.max_tokens, 33);
    assert_int_equal(r.reply.options.max_tokens, 33);
    assert_float_equal(r.reply.options.temperature, 0.5, 0);
    assert_float_equal(r.reply.options.top_p, 0.25, 0);
    assert_int_equal(r.reply.options.top_k, 3);
    assert_false(r.reply.count_only);
    rig_close(&r);
}

static void test_what_is_not_said_is_as_the_pool_has_it(void **state) {
    (void)state;
    struct quire_options usual;
    struct rig r;
    quire_options_default(&usual);
    asked(&r, "{\"model\":\"\",\"max_tokens\":1,\"temperature\":null," USER "}");
    assert_string_equal(r.reply.model, "demo");
    assert_false(r.reply.stream);
    assert_float_equal(r.reply.options.temperature, usual.temperature, 0);
    assert_float_equal(r.reply.options.top_p, usual.top_p, 0);
    assert_int_equal(r.reply.options.top_k, usual.top_k);
    rig_close(&r);
}

static void test_a_wrong_body_is_refused_with_the_field_and_a_sentence(void **state) {
    (void)state;
    refused("[]", 400, "", "object");
    refused("{\"max_tokens\":9," USER "}", 400, "model", "required");
    refused("{\"model\":7,\"max_tokens\":9," USER "}", 400, "model", "string");
    refused("{\"model\":\"m\"," USER "}", 400, "max_tokens", "required");
    refused("{\"model\":\"m\",\"max_tokens\":0," USER "}", 400, "max_tokens", "integer");
    refused("{\"model\":\"m\",\"max_tokens\":9}", 400, "messages", "message");
    refused(HEAD "\"messages\":[]}", 400, "messages", "message");
    refused(HEAD "\"messages\":[7]}", 400, "messages.0", "object");
    refused(HEAD "\"messages\":[{\"content\":\"a\"}]}", 400, "messages.0.role", "role");
    refused(HEAD "\"messages\":[{\"role\":\"tool\",\"content\":\"a\"}]}", 400, "messages.0.role",
            "");
    refused(HEAD "\"messages\":[{\"role\":\"user\"}]}", 400, "messages.0.content", "content");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400, "messages.0.content",
            "string");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":[]}]}", 400, "messages.0.content",
            "no block");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\"}]}]}", 400,
            "messages.0.content.0.type", "");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", 400,
            "messages.0.content.0.text", "text");
    refused(HEAD "\"temperature\":1.5," USER "}", 400, "temperature", "");
    refused(HEAD "\"top_k\":-1," USER "}", 400, "top_k", "");
    refused(HEAD "\"stream\":\"yes\"," USER "}", 400, "stream", "");
    refused(HEAD "\"stop_sequences\":[\"\"]," USER "}", 400, "stop_sequences.0", "not empty");
    refused(HEAD "\"stop_sequences\":\"x\"," USER "}", 400, "stop_sequences", "");
    refused(HEAD "\"system\":7," USER "}", 400, "system", "");
    refused(HEAD "\"system\":[{\"type\":\"image\"}]," USER "}", 400, "system.0.type", "");
    refused(HEAD "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}," USER "}", 400,
            "thinking.type", "think");
    refused(HEAD "\"mcp_servers\":[]," USER "}", 400, "", "\"mcp_servers\"");
}

static void test_an_answer_that_was_begun_is_refused(void **state) {
    (void)state;
    static const char body[] =
        HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
             "\"content\":\"The answer is (\"}]}";
    refused(body, 400, "messages.1", "can't be continued");
    struct rig r;
    rig_init(&r, &anthropic_count_tokens);
    assert_int_equal(ask(&r, body), 0);
    rig_close(&r);
}

static void test_an_answers_schema_reaches_the_pool(void **state) {
    (void)state;
    static const char *const bodies[] = {
        HEAD "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":"
             "\"object\"}}}," USER "}",
        HEAD "\"output_format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}," USER
             "}",
    };
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        struct wire_message m;
        struct request request;
        struct error e;
        asked(&r, bodies[i]);
        wire_message_init(&m);
        assert_int_equal(request_to_wire(r.reply.request, (struct request_id){{1}}, &m, &e), 0);
        assert_int_equal(request_decode(&request, wire_frame(&m, 0), 0, &e), 0);
        assert_int_equal(request.schema.size, strlen("{\"type\":\"object\"}"));
        assert_memory_equal(request.schema.data, "{\"type\":\"object\"}", request.schema.size);
        request_clear(&request);
        wire_message_close(&m);
        rig_close(&r);
    }
    said(HEAD "\"output_config\":{\"effort\":\"low\"}," USER "}", "U[Hi]");
    refused(HEAD "\"output_config\":{\"format\":{\"type\":\"json_schema\"}}," USER "}", 400,
            "output_config.format", "schema");
    refused(HEAD "\"output_format\":{\"type\":\"text\"}," USER "}", 400, "output_format.type", "");
    refused(HEAD TOOL ",\"output_format\":{\"type\":\"json_schema\",\"schema\":{}}," USER "}", 400,
            "output_format", "tools");
}

static void test_a_count_asks_for_no_answer(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r, &anthropic_count_tokens);
    assert_int_equal(ask(&r, "{\"model\":\"m\",\"stream\":true," USER "}"), 0);
    assert_true(r.reply.count_only);
    assert_false(r.reply.stream);
    says(&r, "U[Hi]");
    r.reply.done = &r.done;
    r.dialect->whole(&r.reply, &r.out);
    text_add(&r.out, "", 1);
    assert_string_equal(r.out.data, "{\"input_tokens\":100}");
    rig_close(&r);
    refused_as(&anthropic_count_tokens, TOOLS_HERMES, "{" USER "}", 400, "model", "required");
}

/* ---- tools ---- */

static void test_tools_are_told_and_their_calls_and_results_are_lines(void **state) {
    (void)state;
    struct rig r;
    asked(&r,
          HEAD TOOL ",\"system\":\"Be kind.\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
                    "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Let me "
                    "see.\"},{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"look\",\"input\":"
                    "{\"at\":\"x\",\"n\":[1,0.1]}}]},{\"role\":\"user\",\"content\":[{\"type\":"
                    "\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"A cat.\"},{\"type\":"
                    "\"text\",\"text\":\"So?\"}]}]}");
    struct quire_segment segments[64];
    assert_true(quire_request_segments(r.reply.request, segments, 64) >= 4);
    assert_int_equal(segments[0].role, QUIRE_SYSTEM);
    rig_close(&r);
    said(
        HEAD "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
             "\"content\":[{\"type\":\"text\",\"text\":\"See.\"},{\"type\":\"tool_use\",\"id\":"
             "\"t1\",\"name\":\"look\",\"input\":{\"at\":\"x\",\"n\":[1,0.1]}}]},{\"role\":"
             "\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":"
             "[{\"type\":\"text\",\"text\":\"A cat.\"},{\"type\":\"text\",\"text\":\"And:\"},"
             "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
             "\"data\":\"" PNG "\"}}]},{\"type\":\"tool_result\",\"tool_use_id\":\"t2\","
             "\"is_error\":true,\"content\":\"no\"},{\"type\":\"text\",\"text\":\"So?\"}]}]}",
        "U[a]A[See.][\n<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"x\", \"n\": [1, "
        "0.1]}}\n</tool_call>]U[<tool_response>\nA cat.\nAnd:\n</tool_response>]<0>"
        "[<tool_response>\nError: no\n</tool_response>][\nSo?]");
}

static void test_tools_that_can_not_be_served_are_refused(void **state) {
    (void)state;
    refused(HEAD "\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"w\"}]," USER "}", 400,
            "tools.0.type", "web_search_20250305");
    refused(HEAD "\"tools\":[{\"name\":\"w\"}]," USER "}", 400, "tools.0", "input_schema");
    refused(HEAD "\"tools\":[{\"name\":\"a b\",\"input_schema\":{}}]," USER "}", 400,
            "tools.0.name", "letters");
    refused(HEAD "\"tools\":[{\"name\":\"a\",\"input_schema\":{},\"strict\":true}]," USER "}", 400,
            "tools", "strict");
    refused(HEAD "\"tool_choice\":{\"type\":\"any\"}," USER "}", 400, "tool_choice", "no tools");
    refused(HEAD TOOL ",\"tool_choice\":{\"type\":\"tool\"}," USER "}", 400, "tool_choice.name",
            "names");
    refused(HEAD TOOL ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"b\"}," USER "}", 400,
            "tool_choice", "\"b\"");
    refused(HEAD TOOL ",\"tool_choice\":{}," USER "}", 400, "tool_choice.type", "type");
    refused(HEAD TOOL ",\"tool_choice\":{\"type\":\"any\"},\"stop_sequences\":[\"x\"]," USER "}",
            400, "stop_sequences", "call");
    refused_as(&anthropic_messages, TOOLS_NONE, HEAD TOOL "," USER "}", 400, "tool_choice",
               "template");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\",\"id\":"
                 "\"a\",\"name\":\"b\",\"input\":{}}]}]}",
            400, "messages.0.content.0.type", "of the assistant");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}]}",
            400, "messages.0.content.0.tool_use_id", "tool_use_id");
    refused(HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                 "\"tool_use_id\":\"a\",\"content\":[{\"type\":\"document\"}]}]}]}",
            400, "messages.0.content.0.content.0.type", "");
}

static void test_tools_that_must_not_be_called_are_not_told(void **state) {
    (void)state;
    said(HEAD TOOL ",\"tool_choice\":{\"type\":\"none\"}," USER "}", "U[Hi]");
}

/* ---- mutations ---- */

/* Bodies with bytes changed or cut: refused or taken, and never more than that. */
static void test_mutated_bodies_are_refused_or_taken(void **state) {
    (void)state;
    static const char *const bodies[] = {
        HEAD TOOL
        ",\"tool_choice\":{\"type\":\"any\"},\"system\":[{\"type\":\"text\",\"text\":\"s\"}"
        "],\"stop_sequences\":[\"x\"],\"metadata\":{\"user_id\":\"u\"}," USER "}",
        HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{"
             "\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"" PNG "\"}},{\"type\":"
             "\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}"
             "]}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\","
             "\"name\":\"look\",\"input\":{}}]},{\"role\":\"user\",\"content\":\"x\"}]}",
    };
    unsigned seed = 20261121, taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[2048];
        size_t n = strlen(bodies[round % 2]);
        memcpy(text, bodies[round % 2], n + 1);
        for (int i = 0; i < 3; i++) {
            seed = seed * 1664525u + 1013904223u;
            static const char put[] = "\"{}[]:,0a-nt ";
            text[(seed >> 8) % n] = put[(seed >> 4) % (sizeof put - 1)];
        }
        json_t *body = json_loads(text, JSON_DECODE_ANY, NULL);
        if (body == NULL)
            continue;
        struct rig r;
        rig_init(&r, round % 4 < 2 ? &anthropic_messages : &anthropic_count_tokens);
        r.open = r.dialect->read(&r.reply, body, &r.world, &r.fault) == 0;
        assert_true(r.open || (r.fault.status >= 400 && r.fault.status < 500 && r.fault.text[0]));
        taken += r.open;
        json_decref(body);
        rig_close(&r);
    }
    assert_true(taken > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_conversation_reaches_the_pool_as_it_is),
        cmocka_unit_test(test_blocks_of_a_system_text_become_one_text),
        cmocka_unit_test(test_messages_of_one_role_in_a_row_join),
        cmocka_unit_test(test_an_answer_without_words_is_still_a_turn),
        cmocka_unit_test(test_pictures_stand_where_they_were_put),
        cmocka_unit_test(test_pictures_that_can_not_be_taken_are_refused),
        cmocka_unit_test(test_options_reach_the_pool),
        cmocka_unit_test(test_what_is_not_said_is_as_the_pool_has_it),
        cmocka_unit_test(test_a_wrong_body_is_refused_with_the_field_and_a_sentence),
        cmocka_unit_test(test_an_answer_that_was_begun_is_refused),
        cmocka_unit_test(test_an_answers_schema_reaches_the_pool),
        cmocka_unit_test(test_a_count_asks_for_no_answer),
        cmocka_unit_test(test_tools_are_told_and_their_calls_and_results_are_lines),
        cmocka_unit_test(test_tools_that_can_not_be_served_are_refused),
        cmocka_unit_test(test_tools_that_must_not_be_called_are_not_told),
        cmocka_unit_test(test_mutated_bodies_are_refused_or_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
