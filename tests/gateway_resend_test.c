/* gateway_resend_test.c - the broker and workers go and come, and answers go on as if nothing was.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/support/pool_rig.h"

#define LONG 600    /* tokens of an answer that is interrupted */
#define OTHERS 2    /* logprobs */
#define CREDITS "8" /* of the worker: all streams run at once */

struct streams {
    struct heard plain[STREAMS], broken[STREAMS];
    struct quire_request *requests[STREAMS];
    struct quire_options options[STREAMS];
};

static void ask_streams(struct pool_rig *t, struct streams *s, struct heard *h) {
    for (int i = 0; i < STREAMS; i++)
        pool_rig_ask(t, &h[i], s->requests[i], &s->options[i]);
}

/* Each with a seed, every second with logprobs; asked once without trouble. */
static struct streams *streams_open(struct pool_rig *t) {
    struct streams *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < STREAMS; i++) {
        s->requests[i] = pool_rig_question(i, NULL);
        s->options[i] = pool_rig_options(LONG);
        s->options[i].has_seed = true;
        s->options[i].seed = 77 + (uint64_t)i;
        s->options[i].logprobs = i % 2 == 0 ? 0 : OTHERS;
    }
    ask_streams(t, s, s->plain);
    pool_rig_run(t, s->plain, STREAMS);
    ask_streams(t, s, s->broken);
    pool_rig_run_to(t, &s->broken[0], BREAK_AT);
    for (int i = 1; i < STREAMS; i++)
        pool_rig_run_to(t, &s->broken[i], 1);
    return s;
}

static void check_streams(const struct streams *s) {
    for (int i = 0; i < STREAMS; i++) {
        const struct heard *plain = &s->plain[i], *broken = &s->broken[i];
        pool_rig_check_done(plain);
        pool_rig_check_done(broken);
        assert_int_equal(broken->n_tokens, plain->n_tokens);
        assert_int_equal(broken->size, plain->size);
        assert_memory_equal(broken->text, plain->text, plain->size);
        assert_int_equal(broken->n_entries, plain->n_entries);
        assert_memory_equal(broken->ids, plain->ids, sizeof plain->ids);
        assert_int_equal(broken->end.finish, plain->end.finish);
        assert_int_equal(broken->end.usage.answer_tokens, plain->end.usage.answer_tokens);
        assert_true(broken->end.timings.first_token_us <= broken->end.timings.total_us);
    }
}

static void streams_close(struct streams *s) {
    for (int i = 0; i < STREAMS; i++)
        quire_request_free(s->requests[i]);
    free(s);
}

/* And the gateway has noticed. */
static void kill_broker(struct pool_rig *t) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    process_kill(&t->bed.broker);
    while (pool_rig_counts(t).connected > 0) {
        pool_rig_turn(t);
        assert_true(clock_ms() < deadline);
    }
}

static void test_streams_go_on_when_the_broker_is_killed_and_started_again(void **state) {
    (void)state;
    struct pool_rig t;
    pool_rig_open(&t, (struct pool_options){.workers = 1, .credits = CREDITS}, 10);
    struct streams *s = streams_open(&t);
    kill_broker(&t);
    pool_start_broker(&t.bed);
    pool_rig_run(&t, s->broken, STREAMS);
    check_streams(s);
    assert_int_equal(s->broken[0].end.attempts, 2);
    assert_in_range(pool_rig_counts(&t).sent_again, 1, STREAMS);
    streams_close(s);
    pool_rig_close(&t);
}

static void test_streams_outlive_two_losses_and_end_with_the_third(void **state) {
    (void)state;
    struct pool_rig t;
    pool_rig_open(&t, (struct pool_options){.workers = 1, .credits = CREDITS}, 10);
    struct streams *s = streams_open(&t);
    for (uint32_t loss = 1; loss <= POOL_RESENDS + 1; loss++) {
        kill_broker(&t);
        pool_start_broker(&t.bed);
        if (loss <= POOL_RESENDS)
            pool_rig_run_to(&t, &s->broken[0], (loss + 1) * BREAK_AT);
    }
    pool_rig_run(&t, s->broken, 1);
    pool_rig_check_fault(&s->broken[0], 503);
    assert_null(strstr(s->broken[0].fault.text, t.bed.dir.path)); /* which callers read */
    assert_true(s->broken[0].n_tokens >= (POOL_RESENDS + 1) * BREAK_AT);
    assert_memory_equal(s->broken[0].text, s->plain[0].text, s->broken[0].size);
    streams_close(s);
    pool_rig_close(&t);
}

static void test_streams_go_on_when_the_broker_shuts_down_and_is_started_again(void **state) {
    (void)state;
    struct pool_rig t;
    pool_rig_open(&t, (struct pool_options){.workers = 1, .credits = CREDITS}, 10);
    struct streams *s = streams_open(&t);
    process_signal(&t.bed.broker, SIGTERM);
    while (t.bed.broker.pid > 0) {
        pool_rig_turn(&t);
        (void)process_wait(&t.bed.broker, 0);
    }
    pool_start_broker(&t.bed);
    pool_rig_run(&t, s->broken, STREAMS);
    check_streams(s);
    assert_true(pool_rig_counts(&t).sent_again >= 1);
    streams_close(s);
    pool_rig_close(&t);
}

