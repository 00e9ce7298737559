/* gateway_observer_test.c - snapshots and questions of a real pool, heard on the loop's thread. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "gateway/pool/observer.h"
#include "tests/support/bed.h"

struct test {
    struct bed bed;
    struct observer *o;
    int snapshots; /* heard of */
    pthread_t loop;
};

struct heard {
    int n; /* calls */
    int rc;
    struct quire_losses losses;
    size_t n_segments, n_workers;
    uint8_t id[QUIRE_ID_BYTES];
    pthread_t thread;
    char text[512];
};

static void on_answer(void *arg, const struct observer_answer *a) {
    struct heard *h = arg;
    h->n++;
    h->rc = a->rc;
    h->losses = a->losses;
    h->thread = pthread_self();
    memcpy(h->text, a->error.text, sizeof h->text);
    if (a->explanation != NULL) {
        h->n_segments = a->explanation->n_segments;
        h->n_workers = a->explanation->n_workers;
        memcpy(h->id, a->explanation->id, sizeof h->id);
    }
}

static void on_snapshot(void *arg) {
    struct test *t = arg;
    t->snapshots++;
    assert_true(pthread_equal(pthread_self(), t->loop));
}

static void turn(struct test *t) {
    struct pollfd fd = {.fd = observer_fd(t->o), .events = POLLIN};
    if (poll(&fd, 1, 100) > 0)
        observer_work(t->o);
}

static void open_test(struct test *t, struct pool_options options) {
    struct error e;
    memset(t, 0, sizeof *t);
    t->loop = pthread_self();
    bed_open(&t->bed, options);
    if (observer_open(&t->o, t->bed.clients, &e) != 0)
        fail_msg("%s", e.text);
    observer_on_snapshot(t->o, on_snapshot, t);
}

static void close_test(struct test *t) {
    observer_close(t->o);
    bed_close(&t->bed);
}

/* Turns until the snapshot is as connected as that, and newer than now. */
static const struct snapshot *fresh(struct test *t, bool connected) {
    int64_t now = clock_ms(), deadline = now + PROCESS_WAIT_MS;
    for (;;) {
        turn(t);
        const struct snapshot *s = observer_snapshot(t->o);
        if (s->taken_ms > now && s->connected == connected)
            return s;
        if (clock_ms() > deadline)
            fail_msg("connected is %d: %s", s->connected, s->trouble);
    }
}

static void wait_answers(struct test *t, const struct heard *h, int n) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (h->n < n) {
        turn(t);
        assert_true(clock_ms() < deadline);
    }
    assert_int_equal(h->n, n);
    assert_true(pthread_equal(h->thread, t->loop));
}

static void ask(struct test *t, enum observer_question what, const char *worker, const uint8_t *id,
                struct heard *h) {
    struct fault fault;
    memset(h, 0, sizeof *h);
    if (observer_ask(t->o, what, worker, id, on_answer, h, &fault) != 0)
        fail_msg("%s", fault.text);
    assert_int_equal(h->n, 0); /* never from inside */
    wait_answers(t, h, 1);
}

static struct pool_answer question(struct test *t, const char *text) {
    static struct pool_answer answer;
    struct quire_request *request = pool_question(text, NULL, 4);
    bed_ask(&t->bed, request, &answer);
    assert_int_equal(answer.end.kind, QUIRE_DONE);
    quire_request_free(request);
    return answer;
}

static void test_snapshots_show_the_pool(void **state) {
    (void)state;
    struct test t;
    const char *names[4];
    open_test(&t, (struct pool_options){.workers = 2});
    assert_false(observer_snapshot(t.o)->connected);
    assert_true(observer_snapshot(t.o)->taken_ms == 0);
    const struct snapshot *s = fresh(&t, true);
    assert_int_equal(s->n_workers, 2);
    assert_int_equal(s->stats.workers, 2);
    assert_string_equal(s->trouble, "");
    assert_int_equal(observer_models(t.o, names, 4), 1);
    assert_string_equal(names[0], s->workers[0].model);
    assert_int_equal(observer_models(t.o, names, 0), 0);
    assert_true(s->windows[0].requests == 0);
    uint32_t positions = question(&t, "How are you?").end.usage.prompt_positions;
    s = fresh(&t, true);
    assert_true(s->stats.requests == 1);
    for (int i = 0; i < 3; i++) {
        assert_true(s->windows[i].requests == 1);
        assert_true(s->windows[i].prompt_positions == positions);
    }
    assert_true(t.snapshots >= 2);
    close_test(&t);
}

static void test_requests_under_way_are_shown(void **state) {
    (void)state;
    struct test t;
    uint8_t id[QUIRE_ID_BYTES];
    open_test(&t, (struct pool_options){.workers = 1});
    struct quire_request *request = pool_question("Tell me all of it.", NULL, 3000);
    assert_int_equal(quire_send(t.bed.client, request, id, NULL), 0);
    const struct snapshot *s = observer_snapshot(t.o);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (s->n_requests == 0) {
        s = fresh(&t, true);
        assert_true(clock_ms() < deadline);
    }
    assert_int_equal(s->n_requests, 1);
    assert_memory_equal(s->requests[0].id, id, QUIRE_ID_BYTES);
    quire_request_free(request);
    close_test(&t);
}

