/* up_http_test.c - quire up and its gateway: started, told, restarted, stopped, left out. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/error.h"
#include "tests/support/http.h"
#include "tests/support/process.h"
#include "tests/support/temp.h"

#define USUAL_PORT 8080

struct local_pool {
    struct temp_dir dir;
    char out[TEMP_PATH_BYTES + 16];
    struct process up;
    struct http_gateway gateway; /* its port alone */
};

/* flags: more of quire up's, NULL ends them. */
static void start(struct local_pool *l, const char *const *flags) {
    memset(l, 0, sizeof *l);
    temp_dir_open(&l->dir);
    (void)snprintf(l->out, sizeof l->out, "%s/out", l->dir.path);
    setenv("QUIRE_RUNTIME_DIR", l->dir.path, 1);
    setenv("QUIRE_PACKS", l->dir.path, 1);
    setenv("QUIRE_CONFIG", "/dev/null", 1);
    unsetenv("QUIRE_ENDPOINT");
    unsetenv("QUIRE_HTTP");
    const char *argv[PROCESS_MAX_ARGUMENTS] = {QUIRE_BIN_DIR "/quire",
                                               "up",
                                               "--workers",
                                               "1",
                                               "--threads",
                                               "1",
                                               "--kv-memory",
                                               "64M",
                                               "--drain-seconds",
                                               "1",
                                               "--model",
                                               QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"};
    for (size_t i = 0; flags[i] != NULL; i++)
        argv[12 + i] = flags[i];
    process_start(&l->up, argv, l->out, l->out);
}

static void finish(struct local_pool *l) {
    process_kill(&l->up);
    temp_dir_close(&l->dir);
}

static void stop(struct local_pool *l) {
    process_signal(&l->up, SIGINT);
    int status = process_wait(&l->up, PROCESS_WAIT_MS);
    assert_true(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void nap(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

/* Waits until the pool has said it so many times; returns all it said, freed by the caller. */
static char *wait_said(const struct local_pool *l, const char *text, int times) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        char *said = process_read_file(l->out);
        int seen = 0;
        for (const char *at = said; at && (at = strstr(at, text)); at += strlen(text))
            seen++;
        if (seen >= times)
            return said;
        if (clock_ms() > deadline)
            fail_msg("the pool did not say \"%s\" %d times, but:\n%s", text, times, said);
        free(said);
        nap();
    }
}

/* Waits for the n-th address that was told, and takes it. */
static void find_address(struct local_pool *l, int n) {
    static const char text[] = "quire-gateway listens at http://127.0.0.1:";
    char *said = wait_said(l, text, n), *at = said;
    for (char *next = said; (next = strstr(next, text)) != NULL;)
        at = next += strlen(text);
    l->gateway.port = atoi(at);
    assert_true(l->gateway.port > 0);
    free(said);
}

static int get(const struct local_pool *l, const char *path) {
    char request[128];
    struct http_answer a;
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    http_ask(&l->gateway, request, &a);
    int status = a.status;
    http_answer_close(&a);
    return status;
}

static void wait_ready(const struct local_pool *l) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (get(l, "/readyz") != 200) {
        if (clock_ms() > deadline)
            fail_msg("the gateway did not become ready");
        nap();
    }
}

static void check_chat(const struct local_pool *l) {
    struct http_answer a;
    int fd = http_connect(&l->gateway);
    http_post(fd, "/v1/chat/completions", "",
              "{\"max_tokens\":4,\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}");
    http_read(fd, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"object\":\"chat.completion\""));
    http_answer_close(&a);
    close(fd);
}

/* The pid of quire up's child that runs this program; 0 without one. */
static pid_t child_named(const struct local_pool *l, const char *program) {
    char path[64], comm[64];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)l->up.pid, (int)l->up.pid);
    char *children = process_read_file(path);
    pid_t found = 0;
    for (char *word = strtok(children, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        (void)snprintf(path, sizeof path, "/proc/%s/comm", word);
        char *name = process_read_file(path);
        (void)snprintf(comm, sizeof comm, "%.15s\n", program);
        if (name != NULL && strcmp(name, comm) == 0)
            found = (pid_t)atoi(word);
        free(name);
    }
    free(children);
    return found;
}

static void wait_until_gone(pid_t pid) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (kill(pid, 0) == 0 && clock_ms() < deadline)
        nap();
    assert_int_equal(kill(pid, 0), -1);
}

/* A socket that listens at 127.0.0.1:port (0: any); -1 when somebody else's does. */
static int take_port(int port, int *taken) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t n = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *taken = ntohs(a.sin_port);
    return fd;
}

static void test_it_serves_http_says_where_and_stops_with_the_pool(void **state) {
    (void)state;
    struct local_pool l;
    start(&l, (const char *[]){"--http", "127.0.0.1:0", NULL});
    find_address(&l, 1);
    assert_int_equal(get(&l, "/healthz"), 200);
    wait_ready(&l);
    check_chat(&l);
    free(wait_said(&l, "quire is up: 1 worker", 1));
    pid_t gateway = child_named(&l, "quire-gateway");
    assert_true(gateway > 0);
    stop(&l);
    assert_int_equal(kill(gateway, 0), -1);
    char *said = process_read_file(l.out);
    assert_null(strstr(said, "child-lost"));
    free(said);
    finish(&l);
}

