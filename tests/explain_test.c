/* explain_test.c - quire explain and quire drain --dry-run, against a pool of two workers. */
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
#define SYSTEM "You look at pictures and say in few words what is in them, and nothing else."

static struct pool pool;

static int open_pool(void **state) {
    (void)state;
    pool_open(&pool, (struct pool_options){.workers = 2});
    return 0;
}

static int close_pool(void **state) {
    (void)state;
    pool_close(&pool);
    return 0;
}

static char *run(int expected, const char *const *argv) {
    char *out;
    int code = process_run(argv, NULL, true, &out);
    if (code != expected)
        fail_msg("%s %s: exit code %d, not %d:\n%s", argv[0], argv[1], code, expected, out);
    return out;
}

static json_t *run_json(const char *const *argv) {
    char *out;
    json_error_t error;
    assert_int_equal(process_run(argv, NULL, false, &out), 0);
    json_t *root = json_loads(out, 0, &error);
    if (root == NULL)
        fail_msg("not JSON (%s):\n%s", error.text, out);
    free(out);
    return root;
}

static json_int_t number(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

/* The worker of an explanation, by name. */
static const json_t *worker_of(const json_t *explanation, const char *name) {
    const json_t *workers = json_object_get(explanation, "workers");
    for (size_t i = 0; i < json_array_size(workers); i++)
        if (strcmp(text(json_array_get(workers, i), "name"), name) == 0)
            return json_array_get(workers, i);
    fail_msg("%s is not among the workers", name);
    return NULL;
}

/* Asks one question and returns who answered it, in `worker`. */
static void ask(const char *question, char worker[65]) {
    json_t *root = run_json((const char *[]){QUIRE, "ask", "--json", "-n", "4", "-s", SYSTEM, "-i",
                                             PICTURE, question, NULL});
    (void)snprintf(worker, 65, "%s", text(root, "worker"));
    json_decref(root);
}

static void test_the_last_request_is_explained_as_it_was(void **state) {
    (void)state;
    char worker[65];
    ask("What is there?", worker);
    json_t *x = run_json((const char *[]){QUIRE, "explain", "--json", NULL});
    assert_true(json_is_true(json_object_get(x, "past")));
    assert_string_equal(text(x, "policy"), "earliest");
    assert_string_equal(text(x, "chosen"), worker);
    const json_t *segments = json_object_get(x, "segments");
    assert_int_equal(json_array_size(segments), 3);
    assert_string_equal(text(json_array_get(segments, 0), "role"), "system");
    assert_string_equal(text(json_array_get(segments, 1), "kind"), "picture");
    assert_string_equal(text(json_array_get(segments, 2), "kind"), "text");
    assert_int_equal(number(json_array_get(segments, 2), "bytes"), strlen("What is there?"));
    assert_int_equal(json_array_size(json_object_get(x, "workers")), 2);
    const json_t *chosen = worker_of(x, worker);
    assert_true(json_is_true(json_object_get(chosen, "chosen")));
    assert_int_equal(number(chosen, "held_positions"), 0);
    /* The same by its id. */
    json_t *again = run_json((const char *[]){QUIRE, "explain", "--json", text(x, "id"), NULL});
    assert_string_equal(text(again, "chosen"), worker);
    json_decref(again);
    json_decref(x);
}

static void test_a_request_that_is_not_run_finds_who_holds_its_beginning(void **state) {
    (void)state;
    char worker[65];
    ask("Which colour is it?", worker);
    json_t *x = run_json((const char *[]){QUIRE, "explain", "--json", "-s", SYSTEM, "-i", PICTURE,
                                          "Which form has it?", NULL});
    assert_false(json_is_true(json_object_get(x, "past")));
    assert_string_equal(text(x, "chosen"), worker);
    const json_t *chosen = worker_of(x, worker);
    assert_true(number(chosen, "held_positions") > 0);
    assert_true(number(chosen, "held_segments") >= 2);
    assert_int_equal(number(chosen, "missing_pictures"), 0);
    const json_t *picture = json_array_get(json_object_get(x, "segments"), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(picture, "holders"), 0)),
                        worker);
    json_decref(x);
    char *out = run(0, (const char *[]){QUIRE, "explain", "-s", SYSTEM, "-i", PICTURE,
                                        "Which form has it?", NULL});
    assert_non_null(strstr(out, "would be chosen"));
    assert_non_null(strstr(out, worker));
    free(out);
}

static void test_explaining_a_question_does_not_run_it(void **state) {
    (void)state;
    struct quire_stats before = pool_stats(&pool);
    free(run(0, (const char *[]){QUIRE, "explain", "What if?", NULL}));
    struct quire_stats after = pool_stats(&pool);
    assert_int_equal(before.requests, after.requests);
}

