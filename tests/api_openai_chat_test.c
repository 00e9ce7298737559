/* api_openai_chat_test.c - /v1/chat/completions: bodies in, JSON and events out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "tests/support/openai_rig.h"

#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define PICTURE "data:image/png;base64," RIG_PNG

static struct rig g = {.dialect = &openai_chat};

static int close_rig(void **state) {
    (void)state;
    rig_close(&g);
    return 0;
}

/* ---- bodies ---- */

static void test_all_roles_reach_the_pool(void **state) {
    (void)state;
    assert_int_equal(
        rig_read(&g,
                 "{\"model\":\"m\",\"messages\":["
                 "{\"role\":\"developer\",\"content\":\"Be brief.\"},"
                 "{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Be kind.\"}]},"
                 "{\"role\":\"user\",\"name\":\"al\",\"content\":\"Hi\"},"
                 "{\"role\":\"assistant\",\"content\":\"Ho\"},"
                 "{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"},"
                 "{\"role\":\"user\",\"content\":\"\"}]}"),
        0);
    assert_string_equal(rig_request(&g), "system[Be brief.]\nsystem[Be kind.]\nuser[Hi]\n"
                                         "assistant[Ho]\nassistant[]\nuser[]\nmodel: m\n");
}

static void test_pictures_keep_their_place_and_detail(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g,
                              "{\"messages\":[{\"role\":\"user\",\"content\":["
                              "{\"type\":\"text\",\"text\":\"a\"},"
                              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" PICTURE "\"}},"
                              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" PICTURE
                              "\",\"detail\":\"low\"}},"
                              "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" PICTURE
                              "\",\"detail\":\"auto\"}},"
                              "{\"type\":\"text\",\"text\":\"b\"}]}]}"),
                     0);
    assert_string_equal(rig_request(&g),
                        "user[a][picture 0][picture 1 low][picture 2][b]\nmodel: demo\n");
}

static void test_options_are_taken_over(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g,
                              "{\"temperature\":0,\"top_p\":0.5,\"presence_penalty\":-1,"
                              "\"frequency_penalty\":1.5,\"seed\":-1,\"max_tokens\":7,"
                              "\"max_completion_tokens\":9,\"logprobs\":true,\"top_logprobs\":3,"
                              "\"stop\":[\"x\",\"yz\"],\"stream\":true,\"user\":\"al\",\"n\":1,"
                              "\"stream_options\":{\"include_usage\":true},\"logit_bias\":{},"
                              "\"store\":true,\"metadata\":{\"a\":\"b\"},\"service_tier\":\"auto\","
                              "\"response_format\":{\"type\":\"text\"},\"unheard_of\":1," ASK "}"),
                     0);
    const struct quire_options *o = &g.reply.options;
    assert_true(o->temperature == 0 && o->top_p == 0.5F);
    assert_true(o->presence_penalty == -1 && o->frequency_penalty == 1.5F);
    assert_true(o->has_seed && o->seed == UINT64_MAX);
    assert_int_equal(o->max_tokens, 9);
    assert_int_equal(g.reply.max_tokens, 9);
    assert_int_equal(o->logprobs, 3);
    assert_true(g.reply.stream && g.reply.usage_wanted && g.reply.logprobs);
    assert_string_equal(rig_request(&g), "user[Hi]\nstop: x\nstop: yz\nmodel: demo\n");
}

static void test_what_is_left_out_is_the_pools_default(void **state) {
    (void)state;
    struct quire_options defaults;
    quire_options_default(&defaults);
    assert_int_equal(rig_read(&g, "{\"temperature\":null,\"stop\":null,\"seed\":null," ASK "}"), 0);
    assert_memory_equal(&g.reply.options, &defaults, sizeof defaults);
    assert_false(g.reply.stream || g.reply.usage_wanted || g.reply.logprobs);
    assert_string_equal(g.reply.model, "demo");
}