static void test_questions_are_answered_on_the_loop(void **state) {
    (void)state;
    struct test t;
    struct heard h;
    static const uint8_t nobody[QUIRE_ID_BYTES] = {1};
    open_test(&t, (struct pool_options){.workers = 2});
    struct pool_answer answer = question(&t, "How are you?");
    ask(&t, OBSERVER_EXPLAIN, NULL, answer.end.id, &h);
    assert_int_equal(h.rc, 0);
    assert_true(h.n_segments > 0);
    assert_int_equal(h.n_workers, 2);
    assert_memory_equal(h.id, answer.end.id, QUIRE_ID_BYTES);
    ask(&t, OBSERVER_EXPLAIN, NULL, nobody, &h);
    assert_int_equal(h.rc, ERR_NOT_FOUND);
    assert_true(h.text[0] != '\0');
    ask(&t, OBSERVER_LOSSES, answer.end.worker, NULL, &h);
    assert_int_equal(h.rc, 0);
    assert_int_equal(h.losses.in_flight, 0);
    ask(&t, OBSERVER_LOSSES, "nobody", NULL, &h);
    assert_int_equal(h.rc, ERR_NOT_FOUND);
    ask(&t, OBSERVER_DRAIN, "w1", NULL, &h);
    assert_int_equal(h.rc, 0);
    struct quire_worker w;
    assert_true(pool_worker(&t.bed, 1, &w) && w.state != QUIRE_WORKER_UP);
    ask(&t, OBSERVER_UNDRAIN, "w1", NULL, &h);
    assert_int_equal(h.rc, 0);
    pool_wait_up(&t.bed, 2);
    close_test(&t);
}

static void test_the_queue_of_questions_is_bounded(void **state) {
    (void)state;
    struct test t;
    struct heard h = {0};
    struct fault fault = {0};
    char longest[80];
    memset(longest, 'w', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    open_test(&t, (struct pool_options){.workers = 1});
    assert_int_equal(observer_ask(t.o, OBSERVER_LOSSES, longest, NULL, on_answer, &h, &fault), -1);
    assert_int_equal(fault.status, 404);
    for (int round = 0; round < 2; round++) { /* answers not taken count too */
        memset(&h, 0, sizeof h);
        for (int i = 0; i < OBSERVER_QUEUE; i++)
            assert_int_equal(observer_ask(t.o, OBSERVER_LOSSES, "w0", NULL, on_answer, &h, &fault),
                             0);
        assert_int_equal(observer_ask(t.o, OBSERVER_LOSSES, "w0", NULL, on_answer, &h, &fault), -1);
        assert_int_equal(fault.status, 503);
        assert_true(fault.retry_ms > 0);
        wait_answers(&t, &h, OBSERVER_QUEUE);
    }
    close_test(&t);
}

static void test_a_broker_that_goes_and_comes_is_seen(void **state) {
    (void)state;
    struct test t;
    struct heard h;
    open_test(&t, (struct pool_options){.workers = 1});
    (void)fresh(&t, true);
    (void)question(&t, "One?");
    (void)question(&t, "Two?");
    assert_true(fresh(&t, true)->windows[0].requests == 2);
    process_kill(&t.bed.broker);
    const struct snapshot *s = fresh(&t, false);
    assert_int_equal(s->n_workers, 0);
    assert_true(s->trouble[0] != '\0');
    assert_null(strstr(s->trouble, t.bed.dir.path)); /* which anybody may read */
    assert_true(s->stats.requests == 2 && s->windows[2].requests == 2);
    ask(&t, OBSERVER_LOSSES, "w0", NULL, &h);
    assert_true(h.rc < 0 && h.text[0] != '\0');
    assert_null(strstr(h.text, t.bed.dir.path));
    pool_start_broker(&t.bed);
    pool_wait_up(&t.bed, 1);
    (void)question(&t, "Three?");
    s = fresh(&t, true);
    assert_true(s->stats.requests == 1); /* it counts from its start */
    assert_true(s->windows[2].requests == 3);
    close_test(&t);
}

/* A broker that hangs answers nothing, for ever: without a bound this would never end. */
static void test_an_observer_of_a_hanging_broker_closes(void **state) {
    (void)state;
    struct test t;
    struct heard h = {0};
    struct fault fault;
    open_test(&t, (struct pool_options){.workers = 1});
    (void)fresh(&t, true);
    process_signal(&t.bed.broker, SIGSTOP);
    for (int i = 0; i < OBSERVER_QUEUE; i++)
        assert_int_equal(observer_ask(t.o, OBSERVER_LOSSES, "w0", NULL, on_answer, &h, &fault), 0);
    observer_close(t.o);
    t.o = NULL;
    assert_int_equal(h.n, 0);
    process_signal(&t.bed.broker, SIGCONT);
    close_test(&t);
}

static void test_an_observer_closes_with_answers_untaken(void **state) {
    (void)state;
    struct test t;
    struct heard h = {0};
    struct fault fault;
    open_test(&t, (struct pool_options){.workers = 1});
    struct pool_answer answer = question(&t, "How are you?");
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            observer_ask(t.o, OBSERVER_EXPLAIN, NULL, answer.end.id, on_answer, &h, &fault), 0);
    struct pollfd fd = {.fd = observer_fd(t.o), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, PROCESS_WAIT_MS), 1);
    close_test(&t);
    assert_int_equal(h.n, 0);
}

static void test_an_endpoint_that_is_none_is_refused(void **state) {
    (void)state;
    struct observer *o;
    struct error e = {0};
    assert_int_equal(observer_open(&o, "carrier-pigeon", &e), ERR_USAGE);
    assert_null(o);
    observer_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots_show_the_pool),
        cmocka_unit_test(test_requests_under_way_are_shown),
        cmocka_unit_test(test_questions_are_answered_on_the_loop),
        cmocka_unit_test(test_the_queue_of_questions_is_bounded),
        cmocka_unit_test(test_a_broker_that_goes_and_comes_is_seen),
        cmocka_unit_test(test_an_observer_of_a_hanging_broker_closes),
        cmocka_unit_test(test_an_observer_closes_with_answers_untaken),
        cmocka_unit_test(test_an_endpoint_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