static void test_a_pool_with_another_model_is_noticed(void **state) {
    (void)state;
    struct pool_rig t;
    pool_rig_open(&t, (struct pool_options){.workers = 1, .credits = CREDITS}, 10);
    struct streams *s = streams_open(&t);
    process_kill(&t.bed.workers[0]);
    process_kill(&t.bed.broker);
    t.bed.options.model = QUIRE_DEMO_DIR "/quire-demo.gguf";
    t.bed.options.mmproj = QUIRE_DEMO_DIR "/quire-demo-mmproj.gguf";
    pool_start_broker(&t.bed);
    pool_start_worker(&t.bed, 0);
    pool_rig_run(&t, s->broken, STREAMS);
    pool_rig_check_fault(&s->broken[0], 502);
    assert_memory_equal(s->broken[0].text, s->plain[0].text, s->broken[0].size);
    pool_rig_wait_idle(&t); /* it was cancelled */
    streams_close(s);
    pool_rig_close(&t);
}

/* The broker can't go on with it by itself: there is no worker for a while. */
static void test_a_stream_whose_worker_is_lost_goes_on(void **state) {
    (void)state;
    struct pool_rig t;
    pool_rig_open(&t,
                  (struct pool_options){.workers = 1,
                                        .credits = CREDITS,
                                        .broker_flags = {"--worker-wait-ms", "6000"}},
                  10);
    struct streams *s = streams_open(&t);
    process_kill(&t.bed.workers[0]);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (pool_rig_counts(&t).sent_again == 0) {
        pool_rig_turn(&t);
        assert_true(clock_ms() < deadline);
    }
    pool_start_worker(&t.bed, 0);
    pool_rig_run(&t, s->broken, STREAMS);
    check_streams(s);
    streams_close(s);
    pool_rig_close(&t);
}

static void test_a_broker_that_starts_late_is_waited_for(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(2, sizeof *h);
    struct quire_options o = pool_rig_options(8);
    pool_rig_open(&t, (struct pool_options){.workers = 1}, 10);
    process_kill(&t.bed.broker);
    pool_close(t.pool);
    assert_int_equal(pool_open(&t.pool, t.bed.clients, 10, NULL), 0);
    struct quire_request *request = pool_rig_question(0, NULL);
    pool_rig_ask(&t, &h[0], request, &o);
    pool_rig_ask(&t, &h[1], request, &o);
    for (int i = 0; i < 10; i++)
        pool_rig_turn(&t);
    assert_int_equal(pool_rig_counts(&t).connected, 0);
    assert_int_equal(pool_rig_ended(h, 2), 0);
    pool_cancel(t.pool, h[1].request);
    h[1].cancelled = true;
    pool_start_broker(&t.bed);
    pool_rig_run(&t, h, 1);
    pool_rig_check_done(&h[0]);
    assert_int_equal(h[0].end.attempts, 1);
    quire_request_free(request);
    pool_rig_close(&t);
    free(h);
}

static void test_a_broker_away_for_too_long_is_told(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(2, sizeof *h);
    struct quire_options o = pool_rig_options(ENDLESS), brief = o;
    struct fault fault;
    struct pool_request *none;
    pool_rig_open(&t, (struct pool_options){.workers = 1}, 10);
    struct quire_request *request = pool_rig_question(0, NULL);
    pool_rig_ask(&t, &h[0], request, &o);
    pool_rig_run_to(&t, h, BREAK_AT);
    process_kill(&t.bed.broker);
    pool_rig_turn(&t);
    brief.deadline_ms = 500;
    pool_rig_ask(&t, &h[1], request, &brief);
    pool_rig_run(&t, h, 2);
    pool_rig_check_fault(&h[0], 503);
    assert_true(h[0].fault.retry_ms > 0);
    pool_rig_check_fault(&h[1], 504);
    assert_int_equal(pool_ask(t.pool, request, &o, &pool_rig_listener, h, &none, &fault), -1);
    assert_int_equal(fault.status, 503);
    assert_int_equal(pool_rig_counts(&t).in_flight, 0);
    quire_request_free(request);
    pool_rig_close(&t);
    free(h);
}

/* A broker that hangs says nothing of deadlines. */
static void test_a_deadline_ends_a_request_at_a_broker_that_hangs(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(2, sizeof *h);
    struct quire_options o = pool_rig_options(ENDLESS);
    pool_rig_open(&t, (struct pool_options){.workers = 1}, 10);
    struct quire_request *request = pool_rig_question(0, NULL);
    pool_rig_ask(&t, &h[0], request, &o);
    pool_rig_run_to(&t, h, BREAK_AT);
    process_signal(&t.bed.broker, SIGSTOP);
    o.deadline_ms = 300;
    pool_rig_ask(&t, &h[1], request, &o);
    pool_rig_run(&t, &h[1], 1);
    pool_rig_check_fault(&h[1], 504);
    assert_int_equal(pool_rig_ended(&h[0], 1), 0);
    pool_cancel(t.pool, h[0].request);
    assert_int_equal(pool_rig_counts(&t).in_flight, 0);
    process_signal(&t.bed.broker, SIGCONT);
    pool_rig_wait_idle(&t);
    quire_request_free(request);
    pool_rig_close(&t);
    free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_go_on_when_the_broker_is_killed_and_started_again),
        cmocka_unit_test(test_streams_outlive_two_losses_and_end_with_the_third),
        cmocka_unit_test(test_streams_go_on_when_the_broker_shuts_down_and_is_started_again),
        cmocka_unit_test(test_a_pool_with_another_model_is_noticed),
        cmocka_unit_test(test_a_stream_whose_worker_is_lost_goes_on),
        cmocka_unit_test(test_a_broker_that_starts_late_is_waited_for),
        cmocka_unit_test(test_a_broker_away_for_too_long_is_told),
        cmocka_unit_test(test_a_deadline_ends_a_request_at_a_broker_that_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