static void test_formats_become_schemas(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"response_format\":{\"type\":\"json_object\"}," ASK "}"), 0);
    assert_string_equal(rig_request(&g), "user[Hi]\nmodel: demo\nschema: {\"type\":\"object\"}\n");
    assert_int_equal(rig_read(&g, "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
                                  "{\"name\":\"n\",\"strict\":true,\"schema\":{\"type\":\"string\"}"
                                  "}}," ASK "}"),
                     0);
    assert_string_equal(rig_request(&g), "user[Hi]\nmodel: demo\nschema: {\"type\":\"string\"}\n");
}

#define MESSAGE(fields) "{\"messages\":[{" fields "}]}"
#define PART(fields) MESSAGE("\"role\":\"user\",\"content\":[{" fields "}]")
#define WITH(fields) "{" fields "," ASK "}"
#define TOOL(fields) WITH("\"tools\":[{\"type\":\"function\",\"function\":{" fields "}}]")

static const struct {
    const char *body;
    int status;
    const char *param;
} refused[] = {
    {"[]", 400, ""},
    {WITH("\"stop\":\"x\",\"tool_choice\":\"required\",\"tools\":[{\"type\":\"function\","
          "\"function\":{\"name\":\"f\"}}]"),
     400, "stop"},
    {"{}", 400, "messages"},
    {"{\"messages\":[]}", 400, "messages"},
    {"{\"messages\":\"Hi\"}", 400, "messages"},
    {"{\"messages\":[1]}", 400, "messages.0"},
    {MESSAGE("\"content\":\"Hi\""), 400, "messages.0.role"},
    {MESSAGE("\"role\":\"king\",\"content\":\"Hi\""), 400, "messages.0.role"},
    {MESSAGE("\"role\":\"function\",\"content\":\"Hi\""), 400, "messages.0.role"},
    {MESSAGE("\"role\":\"user\""), 400, "messages.0.content"},
    {MESSAGE("\"role\":\"user\",\"content\":7"), 400, "messages.0.content"},
    {MESSAGE("\"role\":\"user\",\"content\":[7]"), 400, "messages.0.content.0"},
    {PART("\"text\":\"a\""), 400, "messages.0.content.0.type"},
    {PART("\"type\":\"input_audio\""), 400, "messages.0.content.0.type"},
    {PART("\"type\":\"text\""), 400, "messages.0.content.0.text"},
    {PART("\"type\":\"image_url\""), 400, "messages.0.content.0.image_url"},
    {PART("\"type\":\"image_url\",\"image_url\":{}"), 400, "messages.0.content.0.image_url.url"},
    {PART("\"type\":\"image_url\",\"image_url\":{\"url\":\"http://a/b.png\"}"), 400,
     "messages.0.content.0.image_url.url"},
    {PART("\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/gif;base64,R0lGODlh\"}"), 422,
     "messages.0.content.0.image_url.url"},
    {PART("\"type\":\"image_url\",\"image_url\":{\"url\":\"" PICTURE "\",\"detail\":\"x\"}"), 400,
     "messages.0.content.0.image_url.detail"},
    {MESSAGE("\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]"), 400,
     "messages.0.content.0"},
    {MESSAGE("\"role\":\"tool\""), 400, "messages.0.content"},
    {MESSAGE("\"role\":\"tool\",\"content\":[{}]"), 400, "messages.0.content.0"},
    {MESSAGE("\"role\":\"assistant\",\"tool_calls\":[{}]"), 400,
     "messages.0.tool_calls.0.function"},
    {MESSAGE("\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]"), 400,
     "messages.0.tool_calls.0.function.name"},
    {WITH("\"model\":7"), 400, "model"},
    {WITH("\"stream\":1"), 400, "stream"},
    {WITH("\"temperature\":3"), 400, "temperature"},
    {WITH("\"temperature\":\"hot\""), 400, "temperature"},
    {WITH("\"top_p\":1.1"), 400, "top_p"},
    {WITH("\"presence_penalty\":-3"), 400, "presence_penalty"},
    {WITH("\"frequency_penalty\":3"), 400, "frequency_penalty"},
    {WITH("\"seed\":0.5"), 400, "seed"},
    {WITH("\"max_tokens\":0"), 400, "max_tokens"},
    {WITH("\"max_completion_tokens\":-1"), 400, "max_completion_tokens"},
    {WITH("\"top_logprobs\":2"), 400, "top_logprobs"},
    {WITH("\"logprobs\":true,\"top_logprobs\":21"), 400, "top_logprobs"},
    {WITH("\"stream_options\":{\"include_usage\":\"yes\"}"), 400, "stream_options.include_usage"},
    {WITH("\"stop\":7"), 400, "stop"},
    {WITH("\"stop\":[\"a\",\"\"]"), 400, "stop.1"},
    {WITH("\"stop\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"), 400, "stop"},
    {WITH("\"n\":2"), 400, "n"},
    {WITH("\"audio\":{}"), 400, "audio"},
    {WITH("\"modalities\":[\"text\",\"audio\"]"), 400, "modalities"},
    {WITH("\"logit_bias\":{\"5\":1}"), 400, "logit_bias"},
    {WITH("\"prediction\":{}"), 400, "prediction"},
    {WITH("\"web_search_options\":{}"), 400, "web_search_options"},
    {WITH("\"functions\":[]"), 400, "functions"},
    {WITH("\"function_call\":\"auto\""), 400, "function_call"},
    {WITH("\"response_format\":{\"type\":\"xml\"}"), 400, "response_format.type"},
    {WITH("\"response_format\":{\"type\":\"json_schema\"}"), 400, "response_format.json_schema"},
    {WITH("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}"), 400,
     "response_format.json_schema.schema"},
    {WITH("\"tools\":[{\"type\":\"web_search\"}]"), 400, "tools.0.type"},
    {WITH("\"tools\":[{\"type\":\"function\"}]"), 400, "tools.0.function"},
    {TOOL("\"name\":\"a b\""), 400, "tools.0.function.name"},
    {TOOL("\"description\":\"a\""), 400, "tools.0.function.name"},
    {TOOL("\"name\":\"a\",\"parameters\":7"), 400, "tools.0.function.parameters"},
    {WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}},{\"type\":\"function\","
          "\"function\":{\"name\":\"a\"}}]"),
     400, "tools.1.function.name"},
    {WITH("\"tool_choice\":\"required\""), 400, "tool_choice"},
    {WITH("\"tool_choice\":\"perhaps\""), 400, "tool_choice"},
    {WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}}],\"tool_choice\":"
          "{\"type\":\"function\",\"function\":{\"name\":\"b\"}}"),
     400, "tool_choice"},
    {WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\"}}],\"tool_choice\":"
          "\"required\",\"response_format\":{\"type\":\"json_object\"}"),
     400, "response_format"},
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

