/* pool_rig.c - see pool_rig.h. */
#include "tests/support/pool_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"

static void on_progress(void *arg, const struct quire_event *event) {
    struct heard *h = arg;
    assert_false(h->done || h->failed || h->cancelled || h->asking);
    assert_int_equal(event->kind, QUIRE_PROGRESS);
    assert_int_equal(h->n_tokens, 0);
    h->n_progress++;
}

static void on_tokens(void *arg, const struct quire_event *event) {
    struct heard *h = arg;
    assert_false(h->done || h->failed || h->cancelled || h->asking);
    assert_int_equal(event->index, h->n_tokens);
    assert_true(h->size + event->text_bytes < sizeof h->text);
    assert_true(h->n_tokens + event->n_tokens <= ENDLESS);
    if (event->text_bytes > 0)
        memcpy(h->text + h->size, event->text, event->text_bytes);
    h->size += event->text_bytes;
    for (uint32_t i = 0; event->tokens != NULL && i < event->n_tokens; i++)
        h->ids[h->n_entries++] = event->tokens[i].chosen.id;
    h->n_tokens += event->n_tokens;
    assert_memory_equal(event->id, pool_request_id(h->request), QUIRE_ID_BYTES);
    if (h->cancel_at > 0 && h->n_tokens >= h->cancel_at) {
        h->cancelled = true;
        pool_cancel(h->pool, h->request);
    }
}

static void on_done(void *arg, const struct quire_event *event) {
    struct heard *h = arg;
    assert_false(h->done || h->failed || h->cancelled || h->asking);
    h->done = true;
    h->end = *event;
}

static void on_failed(void *arg, const struct fault *fault) {
    struct heard *h = arg;
    assert_false(h->done || h->failed || h->cancelled || h->asking);
    h->failed = true;
    h->fault = *fault;
}

const struct pool_listener pool_rig_listener = {on_progress, on_tokens, on_done, on_failed};

struct quire_options pool_rig_options(uint32_t max_tokens) {
    struct quire_options o;
    quire_options_default(&o);
    o.temperature = 1.5F;
    o.repeat_penalty = 1.25F;
    o.max_tokens = max_tokens;
    return o;
}

struct quire_request *pool_rig_question(int i, const char *picture) {
    char text[64];
    (void)snprintf(text, sizeof text, "%d. What is %d times %d, and why?", i, i + 1, i + 2);
    return pool_question(text, picture, 1);
}

void pool_rig_turn(struct pool_rig *t) {
    struct pollfd fd = {.fd = pool_fd(t->pool), .events = POLLIN};
    int64_t wait = pool_next_ms(t->pool) - clock_ms();
    (void)poll(&fd, 1, wait < 0 ? 0 : wait > 50 ? 50 : (int)wait);
    pool_work(t->pool);
}

void pool_rig_ask(struct pool_rig *t, struct heard *h, struct quire_request *request,
                  const struct quire_options *options) {
    struct fault fault;
    memset(h, 0, sizeof *h);
    h->pool = t->pool;
    h->asking = true;
    if (pool_ask(t->pool, request, options, &pool_rig_listener, h, &h->request, &fault) != 0)
        fail_msg("%s", fault.text);
    h->asking = false;
}

uint32_t pool_rig_ended(const struct heard *h, size_t n) {
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += h[i].done || h[i].failed || h[i].cancelled;
    return count;
}

void pool_rig_run(struct pool_rig *t, const struct heard *h, size_t n) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (pool_rig_ended(h, n) < n) {
        pool_rig_turn(t);
        if (clock_ms() > deadline)
            fail_msg("%u of %zu requests ended; the first has %u tokens", pool_rig_ended(h, n), n,
                     h->n_tokens);
    }
}

void pool_rig_run_to(struct pool_rig *t, const struct heard *h, uint32_t tokens) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (h->n_tokens < tokens) {
        pool_rig_turn(t);
        assert_false(h->done || h->failed);
        assert_true(clock_ms() < deadline);
    }
}

void pool_rig_wait_idle(struct pool_rig *t) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        struct quire_stats s = pool_stats(&t->bed);
        if (s.in_flight == 0 && s.queued == 0)
            return;
        if (t->pool != NULL)
            pool_rig_turn(t);
        assert_true(clock_ms() < deadline);
    }
}

void pool_rig_open(struct pool_rig *t, struct pool_options options, uint32_t max_requests) {
    struct error e;
    memset(t, 0, sizeof *t);
    bed_open(&t->bed, options);
    if (pool_open(&t->pool, t->bed.clients, max_requests, &e) != 0)
        fail_msg("%s", e.text);
}

void pool_rig_close(struct pool_rig *t) {
    pool_close(t->pool);
    bed_close(&t->bed);
}

struct pool_counts pool_rig_counts(const struct pool_rig *t) {
    struct pool_counts c;
    pool_counts(t->pool, &c);
    return c;
}

void pool_rig_check_done(const struct heard *h) {
    if (!h->done)
        fail_msg("%d %s", h->fault.status, h->fault.text);
}

void pool_rig_check_fault(const struct heard *h, int status) {
    assert_true(h->failed);
    if (h->fault.status != status)
        fail_msg("%d is not %d: %s", h->fault.status, status, h->fault.text);
    assert_true(h->fault.text[0] != '\0');
}
