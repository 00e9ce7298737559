/* api_openai_completions_test.c - /v1/completions, /v1/models, and the shape of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tests/support/openai_rig.h"

static struct rig g = {.dialect = &openai_completions};

static int close_rig(void **state) {
    (void)state;
    rig_close(&g);
    return 0;
}

static void test_a_prompt_goes_as_it_is(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"model\":\"m\",\"prompt\":\"Once\",\"stop\":\".\"}"), 0);
    assert_string_equal(rig_request(&g), "raw[Once]\nstop: .\nmodel: m\n");
    assert_int_equal(g.reply.options.max_tokens, 16);
    assert_int_equal(g.reply.max_tokens, 16);
    assert_int_equal(rig_read(&g, "{\"prompt\":[\"Once\"],\"max_tokens\":3,\"seed\":4}"), 0);
    assert_string_equal(rig_request(&g), "raw[Once]\nmodel: demo\n");
    assert_int_equal(g.reply.options.max_tokens, 3);
    assert_int_equal(g.reply.options.seed, 4);
}

static const struct {
    const char *body, *param;
} refused[] = {
    {"{}", "prompt"},
    {"{\"prompt\":\"\"}", "prompt"},
    {"{\"prompt\":[\"a\",\"b\"]}", "prompt"},
    {"{\"prompt\":[1,2]}", "prompt"},
    {"{\"prompt\":[[1]]}", "prompt"},
    {"{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix"},
    {"{\"prompt\":\"a\",\"n\":2}", "n"},
    {"{\"prompt\":\"a\",\"best_of\":2}", "best_of"},
    {"{\"prompt\":\"a\",\"logprobs\":6}", "logprobs"},
    {"{\"prompt\":\"a\",\"logprobs\":1,\"echo\":true}", "logprobs"},
    {"{\"prompt\":\"a\",\"logit_bias\":{\"1\":1}}", "logit_bias"},
    {"{\"prompt\":\"a\",\"max_tokens\":0}", "max_tokens"},
};

static void test_what_does_not_fit_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (rig_read(&g, refused[i].body) == 0)
            fail_msg("taken: %s", refused[i].body);
        assert_int_equal(g.fault.status, 400);
        assert_string_equal(g.fault.param, refused[i].param);
    }
}

static void test_a_whole_answer_and_its_echo(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"prompt\":\"Once \",\"echo\":true}"), 0);
    json_t *a = rig_whole(&g, "upon", QUIRE_FINISH_LENGTH);
    assert_string_equal(rig_string(a, "id"), "cmpl-" RIG_ID);
    assert_string_equal(rig_string(a, "object"), "text_completion");
    assert_string_equal(rig_string(a, "choices.0.text"), "Once upon");
    assert_string_equal(rig_string(a, "choices.0.finish_reason"), "length");
    assert_int_equal(rig_integer(a, "usage.total_tokens"), 45);
    json_decref(a);
}

static void test_a_stream_and_its_echo(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"prompt\":\"Once \",\"echo\":true,\"stream\":true,"
                                  "\"stream_options\":{\"include_usage\":true}}"),
                     0);
    json_t *e = rig_stream(&g, "upon", 2, QUIRE_FINISH_END);
    assert_int_equal(json_array_size(e), 6);
    assert_string_equal(rig_string(e, "0.choices.0.text"), "Once ");
    assert_string_equal(rig_string(e, "1.choices.0.text"), "up");
    assert_string_equal(rig_string(e, "2.choices.0.text"), "on");
    assert_string_equal(rig_string(e, "3.choices.0.finish_reason"), "stop");
    assert_int_equal(rig_integer(e, "4.usage.prompt_tokens"), 40);
    assert_string_equal(rig_string(e, "5"), "[DONE]");
    json_decref(e);
}

static void test_probabilities_have_the_old_form(void **state) {
    (void)state;
    assert_int_equal(rig_read(&g, "{\"prompt\":\"a\",\"logprobs\":1}"), 0);
    g.reply.tokens =
        json_pack("[{s:i,s:s,s:f,s:[{s:i,s:s,s:f}]},{s:i,s:s,s:f,s:[]}]", "id", 7, "text",
                  "SGk=", "logprob", -0.5, "top", "id", 8, "text", "SG8=", "logprob", -0.25, "id",
                  9, "text", "IQ==", "logprob", -1.0, "top");
    json_t *a = rig_whole(&g, "Hi!", QUIRE_FINISH_END);
    assert_string_equal(rig_string(a, "choices.0.logprobs.tokens.1"), "!");
    assert_true(json_real_value(rig_at(a, "choices.0.logprobs.token_logprobs.0")) == -0.5);
    assert_true(json_real_value(rig_at(a, "choices.0.logprobs.top_logprobs.0.Ho")) == -0.25);
    assert_int_equal(rig_integer(a, "choices.0.logprobs.text_offset.1"), 2);
    json_decref(a);
}

static void test_models_are_listed(void **state) {
    (void)state;
    const char *const names[] = {"demo", "big"};
    struct text body;
    text_init(&body, 4096);
    openai_models(names, 2, RIG_CREATED, &body);
    json_t *list = json_loadb(body.data, body.size, 0, NULL);
    assert_string_equal(rig_string(list, "object"), "list");
    assert_int_equal(json_array_size(rig_at(list, "data")), 2);
    assert_string_equal(rig_string(list, "data.1.id"), "big");
    assert_string_equal(rig_string(list, "data.1.object"), "model");
    json_decref(list);
    body.size = 0;
    openai_model("demo", RIG_CREATED, &body);
    json_t *one = json_loadb(body.data, body.size, 0, NULL);
    assert_string_equal(rig_string(one, "id"), "demo");
    assert_string_equal(rig_string(one, "owned_by"), "quire");
    assert_int_equal(rig_integer(one, "created"), RIG_CREATED);
    json_decref(one);
    text_close(&body);
}

static void expect_error(int status, int code, const char *type, const char *word) {
    fault_set(&g.fault, status, code, "", "no");
    text_init(&g.out, 4096);
    json_t *body = rig_fault(&g);
    assert_string_equal(rig_string(body, "error.type"), type);
    assert_string_equal(rig_string(body, "error.code"), word);
    assert_string_equal(rig_string(body, "error.message"), "no");
    assert_true(json_is_null(rig_at(body, "error.param")));
    json_decref(body);
    text_close(&g.out);
}

static void test_errors_have_the_types_that_clients_know(void **state) {
    (void)state;
    expect_error(400, ERR_BAD_REQUEST, "invalid_request_error", "bad-request");
    expect_error(400, ERR_TOO_LONG, "invalid_request_error", "context_length_exceeded");
    expect_error(401, ERR_USAGE, "authentication_error", "invalid_api_key");
    expect_error(403, ERR_USAGE, "permission_error", "usage");
    expect_error(404, ERR_UNKNOWN_MODEL, "invalid_request_error", "model_not_found");
    expect_error(413, ERR_LIMIT, "invalid_request_error", "limit");
    expect_error(422, ERR_BAD_PICTURE, "invalid_request_error", "bad-picture");
    expect_error(429, ERR_BUSY, "rate_limit_error", "rate_limit_exceeded");
    expect_error(503, ERR_NO_WORKERS, "server_error", "no-workers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_prompt_goes_as_it_is, close_rig),
        cmocka_unit_test_teardown(test_what_does_not_fit_is_refused, close_rig),
        cmocka_unit_test_teardown(test_a_whole_answer_and_its_echo, close_rig),
        cmocka_unit_test_teardown(test_a_stream_and_its_echo, close_rig),
        cmocka_unit_test_teardown(test_probabilities_have_the_old_form, close_rig),
        cmocka_unit_test_teardown(test_models_are_listed, close_rig),
        cmocka_unit_test_teardown(test_errors_have_the_types_that_clients_know, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