static void test_a_remote_picture_is_told_to_be_sent_itself(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, PART("\"type\":\"image_url\",\"image_url\":{\"url\":"
                                       "\"https://example.com/a.png\"}")),
                     -1);
    assert_non_null(strstr(g.fault.text, "send the picture itself as a data: URL"));
    json_t *body = rig_fault(&g);
    assert_string_equal(rig_string(body, "error.type"), "invalid_request_error");
    assert_string_equal(rig_string(body, "error.param"), "messages.0.content.0.image_url.url");
    assert_string_equal(rig_string(body, "error.code"), "bad-request");
    assert_non_null(strstr(rig_string(body, "error.message"), "data:"));
    json_decref(body);
}

/* ---- answers ---- */

static void test_a_whole_answer(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"model\":\"m\"," ASK "}"), 0);
    json_t *a = rig_whole(&g, "Two \"circles\".\n", QUIRE_FINISH_END);
    assert_string_equal(rig_string(a, "id"), "chatcmpl-" RIG_ID);
    assert_string_equal(rig_string(a, "object"), "chat.completion");
    assert_int_equal(rig_integer(a, "created"), RIG_CREATED);
    assert_string_equal(rig_string(a, "model"), "demo-2");
    assert_string_equal(rig_string(a, "choices.0.message.role"), "assistant");
    assert_string_equal(rig_string(a, "choices.0.message.content"), "Two \"circles\".\n");
    assert_string_equal(rig_string(a, "choices.0.finish_reason"), "stop");
    assert_true(json_is_null(rig_at(a, "choices.0.logprobs")));
    assert_int_equal(rig_integer(a, "usage.prompt_tokens"), 40);
    assert_int_equal(rig_integer(a, "usage.completion_tokens"), 5);
    assert_int_equal(rig_integer(a, "usage.total_tokens"), 45);
    assert_int_equal(rig_integer(a, "usage.prompt_tokens_details.cached_tokens"), 30);
    assert_int_equal(rig_integer(a, "usage.completion_tokens_details.reasoning_tokens"), 0);
    assert_null(json_object_get(a, "quire"));
    json_decref(a);
    assert_int_equal(rig_read(&g, "{" ASK "}"), 0);
    g.reply.details = true;
    g.reply.details_object = json_pack("{s:s}", "worker", "worker-1");
    a = rig_whole(&g, "", QUIRE_FINISH_LENGTH);
    assert_string_equal(rig_string(a, "choices.0.message.content"), "");
    assert_string_equal(rig_string(a, "choices.0.finish_reason"), "length");
    assert_string_equal(rig_string(a, "quire.worker"), "worker-1");
    json_decref(a);
}

