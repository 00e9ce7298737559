/* http_pool_test.c - questions over HTTP to a real broker and worker: answers, streams, readers who
 * leave or do not read, keys, the end of the gateway. */
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
#include <jansson.h>

#include "common/clock.h"
#include "tests/support/http.h"
#include "tests/support/pool.h"

#define CHAT "/v1/chat/completions"
/* The random model goes on and on, some thousand tokens a second. */
#define LONG                                                                                       \
    "{\"stream\":true,\"max_tokens\":40000,\"temperature\":0,"                                     \
    "\"messages\":[{\"role\":\"user\",\"content\":\"a long secret-question\"}]}"
#define SHORT                                                                                      \
    "{\"max_tokens\":5,\"temperature\":0,"                                                         \
    "\"messages\":[{\"role\":\"user\",\"content\":\"a short secret-question\"}]}"
#define SHORT_STREAM                                                                               \
    "{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":5,"               \
    "\"temperature\":0,"                                                                           \
    "\"messages\":[{\"role\":\"user\",\"content\":\"a short secret-question\"}]}"

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

/* A gateway whose pool is known to it. */
static void open_gateway(const char *const *flags) {
    http_gateway_open(&gateway, &pool.dir, flags);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        struct http_answer a;
        http_ask(&gateway, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", &a);
        int status = a.status;
        http_answer_close(&a);
        if (status == 200)
            return;
        assert_true(clock_ms() < deadline);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
}

static void wait_stats(uint64_t cancelled) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        struct quire_stats s = pool_stats(&pool);
        if (s.cancelled >= cancelled && s.in_flight == 0)
            return;
        if (clock_ms() > deadline)
            fail_msg("%llu are cancelled, %u in flight", (unsigned long long)s.cancelled,
                     s.in_flight);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
}

/* Waits until the worker has made at least this many tokens more. */
static void wait_tokens(uint64_t more) {
    struct quire_worker w;
    assert_true(pool_worker(&pool, 0, &w));
    uint64_t want = w.tokens_total + more;
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (w.tokens_total < want) {
        assert_true(clock_ms() < deadline);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        assert_true(pool_worker(&pool, 0, &w));
    }
}

