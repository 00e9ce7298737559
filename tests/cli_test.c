/* cli_test.c - the quire command and the examples, against a real pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/error.h"
#include "tests/support/pool.h"

#define QUIRE QUIRE_BIN_DIR "/quire"
#define PICTURE QUIRE_GOLDEN_DIR "/pictures/p0.png"

static struct pool pool;

static int open_pool(void **state) {
    (void)state;
    pool_open(&pool, (struct pool_options){.workers = 1});
    return 0;
}

static int close_pool(void **state) {
    (void)state;
    pool_close(&pool);
    return 0;
}

static char *run(int expected, const char *input, const char *const *argv) {
    char *out;
    int code = process_run(argv, input, true, &out);
    if (code != expected)
        fail_msg("%s %s: exit code %d, not %d:\n%s", argv[0], argv[1], code, expected, out);
    return out;
}

static json_t *run_json(const char *const *argv) {
    char *out;
    assert_int_equal(process_run(argv, NULL, false, &out), 0);
    json_error_t error;
    json_t *root = json_loads(out, 0, &error);
    if (root == NULL)
        fail_msg("not JSON (%s):\n%s", error.text, out);
    free(out);
    return root;
}

static void test_ask_prints_the_answer_and_who_gave_it(void **state) {
    (void)state;
    char *out =
        run(0, NULL, (const char *[]){QUIRE, "ask", "-n", "6", "-i", PICTURE, "What is it?", NULL});
    assert_non_null(strstr(out, "[w0: 6 tokens"));
    assert_non_null(strstr(out, "1 picture"));
    free(out);
}

static void test_ask_reads_its_question_from_standard_input(void **state) {
    (void)state;
    char *words = run(0, NULL, (const char *[]){QUIRE, "ask", "-q", "-n", "6", "Hello", NULL});
    char *input = run(0, "Hello\n", (const char *[]){QUIRE, "ask", "-q", "-n", "6", NULL});
    assert_string_equal(words, input);
    free(words);
    free(input);
}

static void test_ask_prints_json_that_adds_up(void **state) {
    (void)state;
    json_t *root = run_json((const char *[]){QUIRE, "ask", "--json", "-n", "5", "-i", PICTURE, "-i",
                                             PICTURE, "Which?", NULL});
    json_t *usage = json_object_get(root, "usage");
    assert_string_equal(json_string_value(json_object_get(root, "worker")), "w0");
    assert_string_equal(json_string_value(json_object_get(root, "finish")), "length");
    assert_int_equal(json_integer_value(json_object_get(usage, "answer_tokens")), 5);
    assert_int_equal(json_integer_value(json_object_get(usage, "pictures")), 2);
    assert_true(json_real_value(json_object_get(json_object_get(root, "ms"), "total")) > 0);
    assert_true(json_string_length(json_object_get(root, "answer")) > 0);
    json_decref(root);
}

static void test_the_same_seed_draws_the_same_answer(void **state) {
    (void)state;
    const char *argv[] = {QUIRE, "ask",    "-q", "-n",    "12", "--temperature",
                          "1.5", "--seed", "7",  "Go on", NULL};
    char *first = run(0, NULL, argv), *second = run(0, NULL, argv);
    argv[8] = "8";
    char *other = run(0, NULL, argv);
    assert_string_equal(first, second);
    assert_string_not_equal(first, other);
    free(first);
    free(second);
    free(other);
}

static void test_a_question_that_is_no_text_is_refused_in_words(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_BAD_REQUEST), NULL,
                    (const char *[]){QUIRE, "ask", "\xff\xfe", NULL});
    assert_non_null(strstr(out, "UTF-8"));
    free(out);
}

static void test_json_holds_the_error_and_the_whole_seed(void **state) {
    (void)state;
    char *out;
    const char *bad[] = {QUIRE, "ask", "--json", "-i", "/nonexistent.png", "What?", NULL};
    assert_int_equal(process_run(bad, NULL, false, &out), error_exit_code(ERR_NOT_FOUND));
    json_t *root = json_loads(out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(root, "error"), "code")),
                        "not-found");
    json_decref(root);
    free(out);
    root = run_json((const char *[]){QUIRE, "ask", "--json", "-n", "1", "--seed",
                                     "18446744073709551615", "Hi", NULL});
    assert_string_equal(json_string_value(json_object_get(root, "seed")), "18446744073709551615");
    json_decref(root);
}

static void test_an_answer_that_could_not_be_written_is_no_success(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_IO), NULL,
                    (const char *[]){"/bin/sh", "-c", QUIRE " ask -q -n 4 Hi >/dev/full", NULL});
    assert_non_null(strstr(out, "can't be written"));
    free(out);
}

static void test_a_piped_chat_tells_that_its_last_line_failed(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_BAD_REQUEST), "\xff\n",
                    (const char *[]){QUIRE, "chat", "-n", "4", NULL});
    assert_non_null(strstr(out, "UTF-8"));
    free(out);
}

static void test_a_word_too_many_is_refused(void **state) {
    (void)state;
    char *out = run(2, NULL, (const char *[]){QUIRE, "workers", "all", NULL});
    assert_non_null(strstr(out, "\"all\""));
    free(out);
}

static void test_a_missing_picture_is_named(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_NOT_FOUND), NULL,
                    (const char *[]){QUIRE, "ask", "-i", "/nonexistent.png", "What?", NULL});
    assert_non_null(strstr(out, "/nonexistent.png"));
    free(out);
}

static void test_a_priority_is_one_of_three_words(void **state) {
    (void)state;
    static const char *const words[] = {"low", "normal", "high"};
    for (size_t i = 0; i < 3; i++)
        free(run(
            0, NULL,
            (const char *[]){QUIRE, "ask", "-q", "-n", "2", "--priority", words[i], "Hi", NULL}));
    char *out = run(2, NULL, (const char *[]){QUIRE, "ask", "--priority", "urgent", "Hi", NULL});
    assert_non_null(strstr(out, "low, normal or high"));
    free(out);
}

static void test_a_schema_is_read_from_a_file_of_bounded_size(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_NOT_FOUND), NULL,
                    (const char *[]){QUIRE, "ask", "--schema", "/nonexistent.json", "Hi", NULL});
    assert_non_null(strstr(out, "/nonexistent.json"));
    free(out);
    out = run(error_exit_code(ERR_LIMIT), NULL,
              (const char *[]){QUIRE, "ask", "--schema", QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                               "Hi", NULL});
    assert_non_null(strstr(out, "--schema"));
    free(out);
}

static void test_workers_tell_their_template(void **state) {
    (void)state;
    json_t *root = run_json((const char *[]){QUIRE, "workers", "--json", NULL});
    json_t *worker = json_array_get(json_object_get(root, "workers"), 0);
    assert_string_equal(json_string_value(json_object_get(worker, "template")), "smolvlm");
    assert_string_equal(json_string_value(json_object_get(worker, "tools")), "");
    json_decref(root);
}

static void test_a_file_that_is_no_picture_is_refused_by_the_pool(void **state) {
    (void)state;
    char *out = run(
        error_exit_code(ERR_BAD_PICTURE), NULL,
        (const char *[]){QUIRE, "ask", "-i", QUIRE_GOLDEN_DIR "/smolvlm/text.json", "What?", NULL});
    assert_non_null(strstr(out, "JPEG"));
    free(out);
}

static void test_no_broker_is_one_line_that_says_how_to_start_one(void **state) {
    (void)state;
    char *out =
        run(error_exit_code(ERR_TIMEOUT), NULL,
            (const char *[]){QUIRE, "ask", "-e", "ipc:///tmp/nobody-is-here.ipc", "Hi", NULL});
    assert_non_null(strstr(out, "quire up"));
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    free(out);
}

static void test_chat_keeps_the_conversation(void **state) {
    (void)state;
    char *out = run(0, "/image " PICTURE "\nWhat is it?\nAnd now?\n/nonsense\n/quit\n",
                    (const char *[]){QUIRE, "chat", "-n", "4", NULL});
    char *first = strstr(out, "prompt of ");
    assert_non_null(first);
    char *second = strstr(first + 1, "prompt of ");
    assert_non_null(second);
    assert_true(atoi(second + 10) > atoi(first + 10));
    assert_non_null(strstr(second, "1 picture"));
    assert_non_null(strstr(out, "there is no /nonsense"));
    free(out);
}

static void test_operators_see_workers_stats_and_requests(void **state) {
    (void)state;
    json_t *root = run_json((const char *[]){QUIRE, "workers", "--json", NULL});
    json_t *worker = json_array_get(json_object_get(root, "workers"), 0);
    assert_string_equal(json_string_value(json_object_get(worker, "name")), "w0");
    assert_string_equal(json_string_value(json_object_get(worker, "state")), "up");
    json_decref(root);
    root = run_json((const char *[]){QUIRE, "stats", "--json", NULL});
    assert_int_equal(json_integer_value(json_object_get(root, "workers")), 1);
    assert_true(json_integer_value(json_object_get(root, "done")) > 0);
    json_decref(root);
    char *out = run(0, NULL, (const char *[]){QUIRE, "requests", NULL});
    assert_non_null(strstr(out, "no requests"));
    free(out);
    out = run(0, NULL, (const char *[]){QUIRE, "top", "-n", "1", NULL});
    assert_non_null(strstr(out, "quire: 1 workers"));
    free(out);
}

static void test_a_worker_is_drained_and_taken_back_by_name(void **state) {
    (void)state;
    free(run(0, NULL, (const char *[]){QUIRE, "drain", "w0", NULL}));
    struct quire_worker w;
    assert_true(pool_worker(&pool, 0, &w));
    assert_int_not_equal(w.state, QUIRE_WORKER_UP);
    free(run(0, NULL, (const char *[]){QUIRE, "undrain", "w0", NULL}));
    assert_true(pool_worker(&pool, 0, &w));
    assert_int_equal(w.state, QUIRE_WORKER_UP);
    char *out =
        run(error_exit_code(ERR_NOT_FOUND), NULL, (const char *[]){QUIRE, "drain", "nobody", NULL});
    assert_non_null(strstr(out, "nobody"));
    free(out);
}

static void test_the_examples_in_python_and_c_get_the_same_answer(void **state) {
    (void)state;
    char *c = run(0, NULL,
                  (const char *[]){QUIRE, "ask", "-q", "-n", "512", "-i", PICTURE, "Which?", NULL});
    char *python = NULL;
    const char *argv[] = {"/usr/bin/python3",
                          QUIRE_SOURCE_DIR "/client/examples/ask.py",
                          PICTURE,
                          "--endpoint",
                          pool.clients,
                          "Which?",
                          NULL};
    assert_int_equal(process_run(argv, NULL, false, &python), 0);
    /* The example may print a summary after the answer; the answer itself comes first. */
    c[strcspn(c, "\n")] = '\0';
    assert_non_null(strstr(python, c));
    free(c);
    free(python);
}

