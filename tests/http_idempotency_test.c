/* http_idempotency_test.c - the same key again, while its answer runs and afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/support/http.h"
#include "tests/support/pool.h"

#define CHAT "/v1/chat/completions"
#define BODY(tokens, stream)                                                                       \
    "{\"stream\":" stream ",\"max_tokens\":" tokens ",\"temperature\":0,"                          \
    "\"messages\":[{\"role\":\"user\",\"content\":\"once\"}]}"

static struct pool pool;
static struct http_gateway gateway;

static int open_all(void **state) {
    (void)state;
    pool_open(&pool, (struct pool_options){.workers = 1, .broker_flags = {"--dead-ms", "60000"}});
    http_gateway_open(&gateway, &pool.dir, NULL);
    http_wait_log(&gateway, "pool-here", 1);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    http_gateway_close(&gateway);
    pool_close(&pool);
    return 0;
}

static int ask(const char *key, const char *body) {
    char header[400];
    int fd = http_connect(&gateway);
    (void)snprintf(header, sizeof header, "Idempotency-Key: %s\r\n", key);
    http_post(fd, CHAT, header, body);
    return fd;
}

static void answer(const char *key, const char *body, struct http_answer *a) {
    int fd = ask(key, body);
    http_read(fd, a);
    close(fd);
}

static void wait_requests(uint64_t done, uint64_t cancelled) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    struct quire_stats s = pool_stats(&pool);
    while (s.done < done || s.cancelled < cancelled) {
        assert_true(clock_ms() < deadline);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        s = pool_stats(&pool);
    }
    assert_int_equal(s.done, done);
    assert_int_equal(s.cancelled, cancelled);
}

static void same(const struct http_answer *a, const struct http_answer *b) {
    assert_int_equal(a->status, 200);
    assert_int_equal(b->status, 200);
    assert_true(a->whole && b->whole);
    assert_string_equal(a->body, b->body);
}

static void replays(const char *key, const char *body) {
    struct quire_stats before = pool_stats(&pool);
    struct http_answer a, b;
    char value[8];
    answer(key, body, &a);
    answer(key, body, &b);
    same(&a, &b);
    assert_false(http_header(&a, "Idempotent-Replayed", value, sizeof value));
    assert_true(http_header(&b, "Idempotent-Replayed", value, sizeof value));
    assert_int_equal(pool_stats(&pool).requests, before.requests + 1);
    http_answer_close(&a);
    http_answer_close(&b);
}

static void test_a_finished_answer_is_replayed(void **state) {
    (void)state;
    replays("whole", BODY("20", "false"));
    replays("stream", BODY("20", "true"));
}

static void test_a_running_stream_is_joined_from_its_first_byte(void **state) {
    (void)state;
    struct quire_stats before = pool_stats(&pool);
    /* Few enough for the first to be left unread meanwhile without being cut as a slow reader. */
    int first = ask("running", BODY("800", "true"));
    char byte;
    assert_int_equal(recv(first, &byte, 1, MSG_PEEK), 1); /* it has begun */
    int second = ask("running", BODY("800", "true"));
    struct http_answer a, b;
    http_read(second, &b);
    http_read(first, &a);
    same(&a, &b);
    assert_string_equal(a.body + a.bytes - 14, "data: [DONE]\n\n");
    assert_int_equal(pool_stats(&pool).requests, before.requests + 1);
    http_answer_close(&a);
    http_answer_close(&b);
    close(first);
    close(second);
}

static void test_a_running_whole_answer_is_joined(void **state) {
    (void)state;
    struct quire_stats before = pool_stats(&pool);
    int first = ask("joined", BODY("2000", "false")), second = ask("joined", BODY("2000", "false"));
    struct http_answer a, b;
    http_read(first, &a);
    http_read(second, &b);
    same(&a, &b);
    assert_int_equal(pool_stats(&pool).requests, before.requests + 1);
    http_answer_close(&a);
    http_answer_close(&b);
    close(first);
    close(second);
}

