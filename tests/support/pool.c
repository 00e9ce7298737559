/* pool.c - the pool of a test. */
#include "tests/support/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/must.h"

#define QUERY_MS 5000

static const char *worker_names[POOL_MAX_WORKERS] = {"w0", "w1", "w2", "w3"};

static void print_log(const struct pool *p) {
    char *log = process_read_file(p->log);
    print_error("---- log of the pool ----\n%s-------------------------\n", log ? log : "");
    free(log);
}

static void nap(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

void pool_start_broker(struct pool *p) {
    const char *argv[PROCESS_MAX_ARGUMENTS] = {QUIRE_BIN_DIR "/quire-broker", "--clients",
                                               p->clients, "--workers", p->workers_endpoint};
    for (size_t i = 0; i < 8 && p->options.broker_flags[i]; i++)
        argv[5 + i] = p->options.broker_flags[i];
    process_start(&p->broker, argv, p->log, p->log);
}

void pool_start_worker(struct pool *p, int i) {
    const struct pool_options *o = &p->options;
    const char *argv[PROCESS_MAX_ARGUMENTS] = {
        QUIRE_BIN_DIR "/quire-worker",
        "--name",
        worker_names[i],
        "--broker",
        p->workers_endpoint,
        "--threads",
        "1",
        "--kv-memory",
        "64M",
        "--model",
        o->model ? o->model : QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
        "--mmproj",
        o->mmproj ? o->mmproj : QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf"};
    size_t n = 13;
    if (o->credits) {
        argv[n++] = "--credits";
        argv[n++] = o->credits;
    }
    for (size_t k = 0; k < 8 && o->worker_flags[k]; k++)
        argv[n++] = o->worker_flags[k];
    process_start(&p->workers[i], argv, p->log, p->log);
}

void pool_wait_up(struct pool *p, size_t n) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        struct quire_worker *list = NULL;
        size_t count = 0, up = 0;
        struct quire_error e = {0};
        int r = quire_workers(p->client, QUERY_MS, &list, &count, &e);
        for (size_t i = 0; r == 0 && i < count; i++)
            up += list[i].state == QUIRE_WORKER_UP;
        free(list);
        if (r == 0 && up == n)
            return;
        if (clock_ms() > deadline) {
            print_log(p);
            fail_msg("%zu workers are up, not %zu (%s)", up, n, e.text);
        }
        nap();
    }
}

void pool_open(struct pool *p, struct pool_options options) {
    memset(p, 0, sizeof *p);
    p->options = options;
    temp_dir_open(&p->dir);
    (void)snprintf(p->clients, sizeof p->clients, "ipc://%s/c", p->dir.path);
    (void)snprintf(p->workers_endpoint, sizeof p->workers_endpoint, "ipc://%s/w", p->dir.path);
    (void)snprintf(p->log, sizeof p->log, "%s/log", p->dir.path);
    setenv("QUIRE_ENDPOINT", p->clients, 1);
    setenv("QUIRE_RUNTIME_DIR", p->dir.path, 1);
    setenv("QUIRE_PACKS", p->dir.path, 1);
    setenv("QUIRE_CONFIG", "/dev/null", 1); /* not the settings of whoever runs the tests */
    pool_start_broker(p);
    for (int i = 0; i < options.workers; i++)
        pool_start_worker(p, i);
    struct quire_error e = {0};
    if (quire_open(&p->client, p->clients, PROCESS_WAIT_MS, &e) < 0) {
        print_log(p);
        fail_msg("the broker does not answer: %s", e.text);
    }
    pool_wait_up(p, (size_t)options.workers);
}

void pool_close(struct pool *p) {
    quire_close(p->client);
    for (int i = 0; i < POOL_MAX_WORKERS; i++)
        process_kill(&p->workers[i]);
    process_kill(&p->broker);
    temp_dir_close(&p->dir);
}

bool pool_worker(struct pool *p, int i, struct quire_worker *out) {
    struct quire_worker *list = NULL;
    size_t count = 0;
    struct quire_error e = {0};
    bool found = false;
    assert_int_equal(quire_workers(p->client, QUERY_MS, &list, &count, &e), 0);
    for (size_t k = 0; k < count; k++) {
        if (strcmp(list[k].name, worker_names[i]) == 0) {
            *out = list[k];
            found = true;
        }
    }
    free(list);
    return found;
}

struct quire_stats pool_stats(struct pool *p) {
    struct quire_stats s;
    assert_int_equal(quire_stats(p->client, QUERY_MS, &s, NULL), 0);
    return s;
}

struct quire_request *pool_question(const char *text, const char *picture, uint32_t max_tokens) {
    struct quire_request *request = quire_request_new();
    assert_non_null(request);
    assert_int_equal(quire_request_message(request, QUIRE_USER), 0);
    if (picture) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/pictures/%s", QUIRE_GOLDEN_DIR, picture);
        assert_int_equal(quire_request_picture_file(request, path, NULL), 0);
    }
    assert_int_equal(quire_request_text(request, text, strlen(text)), 0);
    struct quire_options options;
    quire_options_default(&options);
    options.temperature = 0;
    options.max_tokens = max_tokens;
    quire_request_options(request, &options);
    return request;
}

static void take(struct pool_answer *a, const struct quire_event *event) {
    assert_false(a->ended);
    if (event->kind == QUIRE_TOKENS) {
        assert_int_equal(event->index, a->n_tokens);
        assert_true(a->size + event->text_bytes < sizeof a->text);
        memcpy(a->text + a->size, event->text, event->text_bytes);
        a->size += event->text_bytes;
        a->text[a->size] = '\0';
        a->n_tokens += event->n_tokens;
        a->began = true;
    }
    if (event->last) {
        a->end = *event;
        a->ended = true;
    }
}

void pool_collect(struct quire_client *client, size_t n, uint8_t (*ids)[QUIRE_ID_BYTES],
                  struct pool_answer *answers, bool only_begin) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++)
            left += !answers[i].ended && !(only_begin && answers[i].began);
        if (left == 0)
            return;
        struct quire_event event;
        struct quire_error e = {0};
        int r = quire_next(client, 100, &event, &e);
        if (r < 0)
            fail_msg("the connection is lost: %s", e.text);
        for (size_t i = 0; r > 0 && i < n; i++)
            if (memcmp(event.id, ids[i], QUIRE_ID_BYTES) == 0)
                take(&answers[i], &event);
        if (clock_ms() > deadline)
            fail_msg("%zu of %zu requests are not there after %d ms", left, n, PROCESS_WAIT_MS);
    }
}

void pool_ask(struct pool *p, const struct quire_request *request, struct pool_answer *answer) {
    uint8_t id[1][QUIRE_ID_BYTES];
    memset(answer, 0, sizeof *answer);
    assert_int_equal(quire_send(p->client, request, id[0], NULL), 0);
    pool_collect(p->client, 1, id, answer, false);
}
