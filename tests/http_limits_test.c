/* http_limits_test.c - what the gateway does to those who are slow, large or many; no model is
 * needed.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/must.h"
#include "tests/support/http.h"

#define HOST "Host: localhost\r\n"
#define JSON HOST "Content-Type: application/json\r\n"
#define GET "GET /healthz HTTP/1.1\r\n"
#define POST "POST /v1/chat/completions HTTP/1.1\r\n"

static struct temp_dir dir;
static struct http_gateway gateway;

static int make_dir(void **state) {
    (void)state;
    temp_dir_open(&dir);
    setenv("QUIRE_RUNTIME_DIR", dir.path, 1);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_dir_close(&dir);
    return 0;
}

/* Reads to the end of the connection; its text must begin with this. */
static void ends_with(int fd, const char *beginning) {
    size_t n;
    char *all = http_read_rest(fd, &n);
    if (strncmp(all, beginning, strlen(beginning)) != 0 || (beginning[0] == '\0' && n > 0))
        fail_msg("not \"%s\" but \"%.300s\"", beginning, all);
    free(all);
    close(fd);
}

static void test_heads_and_bodies_that_come_too_slowly_are_cut_off(void **state) {
    (void)state;
    const char *flags[] = {
        "--header-seconds", "1", "--body-seconds", "1", "--idle-seconds", "1", NULL};
    http_gateway_open(&gateway, &dir, flags);
    int nothing = http_connect(&gateway), head = http_connect(&gateway),
        body = http_connect(&gateway), chunks = http_connect(&gateway),
        kept = http_connect(&gateway), next = http_connect(&gateway);
    struct http_answer a;
    http_say(kept, GET HOST "\r\n");
    http_read(kept, &a);
    http_answer_close(&a);
    http_say(next, GET HOST "\r\n");
    http_read(next, &a);
    http_answer_close(&a);
    http_say(head, GET);
    http_say(body, POST JSON "Content-Length: 100\r\n\r\n");
    http_say(chunks, POST JSON "Transfer-Encoding: chunked\r\n\r\n");
    /* A byte now and then helps nobody. */
    for (int i = 0; i < 20; i++) {
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        http_say(head, i == 0 ? "X: " : "x");
        http_say(body, " ");
        http_say(chunks, "1\r\n \r\n");
        http_say(next, i == 0 ? GET "X: " : "x");
    }
    ends_with(nothing, "");
    ends_with(kept, "");
    ends_with(head, "HTTP/1.1 408 ");
    ends_with(body, "HTTP/1.1 408 ");
    ends_with(chunks, "HTTP/1.1 408 ");
    ends_with(next, "HTTP/1.1 408 ");
    http_wait_metric(&gateway, "quire_gateway_http_body_bytes", 0);
    http_gateway_close(&gateway);
}

/* Says that `declared` bytes will come and sends `sent` of them; the status of the answer. */
static int send_body(const char *declared, size_t sent) {
    char head[256], *bytes = calloc(1, sent + 1);
    MUST(bytes != NULL);
    memset(bytes, ' ', sent);
    (void)snprintf(head, sizeof head, POST JSON "%s\r\n\r\n", declared);
    int fd = http_connect(&gateway);
    http_say(fd, head);
    http_send(fd, bytes, sent);
    struct http_answer a;
    http_read(fd, &a);
    int status = a.status;
    http_answer_close(&a);
    close(fd);
    free(bytes);
    return status;
}

static void test_large_bodies_are_refused_and_the_sender_reads_why(void **state) {
    (void)state;
    const char *flags[] = {"--body-bytes", "1M", NULL};
    http_gateway_open(&gateway, &dir, flags);
    assert_int_equal(send_body("Content-Length: 1048576", 1048576), 400); /* blanks are no JSON */
    assert_int_equal(send_body("Content-Length: 1048577", 1048577), 413);
    /* All of it is sent before the answer is read. */
    assert_int_equal(send_body("Content-Length: 30000000", 30000000), 413);
    assert_int_equal(send_body("Transfer-Encoding: chunked\r\n\r\n1c9c380", 30000000), 413);
    http_wait_metric(&gateway, "quire_gateway_http_bad_requests_total", 3);
    http_wait_metric(&gateway, "quire_gateway_http_body_bytes", 0);
    http_gateway_close(&gateway);
}

static void test_bodies_together_are_bounded(void **state) {
    (void)state;
    const char *flags[] = {"--body-bytes", "8M", "--body-memory", "10M", NULL};
    http_gateway_open(&gateway, &dir, flags);
    char *bytes = malloc(7000000);
    MUST(bytes != NULL);
    memset(bytes, ' ', 7000000);
    int first = http_connect(&gateway);
    http_say(first, POST JSON "Content-Length: 7000001\r\n\r\n");
    http_send(first, bytes, 7000000);
    free(bytes);
    http_wait_metric(&gateway, "quire_gateway_http_body_bytes", 7000001);
    int second = http_connect(&gateway);
    char *more = malloc(6000000);
    MUST(more != NULL);
    memset(more, ' ', 6000000);
    http_say(second, POST JSON "Content-Length: 8000000\r\n\r\n");
    http_send(second, more, 6000000);
    free(more);
    struct http_answer a;
    char value[16];
    http_read(second, &a);
    assert_int_equal(a.status, 503);
    assert_true(http_header(&a, "Retry-After", value, sizeof value));
    http_answer_close(&a);
    close(second);
    http_say(first, "x"); /* the first is none the worse */
    http_read(first, &a);
    assert_int_equal(a.status, 400);
    http_answer_close(&a);
    close(first);
    http_wait_metric(&gateway, "quire_gateway_http_body_bytes", 0);
    http_gateway_close(&gateway);
}