static void test_another_body_under_a_key_is_refused(void **state) {
    (void)state;
    struct http_answer a;
    answer("other", BODY("20", "false"), &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
    answer("other", BODY("21", "false"), &a);
    assert_int_equal(a.status, 422);
    assert_non_null(strstr(a.body, "Idempotency-Key"));
    http_answer_close(&a);
    /* Another route is another matter. */
    int fd = http_connect(&gateway);
    http_post(fd, "/v1/completions", "Idempotency-Key: other\r\n",
              "{\"prompt\":\"a\",\"max_tokens\":3}");
    http_read(fd, &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
    close(fd);
}

static void test_a_key_has_a_length(void **state) {
    (void)state;
    char key[300];
    struct http_answer a;
    memset(key, 'k', sizeof key);
    key[256] = '\0';
    answer(key, BODY("2", "false"), &a);
    assert_int_equal(a.status, 400);
    http_answer_close(&a);
    answer("", BODY("2", "false"), &a);
    assert_int_equal(a.status, 400);
    http_answer_close(&a);
    key[255] = '\0';
    answer(key, BODY("2", "false"), &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
}

static void test_a_retry_after_a_broken_connection_gets_all_of_the_answer(void **state) {
    (void)state;
    struct quire_stats before = pool_stats(&pool);
    int first = ask("retry", BODY("4000", "true"));
    char byte;
    assert_int_equal(recv(first, &byte, 1, 0), 1);
    close(first);
    http_wait_log(&gateway, "outcome=client-left", 1);
    struct http_answer a, b;
    answer("retry", BODY("4000", "true"), &a);
    answer("retry", BODY("4000", "true"), &b);
    same(&a, &b);
    assert_string_equal(a.body + a.bytes - 14, "data: [DONE]\n\n");
    http_answer_close(&a);
    http_answer_close(&b);
    wait_requests(before.done + 1, before.cancelled);
}

static void test_what_nobody_comes_back_for_is_cancelled_after_a_while(void **state) {
    (void)state;
    struct quire_stats before = pool_stats(&pool);
    int first = ask("abandoned", BODY("60000", "true"));
    char byte;
    assert_int_equal(recv(first, &byte, 1, 0), 1);
    process_signal(&pool.workers[0], 19); /* so that it is not done before */
    close(first);
    wait_requests(before.done, before.cancelled + 1);
    process_signal(&pool.workers[0], 18);
    /* And is forgotten: the same key runs anew. */
    struct http_answer a;
    answer("abandoned", BODY("5", "false"), &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
}

static void test_one_answer_has_only_so_many_readers(void **state) {
    (void)state;
    enum { READERS = 8 };
    int fds[READERS + 1], read = 0, refused = 0;
    process_signal(&pool.workers[0], 19); /* so that nobody is done before all have come */
    for (int i = 0; i <= READERS; i++)
        fds[i] = ask("crowd", BODY("20", "false"));
    http_wait_log(&gateway, "status=429 outcome=busy", 1);
    process_signal(&pool.workers[0], 18);
    for (int i = 0; i <= READERS; i++) {
        struct http_answer a;
        char value[8];
        http_read(fds[i], &a);
        read += a.status == 200;
        refused += a.status == 429 && http_header(&a, "Retry-After", value, sizeof value);
        http_answer_close(&a);
        close(fds[i]);
    }
    assert_int_equal(read, READERS);
    assert_int_equal(refused, 1);
}

static void test_failures_are_not_kept(void **state) {
    (void)state;
    static const char wrong[] = "{\"model\":\"none\",\"messages\":[{\"role\":\"user\","
                                "\"content\":\"a\"}]}";
    struct http_answer a;
    char value[8];
    for (int i = 0; i < 2; i++) {
        answer("failed", wrong, &a);
        assert_int_equal(a.status, 404);
        assert_false(http_header(&a, "Idempotent-Replayed", value, sizeof value));
        http_answer_close(&a);
    }
    answer("failed", BODY("5", "false"), &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_finished_answer_is_replayed),
        cmocka_unit_test(test_a_running_stream_is_joined_from_its_first_byte),
        cmocka_unit_test(test_a_running_whole_answer_is_joined),
        cmocka_unit_test(test_another_body_under_a_key_is_refused),
        cmocka_unit_test(test_a_key_has_a_length),
        cmocka_unit_test(test_a_retry_after_a_broken_connection_gets_all_of_the_answer),
        cmocka_unit_test(test_what_nobody_comes_back_for_is_cancelled_after_a_while),
        cmocka_unit_test(test_one_answer_has_only_so_many_readers),
        cmocka_unit_test(test_failures_are_not_kept),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