static void test_a_stream_begins_with_the_role_and_ends_with_done(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"stream\":true," ASK "}"), 0);
    json_t *e = rig_stream(&g, "a\"\\\n\x01\xc3\xa9", 4, QUIRE_FINISH_STOP);
    assert_int_equal(json_array_size(e), 5);
    for (int i = 0; i < 4; i++) {
        json_t *chunk = json_array_get(e, (size_t)i);
        assert_string_equal(rig_string(chunk, "id"), "chatcmpl-" RIG_ID);
        assert_string_equal(rig_string(chunk, "object"), "chat.completion.chunk");
        assert_string_equal(rig_string(chunk, "model"), "demo");
        assert_int_equal(rig_integer(chunk, "choices.0.index"), 0);
        assert_null(json_object_get(chunk, "usage"));
        assert_true(i == 3 || json_is_null(rig_at(chunk, "choices.0.finish_reason")));
    }
    assert_string_equal(rig_string(e, "0.choices.0.delta.role"), "assistant");
    assert_string_equal(rig_string(e, "1.choices.0.delta.content"), "a\"\\\n");
    assert_string_equal(rig_string(e, "2.choices.0.delta.content"), "\x01\xc3\xa9");
    assert_int_equal(json_object_size(rig_at(e, "3.choices.0.delta")), 0);
    assert_string_equal(rig_string(e, "3.choices.0.finish_reason"), "stop");
    assert_string_equal(rig_string(e, "4"), "[DONE]");
    json_decref(e);
}

static void test_usage_comes_in_a_chunk_of_its_own(void **state) {
    (void)state;
    assert_int_equal(
        rig_read(&g, "{\"stream\":true,\"stream_options\":{\"include_usage\":true}," ASK "}"), 0);
    g.reply.details = true;
    g.reply.details_object = json_pack("{s:s}", "worker", "worker-1");
    json_t *e = rig_stream(&g, "abc", 1, QUIRE_FINISH_LENGTH);
    assert_int_equal(json_array_size(e), 7);
    for (size_t i = 0; i < 5; i++)
        assert_true(json_is_null(rig_at(json_array_get(e, i), "usage")));
    assert_string_equal(rig_string(e, "4.choices.0.finish_reason"), "length");
    assert_int_equal(json_array_size(rig_at(e, "5.choices")), 0);
    assert_int_equal(rig_integer(e, "5.usage.prompt_tokens_details.cached_tokens"), 30);
    assert_string_equal(rig_string(e, "5.quire.worker"), "worker-1");
    json_decref(e);
}

