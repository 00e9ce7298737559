/* http_strict_test.c - hostile and broken HTTP against the real program; no model is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/must.h"
#include "tests/support/http.h"

#define HOST "Host: localhost\r\n"
#define JSON HOST "Content-Type: application/json\r\n"
#define GET "GET /healthz HTTP/1.1\r\n"
#define POST "POST /v1/chat/completions HTTP/1.1\r\n"
#define NEXT GET HOST "\r\n" /* smuggled, if it is answered */

static struct temp_dir dir;
static struct http_gateway gateway;

static int start(void **state) {
    (void)state;
    temp_dir_open(&dir);
    setenv("QUIRE_RUNTIME_DIR", dir.path, 1);
    const char *flags[] = {"--cors-origins", "https://page.example", "--trusted-proxies",
                           "127.0.0.0/8", NULL};
    http_gateway_open(&gateway, &dir, flags);
    return 0;
}

static int stop(void **state) {
    (void)state;
    http_gateway_close(&gateway);
    temp_dir_close(&dir);
    return 0;
}

/* Sends raw bytes and reads to the end: exactly one answer with this status, and a closed
 * connection. MHD puts the head of some of its own answers twice; then both say the same. */
static void refuse_raw(const char *data, size_t bytes, int status, bool mhd) {
    int fd = http_connect(&gateway);
    http_send(fd, data, bytes);
    size_t n;
    char *all = http_read_rest(fd, &n), expected[16];
    (void)snprintf(expected, sizeof expected, "HTTP/1.1 %d ", status);
    if (strncmp(all, expected, strlen(expected)) != 0)
        fail_msg("not %d but \"%.300s\" for \"%.200s\"", status, all, data);
    for (const char *p = all; (p = strstr(p + 1, "HTTP/1.1 "));)
        if (p[9] >= '0' && p[9] <= '9' && (!mhd || strncmp(p, expected, strlen(expected)) != 0))
            fail_msg("a second answer: \"%s\" for \"%.200s\"", all, data);
    free(all);
    close(fd);
}

static void refused(const char *text, int status) {
    refuse_raw(text, strlen(text), status, false);
}

static void refused_by_mhd(const char *text, int status) {
    refuse_raw(text, strlen(text), status, true);
}

