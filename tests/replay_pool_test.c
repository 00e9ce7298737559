/* replay_pool_test.c - quire replay against real pools, with the demo model. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "common/error.h"
#include "tests/support/pool.h"

#define QUIRE QUIRE_BIN_DIR "/quire"
#define MODEL QUIRE_DEMO_DIR "/quire-demo.gguf"
#define MMPROJ QUIRE_DEMO_DIR "/quire-demo-mmproj.gguf"

static struct pool pool;

static int open_pool(void **state) {
    (void)state;
    pool_open(&pool, (struct pool_options){.workers = 2, .model = MODEL, .mmproj = MMPROJ});
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
        fail_msg("%s %s %s: exit code %d, not %d:\n%s", argv[0], argv[1], argv[2], code, expected,
                 out);
    return out;
}

/* A path in the pool's directory; static storage, one at a time for each name. */
static const char *in_dir(const char *name, char out[TEMP_PATH_BYTES + 32]) {
    (void)snprintf(out, TEMP_PATH_BYTES + 32, "%s/%s", pool.dir.path, name);
    return out;
}

static json_t *load(const char *path) {
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", path, error.text);
    return root;
}

static json_int_t number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        fail_msg("\"%s\" is no whole number", key);
    return json_integer_value(value);
}

static void check_measures(const json_t *m, json_int_t requests) {
    const json_t *ttft = json_object_get(m, "ttft_ms");
    assert_int_equal(number(m, "requests"), requests);
    assert_int_equal(number(m, "errors"), 0);
    assert_true(number(m, "prompt_positions") > 0);
    assert_true(number(m, "ideal_reused_positions") >= number(m, "reused_positions"));
    assert_true(number(m, "ideal_reused_positions") < number(m, "prompt_positions"));
    assert_true(number(m, "pictures") >= number(m, "pictures_encoded"));
    assert_true(json_real_value(json_object_get(ttft, "median")) > 0);
    assert_true(json_real_value(json_object_get(ttft, "p90")) >=
                json_real_value(json_object_get(ttft, "median")));
    assert_true(json_real_value(json_object_get(ttft, "p99")) >=
                json_real_value(json_object_get(ttft, "p90")));
    assert_non_null(json_object_get(m, "prediction_error"));
    assert_true(
        json_real_value(json_object_get(json_object_get(m, "throughput"), "requests_per_s")) > 0);
}

static void test_a_few_conversations_end_well_and_are_measured(void **state) {
    (void)state;
    char path[TEMP_PATH_BYTES + 32], chart[TEMP_PATH_BYTES + 32];
    in_dir("forks.json", path);
    in_dir("forks.svg", chart);
    char *out = run(0, (const char *[]){QUIRE, "replay", "forks", "--conversations", "3", "--seed",
                                        "5", "--json", path, "--plot", chart, NULL});
    assert_non_null(strstr(out, "forks: 3 conversations, seed 5"));
    json_t *root = load(path);
    assert_int_equal(number(root, "workers"), 2);
    check_measures(json_object_get(json_object_get(root, "shapes"), "forks"), 6 + 3 + 3);
    check_measures(json_object_get(root, "total"), 6 + 3 + 3);
    /* Every turn of a conversation begins with the one before it. */
    assert_true(2 * number(json_object_get(root, "total"), "reused_positions") >
                number(json_object_get(root, "total"), "prompt_positions"));
    json_decref(root);
    char *svg = process_read_file(chart);
    assert_non_null(svg);
    assert_non_null(strstr(svg, "<svg"));
    free(svg);
    free(out);
}

static void test_a_recorded_trace_keeps_its_arrival_times(void **state) {
    (void)state;
    static const char trace[] =
        "{\"conversation\":\"a\",\"turn\":1,\"at_ms\":0,\"max_tokens\":2,"
        "\"parts\":[{\"text_bytes\":30}]}\n"
        "{\"conversation\":\"b\",\"turn\":1,\"at_ms\":1200,\"max_tokens\":2,"
        "\"parts\":[{\"text\":\"now\"},{\"picture\":{\"seed\":1}}]}\n";
    char path[TEMP_PATH_BYTES + 32], json[TEMP_PATH_BYTES + 32];
    temp_file(&pool.dir, "two.jsonl", trace, strlen(trace), path, sizeof path);
    in_dir("two.json", json);
    free(run(0, (const char *[]){QUIRE, "replay", path, "--json", json, NULL}));
    json_t *root = load(json);
    assert_true(json_real_value(json_object_get(root, "seconds")) >= 1.2);
    check_measures(json_object_get(json_object_get(root, "shapes"), "recorded"), 2);
    json_decref(root);
}