static void test_a_question_is_answered_whole_and_as_a_stream(void **state) {
    (void)state;
    open_gateway(NULL);
    struct http_answer a, b;
    int fd = http_connect(&gateway);
    http_post(fd, CHAT, "Quire-Details: 1\r\n", SHORT);
    http_read(fd, &a);
    assert_int_equal(a.status, 200);
    assert_true(a.whole);
    json_t *whole = json_loads(a.body, 0, NULL);
    assert_non_null(whole);
    const char *text = NULL, *worker = NULL;
    int bytes = 0, answer_tokens = 0;
    assert_int_equal(json_unpack(whole, "{s:[{s:{s:s}}], s:{s:s, s:{s:i}, s:[{s:i}]}}", "choices",
                                 "message", "content", &text, "quire", "worker", &worker, "usage",
                                 "answer_tokens", &answer_tokens, "segments", "bytes", &bytes),
                     0);
    assert_string_equal(worker, "w0");
    assert_int_equal(answer_tokens, 5);
    assert_int_equal(bytes, strlen("a short secret-question"));
    http_post(fd, CHAT, "", SHORT_STREAM); /* the connection was kept */
    http_read(fd, &b);
    assert_int_equal(b.status, 200);
    assert_true(b.whole);
    assert_non_null(strstr(b.head, "Content-Type: text/event-stream"));
    assert_non_null(strstr(b.head, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(b.head, "X-Accel-Buffering: no\r\n"));
    assert_non_null(strstr(b.body, "\"cached_tokens\":"));
    assert_null(strstr(b.body, "\"quire\""));
    assert_string_equal(b.body + b.bytes - 14, "data: [DONE]\n\n");
    json_decref(whole);
    http_answer_close(&a);
    http_answer_close(&b);
    close(fd);
    http_wait_log(&gateway, "dialect=openai-chat", 2);
    char *log = process_read_file(gateway.log);
    assert_null(strstr(log, "secret-question"));
    free(log);
    http_gateway_close(&gateway);
}

static void test_a_failure_before_the_first_token_has_its_status(void **state) {
    (void)state;
    open_gateway(NULL);
    struct http_answer a;
    int fd = http_connect(&gateway);
    http_post(fd, CHAT, "",
              "{\"stream\":true,\"model\":\"no-such-model\","
              "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    http_read(fd, &a);
    assert_int_equal(a.status, 404);
    assert_non_null(strstr(a.body, "\"code\":"));
    http_answer_close(&a);
    close(fd);
    http_gateway_close(&gateway);
}

static void cancelled_after(bool stream, bool reset) {
    uint64_t before = pool_stats(&pool).cancelled;
    int fd = http_connect(&gateway);
    if (stream) {
        http_post(fd, CHAT, "", LONG);
        char head[64];
        assert_true(recv(fd, head, sizeof head, 0) > 0);
    } else {
        static const char body[] =
            "{\"max_tokens\":40000,\"temperature\":0,"
            "\"messages\":[{\"role\":\"user\",\"content\":\"not a stream\"}]}";
        http_post(fd, CHAT, "", body);
    }
    wait_tokens(50); /* it is under way */
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    wait_stats(before + 1);
    http_wait_metric(&gateway, "quire_gateway_http_connections", 1);
    http_wait_metric(&gateway, "quire_gateway_http_streams", 0);
}

static void test_whoever_leaves_has_his_request_cancelled(void **state) {
    (void)state;
    open_gateway(NULL);
    cancelled_after(true, false);
    cancelled_after(true, true);
    cancelled_after(false, false);
    cancelled_after(false, true);
    http_wait_log(&gateway, "outcome=client-left", 4);
    http_gateway_close(&gateway);
}

static void test_a_body_counts_until_its_answer_has_ended(void **state) {
    (void)state;
    open_gateway(NULL);
    char *body = malloc(300000), byte;
    assert_non_null(body);
    int n = sprintf(body, "{\"stream\":true,\"max_tokens\":60000,\"messages\":[{\"role\":\"user\","
                          "\"content\":\"a\"}],\"metadata\":{\"note\":\"");
    memset(body + n, 'x', 200000);
    strcpy(body + n + 200000, "\"}}");
    int fd = http_connect(&gateway);
    http_post(fd, CHAT, "", body);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal((size_t)http_metric(&gateway, "quire_gateway_http_body_bytes"), strlen(body));
    close(fd);
    http_wait_metric(&gateway, "quire_gateway_http_body_bytes", 0);
    free(body);
    http_gateway_close(&gateway);
}

/* His end comes with the request, so that there is nothing to be told of later. */
static void test_whoever_left_before_his_request_was_read_has_it_cancelled_too(void **state) {
    (void)state;
    open_gateway(NULL);
    for (size_t i = 1; i <= 4; i++) {
        struct http_answer a;
        int fd = http_connect(&gateway);
        http_say(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        http_read(fd, &a);
        http_answer_close(&a);
        http_post(fd, CHAT, "",
                  "{\"max_tokens\":40000,\"temperature\":0,"
                  "\"messages\":[{\"role\":\"user\",\"content\":\"nobody waits\"}]}");
        if (i % 2)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
        http_wait_log(&gateway, "outcome=client-left", i);
        if (i % 2)
            close(fd);
    }
    wait_stats(0);
    char *log = process_read_file(gateway.log);
    assert_null(strstr(log, "first_ms=")); /* nothing was answered */
    free(log);
    http_gateway_close(&gateway);
}

/* MHD needs help with this (exchange_cut). */
static void test_a_stream_that_was_left_is_closed_beside_an_older_connection(void **state) {
    (void)state;
    open_gateway(NULL);
    struct http_answer a;
    int older = http_connect(&gateway);
    http_say(older, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http_read(older, &a);
    http_answer_close(&a);
    int fd = http_connect(&gateway);
    http_say(fd, "GET /quire/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    char bytes[65536] = "";
    for (size_t have = 0; strstr(bytes, "\n\n\r\n") == NULL;) { /* all that there is, so that */
        ssize_t n = recv(fd, bytes + have, sizeof bytes - 1 - have, 0); /* closing is no reset */
        assert_true(n > 0);
        have += (size_t)n;
        bytes[have] = '\0';
    }
    close(fd);
    http_wait_metric(&gateway, "quire_gateway_http_streams", 0);
    http_wait_metric(&gateway, "quire_gateway_http_connections", 2); /* the older, and who asks */
    close(older);
    http_gateway_close(&gateway);
}

static void test_whoever_does_not_read_is_cut_off(void **state) {
    (void)state;
    open_gateway(NULL);
    uint64_t before = pool_stats(&pool).cancelled;
    int fd = http_connect(&gateway);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){8192}, sizeof(int));
    /* With 20 alternatives each token is some kilobytes. */
    http_post(fd, CHAT, "",
              "{\"stream\":true,\"max_tokens\":40000,\"temperature\":0,\"logprobs\":true,"
              "\"top_logprobs\":20,\"messages\":[{\"role\":\"user\",\"content\":\"b\"}]}");
    wait_stats(before + 1);
    http_wait_metric(&gateway, "quire_gateway_slow_readers_cut_total", 1);
    http_wait_log(&gateway, "outcome=slow-reader", 1);
    size_t n;
    char *all = http_read_rest(fd, &n);
    assert_null(strstr(all, "[DONE]"));
    free(all);
    close(fd);
    http_gateway_close(&gateway);
}

static void test_a_stream_that_waits_is_pinged_and_its_later_failure_is_an_event(void **state) {
    (void)state;
    const char *flags[] = {"--ping-seconds", "1", NULL};
    open_gateway(flags);
    process_signal(&pool.workers[0], 19); /* it stops to answer */
    int fd = http_connect(&gateway);
    http_post(fd, CHAT, "", LONG);
    char bytes[4096] = "";
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (strstr(bytes, "\r\n\r\n") == NULL || strstr(bytes, "\n:") == NULL) {
        ssize_t n = recv(fd, bytes, sizeof bytes - 1, MSG_PEEK);
        assert_true(n > 0 && clock_ms() < deadline);
        bytes[n] = '\0';
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    assert_int_equal(strncmp(bytes, "HTTP/1.1 200 ", 13), 0);
    process_kill(&pool.workers[0]);
    process_kill(&pool.broker); /* longer than the gateway waits for it */
    struct http_answer a;
    http_read(fd, &a);
    assert_non_null(strstr(a.body, "\"error\""));
    assert_null(strstr(a.body, "[DONE]"));
    http_answer_close(&a);
    close(fd);
    pool_start_broker(&pool);
    pool_start_worker(&pool, 0);
    pool_wait_up(&pool, 1);
    http_gateway_close(&gateway);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_question_is_answered_whole_and_as_a_stream),
        cmocka_unit_test(test_a_failure_before_the_first_token_has_its_status),
        cmocka_unit_test(test_whoever_leaves_has_his_request_cancelled),
        cmocka_unit_test(test_a_body_counts_until_its_answer_has_ended),
        cmocka_unit_test(test_whoever_left_before_his_request_was_read_has_it_cancelled_too),
        cmocka_unit_test(test_a_stream_that_was_left_is_closed_beside_an_older_connection),
        cmocka_unit_test(test_whoever_does_not_read_is_cut_off),
        cmocka_unit_test(test_a_stream_that_waits_is_pinged_and_its_later_failure_is_an_event),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