static void test_every_subcommand_has_help(void **state) {
    (void)state;
    static const char *const words[] = {"up",  "ask",   "chat",    "workers", "stats", "requests",
                                        "top", "drain", "undrain", "explain", "replay"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char *out = run(0, NULL, (const char *[]){QUIRE, words[i], "--help", NULL});
        assert_non_null(strstr(out, "Usage: quire "));
        free(out);
        out = run(0, NULL, (const char *[]){QUIRE, words[i], "--version", NULL});
        assert_non_null(strstr(out, QUIRE_VERSION));
        free(out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask_prints_the_answer_and_who_gave_it),
        cmocka_unit_test(test_ask_reads_its_question_from_standard_input),
        cmocka_unit_test(test_ask_prints_json_that_adds_up),
        cmocka_unit_test(test_the_same_seed_draws_the_same_answer),
        cmocka_unit_test(test_a_question_that_is_no_text_is_refused_in_words),
        cmocka_unit_test(test_json_holds_the_error_and_the_whole_seed),
        cmocka_unit_test(test_an_answer_that_could_not_be_written_is_no_success),
        cmocka_unit_test(test_a_piped_chat_tells_that_its_last_line_failed),
        cmocka_unit_test(test_a_word_too_many_is_refused),
        cmocka_unit_test(test_a_missing_picture_is_named),
        cmocka_unit_test(test_a_priority_is_one_of_three_words),
        cmocka_unit_test(test_a_schema_is_read_from_a_file_of_bounded_size),
        cmocka_unit_test(test_workers_tell_their_template),
        cmocka_unit_test(test_a_file_that_is_no_picture_is_refused_by_the_pool),
        cmocka_unit_test(test_no_broker_is_one_line_that_says_how_to_start_one),
        cmocka_unit_test(test_chat_keeps_the_conversation),
        cmocka_unit_test(test_operators_see_workers_stats_and_requests),
        cmocka_unit_test(test_a_worker_is_drained_and_taken_back_by_name),
        cmocka_unit_test(test_the_examples_in_python_and_c_get_the_same_answer),
        cmocka_unit_test(test_every_subcommand_has_help),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