static void test_a_connection_too_many_is_told_so(void **state) {
    (void)state;
    const char *flags[] = {"--connections", "4", NULL};
    http_gateway_open(&gateway, &dir, flags);
    int fds[4];
    struct http_answer a;
    for (int i = 0; i < 4; i++) {
        fds[i] = http_connect(&gateway);
        http_say(fds[i], GET HOST "\r\n");
        http_read(fds[i], &a);
        assert_int_equal(a.status, 200);
        http_answer_close(&a);
    }
    http_ask(&gateway, GET HOST "\r\n", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "Retry-After: 2\r\n"));
    http_answer_close(&a);
    http_wait_log(&gateway, "connections-refused", 1);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    http_wait_metric(&gateway, "quire_gateway_http_connections", 1); /* the one that asks */
    http_gateway_close(&gateway);
}

static void test_a_body_that_its_sender_gave_up_is_given_up(void **state) {
    (void)state;
    const char *flags[] = {"--body-seconds", "3600", NULL};
    http_gateway_open(&gateway, &dir, flags);
    int fds[8];
    for (int i = 0; i < 8; i++)
        fds[i] = http_connect(&gateway);
    http_wait_metric(&gateway, "quire_gateway_http_connections", 9);
    process_signal(&gateway.process, 19);
    for (int i = 0; i < 8; i++) { /* head, a part of the body and the end in one event */
        http_say(fds[i], POST JSON "Content-Length: 100\r\n\r\nabc");
        shutdown(fds[i], SHUT_WR);
    }
    process_signal(&gateway.process, 18);
    http_wait_log(&gateway, "path=/v1/chat/completions", 8);
    http_wait_metric(&gateway, "quire_gateway_http_connections", 1);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    http_gateway_close(&gateway);
}

/* How many descriptors the process has. */
static size_t descriptors(const struct process *p) {
    char path[64];
    size_t n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", p->pid);
    DIR *d = opendir(path);
    MUST(d != NULL);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void test_connections_leave_no_descriptor_behind(void **state) {
    (void)state;
    http_gateway_open(&gateway, &dir, NULL);
    (void)http_metric(&gateway, "quire_gateway_http_connections");
    size_t before = descriptors(&gateway.process);
    for (int i = 0; i < 200; i++) {
        int fd = http_connect(&gateway);
        if (i % 4 == 1)
            http_say(fd, GET);
        if (i % 4 == 2)
            http_say(fd, POST JSON "Content-Length: 1000000000\r\n\r\nabc");
        if (i % 4 == 3)
            http_say(fd, POST JSON "Content-Length: 100\r\n\r\nabc");
        if (i % 8 > 3) /* a reset instead of an end */
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(fd);
    }
    http_wait_metric(&gateway, "quire_gateway_http_connections", 1);
    http_wait_metric(&gateway, "quire_gateway_http_body_bytes", 0);
    int64_t tries = 1000;
    while (descriptors(&gateway.process) > before + 1 && --tries > 0)
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_true(tries > 0);
    http_gateway_close(&gateway);
}

static void test_a_gateway_without_descriptors_goes_on_when_it_has_some_again(void **state) {
    (void)state;
    enum { MANY = 40 };
    http_gateway_open(&gateway, &dir, NULL);
    (void)http_metric(&gateway, "quire_gateway_http_connections");
    rlim_t room = descriptors(&gateway.process) + 10;
    struct rlimit limit = {room, room};
    assert_int_equal(prlimit(gateway.process.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    int fds[MANY], answered = 0, refused = 0;
    for (int i = 0; i < MANY; i++) {
        fds[i] = http_connect(&gateway);
        http_say(fds[i], GET HOST "\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        struct http_answer a;
        http_read(fds[i], &a);
        answered += a.status == 200;
        refused += a.status == 503 || a.status == 0; /* 0: reset before it could be read */
        http_answer_close(&a);
    }
    assert_true(answered > 0 && refused > 0);
    assert_int_equal(answered + refused, MANY);
    http_wait_log(&gateway, "connections-refused", 1);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    http_wait_metric(&gateway, "quire_gateway_http_connections", 1);
    http_gateway_close(&gateway);
}

static void test_an_address_for_all_needs_keys(void **state) {
    (void)state;
    static const char *const wrong[] = {"0.0.0.0:0", "[::]:0", "nonsense", ":8080", "127.0.0.1:x"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *argv[] = {QUIRE_BIN_DIR "/quire-gateway", "--http", wrong[i], NULL};
        char *out;
        assert_int_equal(process_run(argv, NULL, true, &out), 2);
        assert_int_equal(strncmp(out, "quire-gateway: http: ", 21), 0);
        free(out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_and_bodies_that_come_too_slowly_are_cut_off),
        cmocka_unit_test(test_large_bodies_are_refused_and_the_sender_reads_why),
        cmocka_unit_test(test_bodies_together_are_bounded),
        cmocka_unit_test(test_a_connection_too_many_is_told_so),
        cmocka_unit_test(test_a_body_that_its_sender_gave_up_is_given_up),
        cmocka_unit_test(test_connections_leave_no_descriptor_behind),
        cmocka_unit_test(test_a_gateway_without_descriptors_goes_on_when_it_has_some_again),
        cmocka_unit_test(test_an_address_for_all_needs_keys),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