static void test_a_request_may_come_from_a_file(void **state) {
    (void)state;
    char path[TEMP_PATH_BYTES + 32], request[1024];
    (void)snprintf(
        request, sizeof request,
        "{\"messages\": [{\"role\": \"system\", \"parts\": [{\"text\": \"%s\"}]},"
        "{\"role\": \"user\", \"parts\": [{\"picture\": \"%s\"}, {\"text\": \"So?\"}]}]}",
        SYSTEM, PICTURE);
    temp_file(&pool.dir, "request.json", request, strlen(request), path, sizeof path);
    json_t *x = run_json((const char *[]){QUIRE, "explain", "--json", "--file", path, NULL});
    assert_int_equal(json_array_size(json_object_get(x, "segments")), 3);
    json_decref(x);
    const char *bad = "{\"messages\": [{\"role\": \"user\", \"parts\": [{\"colour\": 1}]}]}";
    temp_file(&pool.dir, "bad.json", bad, strlen(bad), path, sizeof path);
    char *out =
        run(error_exit_code(ERR_USAGE), (const char *[]){QUIRE, "explain", "--file", path, NULL});
    assert_non_null(strstr(out, "message 1"));
    assert_non_null(strstr(out, "bad.json"));
    free(out);
    bad = "{\"messages\": [{\"role\": \"user\", \"parts\": [{\"picture\": \"a.png\", "
          "\"detail\": \"lwo\"}]}]}";
    temp_file(&pool.dir, "bad.json", bad, strlen(bad), path, sizeof path);
    out = run(error_exit_code(ERR_USAGE), (const char *[]){QUIRE, "explain", "--file", path, NULL});
    assert_non_null(strstr(out, "low or high"));
    free(out);
}

static void test_a_request_that_nobody_remembers_is_not_found(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_NOT_FOUND),
                    (const char *[]){QUIRE, "explain", "00112233445566778899aabbccddeeff", NULL});
    assert_non_null(strstr(out, "no such request"));
    free(out);
}

static void test_a_dry_drain_says_what_would_be_lost_and_drains_nobody(void **state) {
    (void)state;
    char worker[65];
    struct quire_worker w;
    ask("Is it large?", worker);
    json_t *x = run_json((const char *[]){QUIRE, "drain", "--dry-run", "--json", worker, NULL});
    assert_string_equal(text(x, "worker"), worker);
    assert_true(number(x, "segments") > 0);
    assert_true(number(x, "positions") > 0);
    json_decref(x);
    char *out = run(0, (const char *[]){QUIRE, "drain", "--dry-run", worker, NULL});
    assert_non_null(strstr(out, "would lose"));
    free(out);
    for (int i = 0; i < 2; i++) {
        assert_true(pool_worker(&pool, i, &w));
        assert_int_equal(w.state, QUIRE_WORKER_UP);
    }
    out = run(error_exit_code(ERR_NOT_FOUND),
              (const char *[]){QUIRE, "drain", "--dry-run", "nobody", NULL});
    assert_non_null(strstr(out, "nobody"));
    free(out);
}

static void test_the_same_question_again_is_mostly_reused_and_ask_says_so(void **state) {
    (void)state;
    char worker[65];
    ask("What stands there twice?", worker);
    json_t *root = run_json((const char *[]){QUIRE, "ask", "--json", "-n", "4", "-s", SYSTEM, "-i",
                                             PICTURE, "What stands there twice?", NULL});
    const json_t *usage = json_object_get(root, "usage");
    assert_string_equal(text(root, "worker"), worker);
    assert_int_equal(number(usage, "reused_positions"), number(usage, "prompt_positions") - 1);
    assert_true(number(usage, "picture_positions") > 0);
    assert_int_equal(number(usage, "pictures_encoded"), 0);
    json_decref(root);
    char *out = run(0, (const char *[]){QUIRE, "ask", "-n", "4", "-s", SYSTEM, "-i", PICTURE,
                                        "What stands there twice?", NULL});
    assert_non_null(strstr(out, " reused"));
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_request_is_explained_as_it_was),
        cmocka_unit_test(test_a_request_that_is_not_run_finds_who_holds_its_beginning),
        cmocka_unit_test(test_explaining_a_question_does_not_run_it),
        cmocka_unit_test(test_a_request_may_come_from_a_file),
        cmocka_unit_test(test_a_request_that_nobody_remembers_is_not_found),
        cmocka_unit_test(test_a_dry_drain_says_what_would_be_lost_and_drains_nobody),
        cmocka_unit_test(test_the_same_question_again_is_mostly_reused_and_ask_says_so),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