static void test_a_killed_gateway_is_started_again(void **state) {
    (void)state;
    struct local_pool l;
    start(&l, (const char *[]){"--http", "127.0.0.1:0", NULL});
    find_address(&l, 1);
    wait_ready(&l);
    pid_t before = child_named(&l, "quire-gateway"), worker = child_named(&l, "quire-worker");
    kill(before, SIGKILL);
    find_address(&l, 2);
    wait_ready(&l);
    check_chat(&l);
    assert_int_not_equal(child_named(&l, "quire-gateway"), before);
    assert_int_equal(child_named(&l, "quire-worker"), worker);
    stop(&l);
    finish(&l);
}

static void test_a_gateway_does_not_outlive_a_killed_parent(void **state) {
    (void)state;
    struct local_pool l;
    start(&l, (const char *[]){"--http", "127.0.0.1:0", NULL});
    find_address(&l, 1);
    pid_t gateway = child_named(&l, "quire-gateway");
    process_kill(&l.up);
    wait_until_gone(gateway);
    finish(&l);
}

static void test_where_the_usual_address_is_taken_the_pool_goes_on_without(void **state) {
    (void)state;
    struct local_pool l;
    int port = 0, fd = take_port(USUAL_PORT, &port);
    start(&l, (const char *[]){NULL});
    free(wait_said(&l, "the pool goes on without HTTP", 1));
    char *said = wait_said(&l, "quire is up: 1 worker", 1);
    assert_non_null(strstr(said, "127.0.0.1:8080"));
    assert_null(strstr(said, "listens at"));
    free(said);
    assert_int_equal(child_named(&l, "quire-gateway"), 0);
    stop(&l);
    finish(&l);
    if (fd >= 0)
        close(fd);
}

static void test_a_chosen_address_that_is_taken_ends_it_with_a_sentence(void **state) {
    (void)state;
    struct local_pool l;
    char address[32];
    int port = 0, fd = take_port(0, &port);
    assert_true(fd >= 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", port);
    start(&l, (const char *[]){"--http", address, NULL});
    int status = process_wait(&l.up, PROCESS_WAIT_MS);
    assert_true(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0);
    char *said = process_read_file(l.out);
    assert_non_null(strstr(said, address));
    assert_non_null(strstr(said, "gateway can't run (see above); the pool stops"));
    free(said);
    finish(&l);
    close(fd);
}

static void test_http_off_leaves_the_gateway_out(void **state) {
    (void)state;
    struct local_pool l;
    start(&l, (const char *[]){"--http", "off", NULL});
    char *said = wait_said(&l, "quire is up: 1 worker", 1);
    assert_null(strstr(said, "listens at"));
    assert_null(strstr(said, "HTTP"));
    free(said);
    assert_int_equal(child_named(&l, "quire-gateway"), 0);
    assert_true(child_named(&l, "quire-broker") > 0);
    stop(&l);
    finish(&l);
}

static void test_a_key_file_that_is_not_there_ends_it_with_a_sentence(void **state) {
    (void)state;
    struct local_pool l;
    start(&l, (const char *[]){"--http", "127.0.0.1:0", "--keys", "/nonexistent/keys.ini", NULL});
    int status = process_wait(&l.up, PROCESS_WAIT_MS);
    assert_true(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) != 0);
    char *said = process_read_file(l.out);
    assert_non_null(strstr(said, "/nonexistent/keys.ini"));
    free(said);
    finish(&l);
}

/* A gateway that can't come back does not take the pool with it. */
static void test_a_gateway_whose_keys_are_gone_is_tried_until_they_are_back(void **state) {
    (void)state;
    struct local_pool l;
    struct temp_dir dir;
    char path[TEMP_PATH_BYTES + 32], away[TEMP_PATH_BYTES + 40], *made;
    temp_dir_open(&dir);
    assert_int_equal(
        process_run((const char *[]){QUIRE_BIN_DIR "/quire-gateway", "--new-key", "one", NULL},
                    NULL, false, &made),
        0);
    const char *section = strstr(made, "[one]");
    assert_non_null(section);
    temp_file(&dir, "keys.ini", section, strlen(section), path, sizeof path);
    (void)snprintf(away, sizeof away, "%s.away", path);
    start(&l, (const char *[]){"--http", "127.0.0.1:0", "--keys", path, NULL});
    find_address(&l, 1);
    free(wait_said(&l, "quire is up: 1 worker", 1));
    assert_int_equal(rename(path, away), 0);
    kill(child_named(&l, "quire-gateway"), SIGKILL);
    free(wait_said(&l, "keys.ini", 1));
    free(wait_said(&l, "child-lost", 2));
    assert_true(child_named(&l, "quire-worker") > 0);
    assert_int_equal(rename(away, path), 0);
    find_address(&l, 2);
    wait_ready(&l);
    stop(&l);
    finish(&l);
    temp_dir_close(&dir);
    free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_serves_http_says_where_and_stops_with_the_pool),
        cmocka_unit_test(test_a_killed_gateway_is_started_again),
        cmocka_unit_test(test_a_gateway_does_not_outlive_a_killed_parent),
        cmocka_unit_test(test_where_the_usual_address_is_taken_the_pool_goes_on_without),
        cmocka_unit_test(test_a_chosen_address_that_is_taken_ends_it_with_a_sentence),
        cmocka_unit_test(test_http_off_leaves_the_gateway_out),
        cmocka_unit_test(test_a_key_file_that_is_not_there_ends_it_with_a_sentence),
        cmocka_unit_test(test_a_gateway_whose_keys_are_gone_is_tried_until_they_are_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
