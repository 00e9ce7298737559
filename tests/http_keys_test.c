/* http_keys_test.c - who may ask, how the gateway ends, and what its log looks like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/clock.h"
#include "tests/support/http.h"
#include "tests/support/pool.h"

#define CHAT "/v1/chat/completions"
#define SHORT                                                                                      \
    "{\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"secret-question\"}]}"
#define COUNT "{\"model\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"secret-question\"}]}"
#define LONG                                                                                       \
    "{\"stream\":true,\"max_tokens\":60000,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"

static struct pool pool;
static struct http_gateway gateway;

static int open_all(void **state) {
    (void)state;
    pool_open(&pool, (struct pool_options){.workers = 1});
    return 0;
}

static int close_all(void **state) {
    (void)state;
    pool_close(&pool);
    return 0;
}

/* Makes a key; its section of the key file is added to `file`. */
static void make_key(const char *name, const char *more, char key[128], char *file, size_t room) {
    const char *argv[] = {QUIRE_BIN_DIR "/quire-gateway", "--new-key", name, NULL};
    char *out, section[80];
    assert_int_equal(process_run(argv, NULL, false, &out), 0);
    (void)snprintf(section, sizeof section, "[%s]", name);
    char *begin = strstr(out, section);
    assert_non_null(begin);
    size_t used = strlen(file);
    (void)snprintf(file + used, room - used, "%s\n%s\n", begin, more);
    /* The key is the only word of its length. */
    key[0] = '\0';
    for (char *word = strtok(out, " \n\t\""); word; word = strtok(NULL, " \n\t\""))
        if (strlen(word) >= 40 && strncmp(word, "sha256:", 7) != 0 && strlen(word) < 128)
            strcpy(key, word);
    assert_true(key[0] != '\0');
    free(out);
}

static void write_keys(const char *text, char *path, size_t capacity) {
    temp_file(&pool.dir, "keys.ini", text, strlen(text), path, capacity);
    assert_int_equal(chmod(path, 0600), 0);
}

static int post(const char *path, const char *headers, const char *body) {
    struct http_answer a;
    int fd = http_connect(&gateway);
    http_post(fd, path, headers, body);
    http_read(fd, &a);
    int status = a.status;
    http_answer_close(&a);
    close(fd);
    return status;
}

static int status_of(const char *path, const char *headers) {
    return post(path, headers, SHORT);
}

static int get(const char *path, const char *headers) {
    char request[1024];
    struct http_answer a;
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: gateway.example\r\n%s\r\n",
                   path, headers);
    http_ask(&gateway, request, &a);
    int status = a.status;
    http_answer_close(&a);
    return status;
}

static void test_keys_open_what_they_are_for(void **state) {
    (void)state;
    char file[4096] = "", alice[128], root[128], path[256], bearer[200], plain[200], admin[200];
    make_key("alice", "tenant = shop", alice, file, sizeof file);
    make_key("root", "admin = yes", root, file, sizeof file);
    write_keys(file, path, sizeof path);
    const char *flags[] = {"--keys", path, "--log-json", NULL};
    http_gateway_open(&gateway, &pool.dir, flags);
    http_wait_log(&gateway, "pool-here", 1);
    (void)snprintf(bearer, sizeof bearer, "Authorization: Bearer %s\r\n", alice);
    (void)snprintf(plain, sizeof plain, "x-api-key: %s\r\n", alice);
    (void)snprintf(admin, sizeof admin, "api-key: %s\r\n", root);
    assert_int_equal(status_of(CHAT, ""), 401);
    assert_int_equal(status_of(CHAT, "Authorization: Bearer wrong\r\n"), 401);
    assert_int_equal(status_of("/v1/messages", "x-api-key: \r\n"), 401);
    assert_int_equal(status_of(CHAT, bearer), 200);
    assert_int_equal(status_of(CHAT, plain), 200);
    assert_int_equal(get("/healthz", ""), 200); /* any host does: there are keys */
    assert_int_equal(get("/v1/models", ""), 401);
    assert_int_equal(get("/metrics", ""), 401); /* under a name of this machine anybody may */
    assert_int_equal(get("/v1/models", plain), 200);
    assert_int_equal(get("/quire/workers/w0/losses", plain), 403);
    assert_int_equal(get("/quire/workers/w0/losses", admin), 200);
    http_wait_log(&gateway, "\"tenant\":\"shop\"", 3);
    char *log = process_read_file(gateway.log);
    assert_null(strstr(log, alice));
    assert_null(strstr(log, "secret-question"));
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *value = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (value == NULL)
            fail_msg("no JSON: %s", line);
        assert_true(json_is_string(json_object_get(value, "time")));
        json_decref(value);
    }
    free(log);
    http_gateway_close(&gateway);
}

