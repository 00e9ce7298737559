/* replay_http_test.c - quire replay over HTTP: the same requests, the same answers' figures, and
 * the same share found computed as over ZeroMQ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/error.h"
#include "tests/support/http.h"
#include "tests/support/pool.h"

#define QUIRE QUIRE_BIN_DIR "/quire"
#define MODEL QUIRE_DEMO_DIR "/quire-demo.gguf"
#define MMPROJ QUIRE_DEMO_DIR "/quire-demo-mmproj.gguf"
#define KEY_BYTES 128

/* A pool of one worker, on which nothing was asked yet, behind a gateway. */
struct stand {
    struct pool pool;
    struct http_gateway gateway;
    char url[64];
};

static void open_stand(struct stand *s, const char *keys) {
    pool_open(&s->pool, (struct pool_options){.workers = 1, .model = MODEL, .mmproj = MMPROJ});
    const char *flags[] = {"--endpoint", s->pool.clients, keys != NULL ? "--keys" : NULL, keys,
                           NULL};
    http_gateway_open(&s->gateway, &s->pool.dir, flags);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/", s->gateway.port);
}

static void close_stand(struct stand *s) {
    http_gateway_close(&s->gateway);
    pool_close(&s->pool);
}

static char *run(int expected, const char *const *argv) {
    char *out;
    int code = process_run(argv, NULL, true, &out);
    if (code != expected)
        fail_msg("quire replay: exit code %d, not %d:\n%s", code, expected, out);
    return out;
}

/* The measures of a whole replay of a shape, one conversation at a time. `http`: over it. */
static json_t *measure(const struct stand *s, const char *shape, bool http) {
    char path[TEMP_PATH_BYTES + 32];
    json_error_t error;
    (void)snprintf(path, sizeof path, "%s/%s.json", s->pool.dir.path, shape);
    free(run(0, (const char *[]){QUIRE, "replay", shape, "--conversations", "3", "--concurrency",
                                 "1", "--seed", "5", "--json", path, http ? "--http" : "--endpoint",
                                 http ? s->url : s->pool.clients, NULL}));
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", path, error.text);
    return root;
}

static json_int_t number(const json_t *root, const char *key) {
    const json_t *value = json_object_get(json_object_get(root, "total"), key);
    if (!json_is_integer(value))
        fail_msg("\"%s\" is no whole number", key);
    return json_integer_value(value);
}

static void test_as_much_is_reused_over_http_as_over_zeromq(void **state) {
    (void)state;
    static const char *const shapes[] = {"forks", "pages", "photos"};
    static const char *const keys[] = {
        "requests", "errors",           "prompt_positions",      "reused_positions",
        "pictures", "pictures_encoded", "ideal_reused_positions"};
    json_t *messages[3], *http[3];
    struct stand stand;
    for (int way = 0; way < 2; way++) {
        open_stand(&stand, NULL);
        for (size_t i = 0; i < 3; i++)
            *(way == 0 ? &messages[i] : &http[i]) = measure(&stand, shapes[i], way == 1);
        close_stand(&stand);
    }
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (number(messages[i], keys[k]) != number(http[i], keys[k]))
                fail_msg("%s: %s is %lld over ZeroMQ and %lld over HTTP", shapes[i], keys[k],
                         (long long)number(messages[i], keys[k]),
                         (long long)number(http[i], keys[k]));
        assert_true(number(http[i], "requests") > 0);
        assert_int_equal(number(http[i], "errors"), 0);
        assert_true(number(http[i], "reused_positions") > 0);
        assert_true(json_real_value(json_object_get(
                        json_object_get(json_object_get(http[i], "total"), "ttft_ms"), "median")) >
                    0);
        json_decref(messages[i]);
        json_decref(http[i]);
    }
}

/* ---- keys ---- */

/* Makes a key with a setting, and writes a file of it alone. */
static void make_key(const struct temp_dir *dir, const char *setting, char key[KEY_BYTES],
                     char *path, size_t room) {
    char *out, *text = NULL;
    assert_int_equal(
        process_run((const char *[]){QUIRE_BIN_DIR "/quire-gateway", "--new-key", "replay", NULL},
                    NULL, false, &out),
        0);
    const char *begin = strstr(out, "quire-"), *section = strstr(out, "[replay]");
    assert_true(begin != NULL && section != NULL);
    size_t n = strcspn(begin, " \n\"");
    assert_true(n < KEY_BYTES);
    memcpy(key, begin, n);
    key[n] = '\0';
    assert_true(asprintf(&text, "%s\n%s\n", section, setting) > 0);
    temp_file(dir, "keys.ini", text, strlen(text), path, room);
    assert_int_equal(chmod(path, 0600), 0);
    free(text);
    free(out);
}