static void test_a_request_that_does_not_fit_is_counted_and_the_rest_goes_on(void **state) {
    (void)state;
    static const char trace[] =
        "{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text_bytes\":20000}]}\n"
        "{\"conversation\":\"a\",\"turn\":2,\"parts\":[{\"text\":\"after it\"}]}\n"
        "{\"conversation\":\"f\",\"turn\":1,\"from\":{\"conversation\":\"a\",\"turn\":2},"
        "\"parts\":[{\"text\":\"a branch of it\"}]}\n"
        "{\"conversation\":\"b\",\"turn\":1,\"parts\":[{\"text\":\"short\"}]}\n";
    char path[TEMP_PATH_BYTES + 32];
    temp_file(&pool.dir, "long.jsonl", trace, strlen(trace), path, sizeof path);
    char *out = run(error_exit_code(ERR_IO), (const char *[]){QUIRE, "replay", path, NULL});
    assert_non_null(strstr(out, "3 requests got no answer: too-long"));
    free(out);
}

static void test_a_bad_trace_is_one_sentence(void **state) {
    (void)state;
    char path[TEMP_PATH_BYTES + 32];
    temp_file(&pool.dir, "bad.jsonl", "{}\n", 3, path, sizeof path);
    char *out = run(error_exit_code(ERR_USAGE), (const char *[]){QUIRE, "replay", path, NULL});
    assert_non_null(strstr(out, "line 1"));
    free(out);
    out = run(error_exit_code(ERR_NOT_FOUND), (const char *[]){QUIRE, "replay", "spiral", NULL});
    assert_non_null(strstr(out, "agent, photos"));
    free(out);
    out = run(error_exit_code(ERR_USAGE),
              (const char *[]){QUIRE, "replay", "hot", "--compare", NULL});
    assert_non_null(strstr(out, "--workers"));
    free(out);
}

static size_t count_entries(const char *path) {
    DIR *dir = opendir(path);
    size_t n = 0;
    assert_non_null(dir);
    for (const struct dirent *d; (d = readdir(dir)) != NULL;)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void test_a_pool_of_its_own_leaves_nothing_behind(void **state) {
    (void)state;
    struct temp_dir tmp;
    char json[TEMP_PATH_BYTES + 32], before[512] = "/tmp";
    const char *old = getenv("TMPDIR");
    if (old != NULL)
        (void)snprintf(before, sizeof before, "%s", old);
    temp_dir_open(&tmp);
    in_dir("own.json", json);
    setenv("TMPDIR", tmp.path, 1);
    free(run(0, (const char *[]){QUIRE, "replay", "pages", "-c", "4", "--workers", "2", "--threads",
                                 "1", "--kv-memory", "64M", "--model", MODEL, "--mmproj", MMPROJ,
                                 "--compare", "--json", json, NULL}));
    assert_int_equal(count_entries(tmp.path), 0);
    setenv("TMPDIR", before, 1);
    json_t *root = load(json), *policies = json_object_get(root, "policies");
    static const char *const names[] = {"earliest", "least-loaded", "round-robin"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *one = json_object_get(policies, names[i]);
        assert_non_null(one);
        check_measures(json_object_get(one, "total"), 4);
    }
    assert_string_equal(json_string_value(json_object_get(root, "policy")), "earliest");
    json_decref(root);
    temp_dir_close(&tmp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_few_conversations_end_well_and_are_measured),
        cmocka_unit_test(test_a_recorded_trace_keeps_its_arrival_times),
        cmocka_unit_test(test_a_request_that_does_not_fit_is_counted_and_the_rest_goes_on),
        cmocka_unit_test(test_a_bad_trace_is_one_sentence),
        cmocka_unit_test(test_a_pool_of_its_own_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