static void test_a_broken_stream_ends_with_an_error_and_no_mark(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"stream\":true," ASK "}"), 0);
    struct fault lost;
    g.out.size = 0;
    g.dialect->begin(&g.reply, &g.out);
    g.dialect->ping(&g.reply, &g.out);
    fault_from_pool(&lost, ERR_WORKER_LOST, "the worker died", 0);
    g.dialect->broken(&g.reply, &lost, &g.out);
    json_t *e = rig_events(&g);
    assert_int_equal(json_array_size(e), 2);
    assert_string_equal(rig_string(e, "1.error.message"), "the worker died");
    assert_string_equal(rig_string(e, "1.error.type"), "server_error");
    assert_string_equal(rig_string(e, "1.error.code"), "worker-lost");
    json_decref(e);
}

/* ---- probabilities ---- */

static const char half[] = "\xc3"; /* the first byte of a character */

static void test_probabilities_of_a_stream(void **state) {
    (void)state;
    const struct quire_logprob others[] = {{5, -0.25F, "a", 1}, {6, -INFINITY, "b", 1}};
    const struct quire_token token = {{7, -0.5F, half, 1}, others, 2};
    struct quire_event event = {.kind = QUIRE_TOKENS, .n_tokens = 1, .tokens = &token};
    assert_int_equal(rig_read(&g, "{\"stream\":true,\"logprobs\":true,\"top_logprobs\":2," ASK "}"),
                     0);
    g.dialect->begin(&g.reply, &g.out);
    g.out.size = 0;
    g.dialect->piece(&g.reply, &event, &g.out);
    json_t *e = rig_events(&g), *one = rig_at(e, "0.choices.0.logprobs.content.0");
    assert_string_equal(rig_string(one, "token"), "\xef\xbf\xbd");
    assert_int_equal(rig_integer(one, "bytes.0"), 0xc3);
    assert_true(json_real_value(rig_at(one, "logprob")) == -0.5);
    assert_string_equal(rig_string(one, "top_logprobs.0.token"), "a");
    assert_true(json_number_value(rig_at(one, "top_logprobs.1.logprob")) == -9999);
    json_decref(e);
    event.tokens = NULL;
    g.out.size = 0;
    g.dialect->piece(&g.reply, &event, &g.out); /* nothing to tell: no event */
    assert_int_equal(g.out.size, 0);
}

static void test_probabilities_of_a_whole_answer(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"logprobs\":true," ASK "}"), 0);
    assert_int_equal(g.reply.options.logprobs, 1);
    g.reply.tokens =
        json_pack("[{s:i,s:s,s:f,s:[{s:i,s:s,s:f}]}]", "id", 7, "text", "SGk=", "logprob", -0.5,
                  "top", "id", 7, "text", "SGk=", "logprob", -0.5);
    json_t *a = rig_whole(&g, "Hi", QUIRE_FINISH_END);
    assert_string_equal(rig_string(a, "choices.0.logprobs.content.0.token"), "Hi");
    assert_int_equal(rig_integer(a, "choices.0.logprobs.content.0.bytes.1"), 'i');
    assert_int_equal(json_array_size(rig_at(a, "choices.0.logprobs.content.0.top_logprobs")), 0);
    json_decref(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_all_roles_reach_the_pool, close_rig),
        cmocka_unit_test_teardown(test_pictures_keep_their_place_and_detail, close_rig),
        cmocka_unit_test_teardown(test_options_are_taken_over, close_rig),
        cmocka_unit_test_teardown(test_what_is_left_out_is_the_pools_default, close_rig),
        cmocka_unit_test_teardown(test_formats_become_schemas, close_rig),
        cmocka_unit_test_teardown(test_what_does_not_fit_is_refused_with_its_place, close_rig),
        cmocka_unit_test_teardown(test_a_remote_picture_is_told_to_be_sent_itself, close_rig),
        cmocka_unit_test_teardown(test_a_whole_answer, close_rig),
        cmocka_unit_test_teardown(test_a_stream_begins_with_the_role_and_ends_with_done, close_rig),
        cmocka_unit_test_teardown(test_usage_comes_in_a_chunk_of_its_own, close_rig),
        cmocka_unit_test_teardown(test_a_broken_stream_ends_with_an_error_and_no_mark, close_rig),
        cmocka_unit_test_teardown(test_probabilities_of_a_stream, close_rig),
        cmocka_unit_test_teardown(test_probabilities_of_a_whole_answer, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