static void test_a_new_key_file_is_read_on_a_signal(void **state) {
    (void)state;
    char first[4096] = "", second[4096] = "", one[128], two[128], path[256], a[200], b[200];
    make_key("one", "", one, first, sizeof first);
    make_key("two", "", two, second, sizeof second);
    write_keys(first, path, sizeof path);
    const char *flags[] = {"--keys", path, NULL};
    http_gateway_open(&gateway, &pool.dir, flags);
    (void)snprintf(a, sizeof a, "x-api-key: %s\r\n", one);
    (void)snprintf(b, sizeof b, "x-api-key: %s\r\n", two);
    assert_int_equal(get("/v1/models", a), 200);
    assert_int_equal(get("/v1/models", b), 401);
    write_keys(second, path, sizeof path);
    process_signal(&gateway.process, 1);
    http_wait_log(&gateway, "keys-read", 1);
    assert_int_equal(get("/v1/models", a), 401);
    assert_int_equal(get("/v1/models", b), 200);
    write_keys("[broken\n", path, sizeof path);
    process_signal(&gateway.process, 1);
    http_wait_log(&gateway, "keys-kept", 1);
    assert_int_equal(get("/v1/models", b), 200);
    http_gateway_close(&gateway);
}

static void test_limits_of_a_key_are_told_with_a_time(void **state) {
    (void)state;
    char file[4096] = "", key[128], path[256], header[200], value[16];
    make_key("small", "in-flight = 1", key, file, sizeof file);
    write_keys(file, path, sizeof path);
    const char *flags[] = {"--keys", path, NULL};
    http_gateway_open(&gateway, &pool.dir, flags);
    http_wait_log(&gateway, "pool-here", 1);
    (void)snprintf(header, sizeof header, "x-api-key: %s\r\n", key);
    int busy = http_connect(&gateway), other = http_connect(&gateway);
    http_post(busy, CHAT, header, LONG);
    char byte;
    assert_int_equal(recv(busy, &byte, 1, 0), 1);
    http_post(other, CHAT, header, SHORT);
    struct http_answer a;
    http_read(other, &a);
    assert_int_equal(a.status, 429);
    assert_true(http_header(&a, "Retry-After", value, sizeof value));
    http_answer_close(&a);
    close(other);
    close(busy);
    http_wait_log(&gateway, "outcome=client-left", 1);
    assert_int_equal(status_of(CHAT, header), 200); /* its place is free again */
    http_gateway_close(&gateway);
}

/* Counting computes nothing, so it is not paid for. */
static void test_counted_prompts_cost_a_key_nothing(void **state) {
    (void)state;
    char file[4096] = "", key[128], path[256], header[200];
    make_key("small", "tokens-per-minute = 1", key, file, sizeof file);
    write_keys(file, path, sizeof path);
    const char *flags[] = {"--keys", path, NULL};
    http_gateway_open(&gateway, &pool.dir, flags);
    http_wait_log(&gateway, "pool-here", 1);
    (void)snprintf(header, sizeof header, "x-api-key: %s\r\n", key);
    for (int i = 0; i < 3; i++)
        assert_int_equal(post("/v1/messages/count_tokens", header, COUNT), 200);
    assert_int_equal(status_of(CHAT, header), 200);
    assert_int_equal(status_of(CHAT, header), 429);
    http_gateway_close(&gateway);
}

static void test_a_gateway_that_ends_finishes_what_is_under_way(void **state) {
    (void)state;
    http_gateway_open(&gateway, &pool.dir, NULL);
    http_wait_log(&gateway, "pool-here", 1);
    int idle = http_connect(&gateway), busy = http_connect(&gateway), late = http_connect(&gateway);
    struct http_answer a;
    http_say(late, "GET /v1/models HTTP/1.1\r\n");
    http_post(busy, CHAT, "",
              "{\"stream\":true,\"max_tokens\":800,"
              "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    char byte;
    assert_int_equal(recv(busy, &byte, 1, MSG_PEEK), 1);
    process_signal(&gateway.process, 15);
    size_t n;
    char *rest = http_read_rest(idle, &n); /* closed at once */
    assert_int_equal(n, 0);
    free(rest);
    http_read(busy, &a);
    assert_true(a.whole);
    assert_string_equal(a.body + a.bytes - 14, "data: [DONE]\n\n");
    http_answer_close(&a);
    assert_int_equal(process_wait(&gateway.process, PROCESS_WAIT_MS), 0);
    close(idle);
    close(busy);
    close(late);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_open_what_they_are_for),
        cmocka_unit_test(test_a_new_key_file_is_read_on_a_signal),
        cmocka_unit_test(test_limits_of_a_key_are_told_with_a_time),
        cmocka_unit_test(test_counted_prompts_cost_a_key_nothing),
        cmocka_unit_test(test_a_gateway_that_ends_finishes_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