static void test_a_body_with_two_lengths_is_refused_and_nothing_after_it_is_answered(void **state) {
    (void)state;
    refused(POST JSON "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400);
    refused(POST JSON "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" NEXT, 400);
    refused(POST JSON "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" NEXT, 400);
    refused(POST JSON "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: \r\n\r\n" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: 5, 5\r\n\r\nhello" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: +5\r\n\r\nhello" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: -5\r\n\r\nhello" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: 0x5\r\n\r\nhello" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: 5 \r\n\r\nhello" NEXT, 400);
    refused_by_mhd(POST JSON "Content-Length: 99999999999999999999999\r\n\r\nhello" NEXT, 413);
}

static void test_other_codings_of_a_body_are_refused(void **state) {
    (void)state;
    refused(POST JSON "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, 400);
    refused(POST JSON "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT, 400);
    refused(POST JSON "Transfer-Encoding: identity\r\n\r\n" NEXT, 400);
    refused(POST JSON "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" NEXT, 400);
    refused(POST JSON
            "Transfer-Encoding:\tchunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" NEXT,
            400);
    refused(POST JSON "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" NEXT, 400);
    refused("POST /v1/chat/completions HTTP/1.0\r\n" JSON
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
            400);
}

static void test_broken_chunks_are_refused(void **state) {
    (void)state;
    static const char head[] = POST JSON "Transfer-Encoding: chunked\r\n\r\n";
    static const char *const bodies[] = {"zz\r\nhello\r\n0\r\n\r\n", "-1\r\nhello\r\n0\r\n\r\n",
                                         "0x5\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n",
                                         "5\r\nhello0\r\n\r\n"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char all[512];
        (void)snprintf(all, sizeof all, "%s%s%s", head, bodies[i], NEXT);
        refused_by_mhd(all, 400);
    }
    refused_by_mhd(POST JSON "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello" NEXT,
                   413);
}

static void test_nothing_after_a_chunked_body_is_answered(void **state) {
    (void)state;
    /* 400 since it is no conversation; the next request may not be believed. */
    refused(POST JSON "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" NEXT, 400);
}

static void test_lines_that_a_proxy_may_read_in_another_way_are_refused(void **state) {
    (void)state;
    refused(GET HOST "X-A: b\r\n c: d\r\n\r\n" NEXT, 400);
    refused(GET HOST "X-A: b\r\n\tTransfer-Encoding: chunked\r\n\r\n" NEXT, 400);
    refused(GET " " HOST "\r\n" NEXT, 400);
    refused(GET "Host: localhost\n\r\n" NEXT, 400);
    refused(GET HOST "\n" NEXT, 400);
    refused("GET /healthz HTTP/1.1\n" HOST "\r\n" NEXT, 400);
    refused(GET HOST "X: a\rb\r\n\r\n" NEXT, 400);
    refused(GET HOST "X: a\x01\r\n\r\n" NEXT, 400);
    refused(GET HOST "X Y: a\r\n\r\n" NEXT, 400);
    refused(GET HOST ": a\r\n\r\n" NEXT, 400);
    refused_by_mhd(GET HOST "nocolon\r\n\r\n" NEXT, 400);
    static const char value[] = GET HOST "X: a\0b\r\n\r\n" NEXT;
    static const char line[] = GET HOST "\0X: ab\r\n\r\n" NEXT;
    static const char target[] = "GET /heal\0thz HTTP/1.1\r\n" HOST "\r\n" NEXT;
    refuse_raw(value, sizeof value - 1, 400, false);
    refuse_raw(line, sizeof line - 1, 400, false);
    refuse_raw(target, sizeof target - 1, 400, false);
}

static void test_wrong_first_lines_are_refused(void **state) {
    (void)state;
    refused("GET  /healthz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET /heal thz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET healthz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET /healthz?a=%zz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET /healthz?a=%00 HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET /healthz#a HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET * HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("G@T /healthz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    refused("GET /healthz HTTP/1.2\r\n" HOST "\r\n" NEXT, 505);
    refused_by_mhd("GET /healthz HTTP/2.0\r\n" HOST "\r\n" NEXT, 505);
}

static void test_a_request_for_another_host_is_refused(void **state) {
    (void)state;
    struct http_answer a;
    refused(GET "\r\n" NEXT, 400);
    refused(GET HOST HOST "\r\n" NEXT, 400);
    refused(GET "Host: local host\r\n\r\n" NEXT, 400);
    refused("GET http://evil.example/healthz HTTP/1.1\r\n" HOST "\r\n" NEXT, 400);
    http_ask(&gateway, GET "Host: evil.example\r\n\r\n", &a);
    assert_int_equal(a.status, 403);
    http_answer_close(&a);
    static const char *const fine[] = {"localhost", "localhost:8080", "127.0.0.1", "[::1]:99",
                                       "127.1.2.3:1"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        char all[200];
        (void)snprintf(all, sizeof all, GET "Host: %s\r\n\r\n", fine[i]);
        http_ask(&gateway, all, &a);
        assert_int_equal(a.status, 200);
        http_answer_close(&a);
    }
    http_ask(&gateway, "GET http://localhost/healthz HTTP/1.1\r\n" HOST "\r\n", &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
}

/* A head with `n` bytes `c` in the middle. */
static void refused_when_long(const char *before, char c, size_t n, const char *after, int status) {
    size_t b = strlen(before), all = b + n + strlen(after);
    char *text = malloc(all + 1);
    MUST(text != NULL);
    memcpy(text, before, b);
    memset(text + b, c, n);
    memcpy(text + b + n, after, strlen(after) + 1);
    refuse_raw(text, all, status, true);
    free(text);
}

static void test_large_heads_are_refused(void **state) {
    (void)state;
    refused_when_long(GET HOST "X: ", 'a', 100000, "\r\n\r\n", 431);
    refused_when_long("GET /", 'a', 100000, " HTTP/1.1\r\n" HOST "\r\n", 414);
    refused_when_long("GET /", 'a', 5000, " HTTP/1.1\r\n" HOST "\r\n", 414);
    char many[8192] = GET HOST;
    for (int i = 0; i < 150; i++)
        strcat(many, "A: b\r\n");
    strcat(many, "\r\n");
    refused(many, 431);
}

static void answers(const char *request, int status, const char *part) {
    struct http_answer a;
    http_ask(&gateway, request, &a);
    if (a.status != status || (part && !strstr(a.body, part) && !strstr(a.head, part)))
        fail_msg("not %d with \"%s\" but %s%s for %s", status, part, a.head, a.body, request);
    char id[64];
    assert_true(http_header(&a, "X-Request-Id", id, sizeof id) && strlen(id) == 32);
    assert_null(strstr(a.body, "<html"));
    http_answer_close(&a);
}

static void test_paths_methods_and_types_have_their_statuses(void **state) {
    (void)state;
    answers("GET /nope HTTP/1.1\r\n" HOST "\r\n", 404, "\"code\":\"not-found\"");
    answers("GET /v1/nope HTTP/1.1\r\n" HOST "\r\n", 404, "invalid_request_error");
    answers("GET /v1%2Fmodels HTTP/1.1\r\n" HOST "\r\n", 404, "error");
    answers("GET //v1/models HTTP/1.1\r\n" HOST "\r\n", 404, "error");
    answers("GET /v1/../v1/models HTTP/1.1\r\n" HOST "\r\n", 404, "error");
    answers("GET /v1/messages HTTP/1.1\r\n" HOST "\r\n", 405, "Allow: POST\r\n");
    answers("DELETE /healthz HTTP/1.1\r\n" HOST "\r\n", 405, "Allow: GET, HEAD\r\n");
    answers("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 204, "Allow: GET, HEAD, POST, OPTIONS");
    answers("POST /v1/messages HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 415,
            "\"type\":\"error\"");
    answers("POST /v1/messages HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n"
            "Content-Length: 2\r\n\r\n{}",
            415, "\"type\":\"error\"");
    answers("POST /v1/messages HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
            "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
            415, "Content-Encoding");
    answers("POST /v1/messages HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
            "Content-Length: 10\r\n\r\n[\"\\u0000\"]",
            400, "u0000");
    answers("GET /healthz HTTP/1.0\r\n\r\n", 200, "Connection: close");
    answers("\r\n\r\n" GET HOST "\r\n", 200, "ok");
    answers("GET /healthz?a=b&c&d=%20 HTTP/1.1\r\n" HOST "\r\n", 200, "ok");
}

static void asks(const char *body, size_t bytes, const char *part) {
    char head[300];
    int fd = http_connect(&gateway);
    (void)snprintf(head, sizeof head, POST JSON "Content-Length: %zu\r\n\r\n", bytes);
    http_say(fd, head);
    http_send(fd, body, bytes);
    struct http_answer a;
    http_read(fd, &a);
    if (a.status != 400 || !strstr(a.body, "invalid_request_error") || !strstr(a.body, part))
        fail_msg("not 400 with \"%s\" but %d: %s", part, a.status, a.body);
    http_answer_close(&a);
    http_say(fd, NEXT); /* the connection is fine */
    http_read(fd, &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
    close(fd);
}

static void test_bodies_that_are_no_json_are_refused_without_being_quoted(void **state) {
    (void)state;
    asks("", 0, "empty");
    asks("{\"secret-prompt\":", 17, "not valid JSON");
    asks("{\"a\":1,\"a\":2}", 13, "not valid JSON");
    asks("{\"a\":\"\xff\xfe\"}", 10, "not valid JSON");
    asks("{\"a\":\"\xed\xa0\x80\"}", 11, "not valid JSON"); /* a surrogate */
    asks("{\"a\":\"\xc0\x80\"}", 10, "not valid JSON");     /* an overlong NUL */
    asks("{\"a\":\"\0\"}", 9, "not valid JSON");
    asks("{} {}", 5, "not valid JSON");
    asks("[]", 2, "");
    asks("\"\\", 2, "not valid JSON"); /* the look before parsing must not run past the end */
    char *log = process_read_file(gateway.log);
    assert_non_null(log);
    assert_null(strstr(log, "secret-prompt"));
    free(log);
}

static void test_deep_and_crowded_json_is_refused(void **state) {
    (void)state;
    char *deep = malloc(200000), *wide = malloc(1200003);
    MUST(deep && wide);
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    asks(deep, 200000, "nested");
    wide[0] = '[';
    for (size_t i = 0; i < 400000; i++)
        memcpy(wide + 1 + 3 * i, "[],", 3);
    memcpy(wide + 1200001, "0]", 2);
    asks(wide, 1200003, "values");
    free(deep);
    free(wide);
}

static void test_pipelined_requests_are_answered_in_order(void **state) {
    (void)state;
    int fd = http_connect(&gateway);
    http_say(fd, GET HOST "\r\n"
                          "GET /nope HTTP/1.1\r\n" HOST "\r\n" GET HOST "\r\n");
    static const int expected[] = {200, 404, 200};
    for (size_t i = 0; i < 3; i++) {
        struct http_answer a;
        http_read(fd, &a);
        assert_int_equal(a.status, expected[i]);
        http_answer_close(&a);
    }
    close(fd);
}

static void test_a_refused_short_body_leaves_the_connection_usable(void **state) {
    (void)state;
    int fd = http_connect(&gateway);
    http_say(fd, "POST /nope HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" NEXT);
    struct http_answer a;
    http_read(fd, &a);
    assert_int_equal(a.status, 404);
    http_answer_close(&a);
    http_read(fd, &a);
    assert_int_equal(a.status, 200);
    http_answer_close(&a);
    close(fd);
}

static void test_who_asked_all_and_closed_its_side_is_answered(void **state) {
    (void)state;
    int fd = http_connect(&gateway);
    http_say(fd, GET HOST "\r\n");
    shutdown(fd, SHUT_WR);
    size_t n;
    char *all = http_read_rest(fd, &n);
    assert_int_equal(strncmp(all, "HTTP/1.1 200 ", 13), 0);
    free(all);
    close(fd);
    fd = http_connect(&gateway);
    http_say(fd, GET); /* a head that will never end; the connection does */
    shutdown(fd, SHUT_WR);
    all = http_read_rest(fd, &n);
    assert_int_equal(n, 0);
    free(all);
    close(fd);
}

static void test_who_waits_for_100_continue_gets_it_or_the_refusal(void **state) {
    (void)state;
    struct http_answer a;
    int fd = http_connect(&gateway);
    http_say(fd, POST JSON "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    http_read(fd, &a);
    assert_int_equal(a.status, 100);
    http_answer_close(&a);
    http_say(fd, "{}");
    http_read(fd, &a);
    assert_int_equal(a.status, 400);
    http_answer_close(&a);
    close(fd);
    refused(POST JSON "Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n", 413);
    refused(POST JSON "Expect: magic\r\nContent-Length: 2\r\n\r\n{}", 417);
}

static void test_head_is_get_without_a_body(void **state) {
    (void)state;
    int fd = http_connect(&gateway);
    http_say(fd, "HEAD /healthz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    size_t n;
    char *all = http_read_rest(fd, &n);
    assert_int_equal(strncmp(all, "HTTP/1.1 200 ", 13), 0);
    assert_string_equal(strstr(all, "\r\n\r\n"), "\r\n\r\n");
    free(all);
    close(fd);
}

static void test_head_of_a_stream_leaves_the_connection_usable(void **state) {
    (void)state;
    int fd = http_connect(&gateway);
    http_say(fd, "HEAD /quire/live HTTP/1.1\r\n" HOST "\r\n");
    http_say(fd, GET HOST "Connection: close\r\n\r\n");
    size_t n;
    char *all = http_read_rest(fd, &n), *next = strstr(all, "\r\n\r\n");
    assert_non_null(strstr(all, "text/event-stream"));
    assert_non_null(next);
    assert_int_equal(strncmp(next + 4, "HTTP/1.1 200 ", 13), 0);
    free(all);
    close(fd);
}

static void test_a_target_or_method_writes_no_facts_into_the_log(void **state) {
    (void)state;
    answers("GET /v1/models/forged%20tenant=other%0d%0a%ff HTTP/1.1\r\n" HOST "\r\n", 404, "");
    http_wait_log(&gateway, "path=/v1/models/forged?tenant=other??? dialect=", 1);
    answers("A\tkey=forged / HTTP/1.1\r\n" HOST "\r\n", 400, NULL);
    http_wait_log(&gateway, "method=A?key=forged path=/ ", 1);
}

static void test_only_pages_of_named_origins_may_read(void **state) {
    (void)state;
    answers("OPTIONS /v1/messages HTTP/1.1\r\n" HOST "Origin: https://page.example\r\n"
            "Access-Control-Request-Method: POST\r\n"
            "Access-Control-Request-Headers: content-type, x-api-key\r\n\r\n",
            204, "Access-Control-Allow-Headers: content-type, x-api-key\r\n");
    answers(GET HOST "Origin: https://page.example\r\n\r\n", 200,
            "Access-Control-Allow-Origin: https://page.example\r\n");
    struct http_answer a;
    http_ask(&gateway, GET HOST "Origin: https://evil.example\r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    assert_null(strstr(a.head, "Access-Control-Allow-Origin"));
    assert_non_null(strstr(a.head, "Vary: Origin\r\n"));
    http_answer_close(&a);
}

static void test_a_trace_goes_on_with_a_span_of_ours(void **state) {
    (void)state;
    static const char trace[] = "0af7651916cd43dd8448eb211c80319c";
    char request[300], value[80];
    struct http_answer a;
    (void)snprintf(
        request, sizeof request,
        "GET /v1/models HTTP/1.1\r\n" HOST "traceparent: 00-%s-b7ad6b7169203331-01\r\n\r\n", trace);
    http_ask(&gateway, request, &a);
    assert_true(http_header(&a, "traceparent", value, sizeof value));
    assert_int_equal(strlen(value), 55);
    assert_int_equal(strncmp(value + 3, trace, 32), 0);
    assert_int_not_equal(strncmp(value + 36, "b7ad6b7169203331", 16), 0);
    http_answer_close(&a);
    http_wait_log(&gateway, "trace=0af7651916cd43dd8448eb211c80319c", 1);
    http_ask(&gateway, GET HOST "traceparent: 00-xyz-1-01\r\n\r\n", &a);
    assert_false(http_header(&a, "traceparent", value, sizeof value));
    http_answer_close(&a);
}

static void test_a_trusted_proxy_says_who_asks(void **state) {
    (void)state;
    answers("GET /v1/models HTTP/1.1\r\n" HOST "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n\r\n", 200,
            NULL);
    http_wait_log(&gateway, "client=192.0.2.7 ", 1);
    answers("GET /v1/models HTTP/1.1\r\n" HOST
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n",
            200, NULL);
    http_wait_log(&gateway, "client=192.0.2.8 ", 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_with_two_lengths_is_refused_and_nothing_after_it_is_answered),
        cmocka_unit_test(test_other_codings_of_a_body_are_refused),
        cmocka_unit_test(test_broken_chunks_are_refused),
        cmocka_unit_test(test_nothing_after_a_chunked_body_is_answered),
        cmocka_unit_test(test_lines_that_a_proxy_may_read_in_another_way_are_refused),
        cmocka_unit_test(test_wrong_first_lines_are_refused),
        cmocka_unit_test(test_a_request_for_another_host_is_refused),
        cmocka_unit_test(test_large_heads_are_refused),
        cmocka_unit_test(test_paths_methods_and_types_have_their_statuses),
        cmocka_unit_test(test_bodies_that_are_no_json_are_refused_without_being_quoted),
        cmocka_unit_test(test_deep_and_crowded_json_is_refused),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_a_refused_short_body_leaves_the_connection_usable),
        cmocka_unit_test(test_who_asked_all_and_closed_its_side_is_answered),
        cmocka_unit_test(test_who_waits_for_100_continue_gets_it_or_the_refusal),
        cmocka_unit_test(test_head_is_get_without_a_body),
        cmocka_unit_test(test_head_of_a_stream_leaves_the_connection_usable),
        cmocka_unit_test(test_a_target_or_method_writes_no_facts_into_the_log),
        cmocka_unit_test(test_only_pages_of_named_origins_may_read),
        cmocka_unit_test(test_a_trace_goes_on_with_a_span_of_ours),
        cmocka_unit_test(test_a_trusted_proxy_says_who_asks),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