static void test_a_key_is_shown_and_without_one_the_refusal_is_told(void **state) {
    (void)state;
    struct temp_dir dir;
    struct stand stand;
    char key[KEY_BYTES], path[TEMP_PATH_BYTES + 32];
    temp_dir_open(&dir);
    make_key(&dir, "", key, path, sizeof path);
    open_stand(&stand, path);
    free(run(0, (const char *[]){QUIRE, "replay", "photos", "-c", "2", "--http", stand.url, "--key",
                                 key, NULL}));
    char *out = run(error_exit_code(ERR_IO), (const char *[]){QUIRE, "replay", "photos", "-c", "2",
                                                              "--http", stand.url, NULL});
    assert_non_null(strstr(out, "2 requests got no answer: io: give a valid key"));
    free(out);
    close_stand(&stand);
    temp_dir_close(&dir);
}

/* The gateway says 429 to most of them at first. */
static void test_a_key_that_is_busy_is_asked_again(void **state) {
    (void)state;
    struct temp_dir dir;
    struct stand stand;
    char key[KEY_BYTES], path[TEMP_PATH_BYTES + 32];
    temp_dir_open(&dir);
    make_key(&dir, "in-flight = 1", key, path, sizeof path);
    open_stand(&stand, path);
    free(run(0, (const char *[]){QUIRE, "replay", "photos", "-c", "4", "--concurrency", "4",
                                 "--http", stand.url, "--key", key, NULL}));
    assert_true(
        http_metric(&stand.gateway,
                    "quire_gateway_requests_total{dialect=\"openai-chat\",outcome=\"busy\"}") > 0);
    close_stand(&stand);
    temp_dir_close(&dir);
}

/* ---- what goes wrong ---- */

static void test_a_request_that_does_not_fit_is_counted_and_the_rest_goes_on(void **state) {
    (void)state;
    static const char trace[] =
        "{\"conversation\":\"a\",\"turn\":1,\"parts\":[{\"text_bytes\":20000}]}\n"
        "{\"conversation\":\"b\",\"turn\":1,\"parts\":[{\"text\":\"short\"}]}\n";
    char path[TEMP_PATH_BYTES + 32];
    struct stand stand;
    open_stand(&stand, NULL);
    temp_file(&stand.pool.dir, "long.jsonl", trace, strlen(trace), path, sizeof path);
    char *out = run(error_exit_code(ERR_IO),
                    (const char *[]){QUIRE, "replay", path, "--http", stand.url, NULL});
    assert_non_null(strstr(out, "1 requests got no answer: "));
    free(out);
    close_stand(&stand);
}

static void refused(int code, const char *url, const char *sentence) {
    char *out =
        run(code, (const char *[]){QUIRE, "replay", "photos", "-c", "1", "--http", url, NULL});
    if (strstr(out, sentence) == NULL || strchr(out, '\n') != out + strlen(out) - 1)
        fail_msg("\"%s\" is not one line with \"%s\"", out, sentence);
    free(out);
}

static void test_a_gateway_that_is_not_there_is_one_sentence(void **state) {
    (void)state;
    refused(error_exit_code(ERR_TIMEOUT), "http://127.0.0.1:1", "no gateway answers");
    refused(error_exit_code(ERR_USAGE), "ftp://127.0.0.1:1", "no URL of a gateway");
    refused(error_exit_code(ERR_USAGE), "", "no URL of a gateway");
}

static void test_http_and_a_pool_of_its_own_exclude_each_other(void **state) {
    (void)state;
    char *out = run(error_exit_code(ERR_USAGE),
                    (const char *[]){QUIRE, "replay", "photos", "--http", "http://127.0.0.1:1",
                                     "--workers", "1", NULL});
    assert_non_null(strstr(out, "--workers"));
    free(out);
}

/* QUIRE_HTTP=off, which somebody set for quire up, leaves replays as they are. */
static void test_off_is_no_gateway(void **state) {
    (void)state;
    setenv("QUIRE_HTTP", "off", 1);
    char *out =
        run(error_exit_code(ERR_TIMEOUT),
            (const char *[]){QUIRE, "replay", "photos", "--endpoint", "ipc:///nonexistent", NULL});
    unsetenv("QUIRE_HTTP");
    assert_non_null(strstr(out, "no broker answers"));
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_much_is_reused_over_http_as_over_zeromq),
        cmocka_unit_test(test_a_key_is_shown_and_without_one_the_refusal_is_told),
        cmocka_unit_test(test_a_key_that_is_busy_is_asked_again),
        cmocka_unit_test(test_a_request_that_does_not_fit_is_counted_and_the_rest_goes_on),
        cmocka_unit_test(test_a_gateway_that_is_not_there_is_one_sentence),
        cmocka_unit_test(test_http_and_a_pool_of_its_own_exclude_each_other),
        cmocka_unit_test(test_off_is_no_gateway),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
