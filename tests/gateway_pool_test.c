/* gateway_pool_test.c - the gateway's requests at a real broker: asked, heard, refused, cancelled.
 */
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
#include "tests/support/pool_rig.h"

#define CROWD 200

/* ---- plain answers ---- */

static void test_an_answer_streams_and_its_seed_gives_it_again(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(2, sizeof *h);
    struct pool_answer direct;
    pool_rig_open(&t,
                  (struct pool_options){.workers = 1,
                                        .model = QUIRE_DEMO_DIR "/quire-demo.gguf",
                                        .mmproj = QUIRE_DEMO_DIR "/quire-demo-mmproj.gguf"},
                  10);
    struct quire_request *request = pool_rig_question(2, "p0.png");
    struct quire_options o = pool_rig_options(40);
    pool_rig_ask(&t, &h[0], request, &o);
    pool_rig_run(&t, h, 1);
    pool_rig_check_done(&h[0]);
    assert_true(h->n_tokens > 0 && h->end.usage.answer_tokens == h->n_tokens);
    assert_int_equal(h->end.attempts, 1);
    assert_true(h->end.seed != 0 && h->end.seed < UINT64_C(1) << 53);
    o.has_seed = true;
    o.seed = h->end.seed;
    quire_request_options(request, &o);
    bed_ask(&t.bed, request, &direct);
    assert_int_equal(direct.size, h->size);
    assert_memory_equal(direct.text, h->text, h->size);
    pool_rig_ask(&t, &h[1], request, &o);
    pool_rig_run(&t, &h[1], 1);
    pool_rig_check_done(&h[1]);
    assert_true(h[1].end.seed == o.seed);
    assert_memory_equal(direct.text, h[1].text, h->size);
    quire_request_free(request);
    pool_rig_close(&t);
    free(h);
}

static void test_two_hundred_requests_run_over_several_connections(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(CROWD, sizeof *h);
    struct quire_request *requests[CROWD];
    struct quire_options o = pool_rig_options(6);
    pool_rig_open(&t, (struct pool_options){.workers = 1, .broker_flags = {"--queue", "500"}},
                  CROWD);
    for (int i = 0; i < CROWD; i++) {
        requests[i] = pool_rig_question(i % 9, i % 3 == 2 ? "p0.png" : NULL);
        pool_rig_ask(&t, &h[i], requests[i], &o);
    }
    assert_int_equal(pool_rig_counts(&t).in_flight, CROWD);
    pool_rig_run(&t, h, CROWD);
    for (int i = 0; i < CROWD; i++) {
        pool_rig_check_done(&h[i]);
        quire_request_free(requests[i]);
    }
    assert_int_equal(pool_rig_counts(&t).in_flight, 0);
    assert_int_equal(pool_rig_counts(&t).connections, 2);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (pool_rig_counts(&t).connected < 2) {
        pool_rig_turn(&t);
        assert_true(clock_ms() < deadline);
    }
    assert_true(pool_rig_counts(&t).sent_again == 0);
    pool_rig_close(&t);
    free(h);
}

static void test_more_than_allowed_are_told_to_wait(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(STREAMS, sizeof *h);
    struct quire_options o = pool_rig_options(4);
    struct fault fault;
    struct pool_request *none;
    pool_rig_open(&t, (struct pool_options){.workers = 1}, STREAMS);
    struct quire_request *request = pool_rig_question(0, NULL);
    for (int i = 0; i < STREAMS; i++) /* nothing is heard without a turn */
        pool_rig_ask(&t, &h[i], request, &o);
    assert_int_equal(pool_ask(t.pool, request, &o, &pool_rig_listener, NULL, &none, &fault), -1);
    assert_null(none);
    assert_int_equal(fault.status, 429);
    assert_true(fault.retry_ms > 0);
    pool_cancel(t.pool, h[0].request);
    pool_rig_ask(&t, &h[0], request, &o); /* there is room again */
    pool_rig_run(&t, h, STREAMS);
    for (int i = 0; i < STREAMS; i++)
        pool_rig_check_done(&h[i]);
    quire_request_free(request);
    pool_rig_close(&t);
    free(h);
}

static void test_a_full_queue_is_told_and_not_tried_again(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(STREAMS, sizeof *h);
    struct quire_request *requests[STREAMS];
    struct quire_options o = pool_rig_options(100);
    uint32_t refused = 0;
    pool_rig_open(
        &t, (struct pool_options){.workers = 1, .credits = "1", .broker_flags = {"--queue", "1"}},
        10);
    for (int i = 0; i < STREAMS; i++) {
        requests[i] = pool_rig_question(i, NULL);
        pool_rig_ask(&t, &h[i], requests[i], &o);
    }
    pool_rig_run(&t, h, STREAMS);
    for (int i = 0; i < STREAMS; i++) {
        if (h[i].failed) {
            pool_rig_check_fault(&h[i], 429);
            assert_true(h[i].fault.retry_ms > 0);
            refused++;
        }
        quire_request_free(requests[i]);
    }
    assert_in_range(refused, 1, STREAMS - 1);
    assert_true(pool_rig_counts(&t).sent_again == 0);
    pool_rig_close(&t);
    free(h);
}

static void test_a_wrong_request_is_refused_with_its_status(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(2, sizeof *h);
    struct fault fault;
    struct pool_request *none;
    struct quire_options o = pool_rig_options(4);
    pool_rig_open(
        &t, (struct pool_options){.workers = 1, .broker_flags = {"--worker-wait-ms", "500"}}, 10);
    struct quire_request *empty = quire_request_new(), *unknown = pool_rig_question(0, NULL);
    assert_int_equal(quire_request_model(unknown, "no-such-model"), 0);
    while (pool_rig_counts(&t).connected == 0)
        pool_rig_turn(&t);
    assert_int_equal(pool_ask(t.pool, empty, &o, &pool_rig_listener, h, &none, &fault), -1);
    assert_int_equal(fault.status, 400);
    assert_int_equal(pool_rig_counts(&t).in_flight, 0);
    pool_rig_ask(&t, &h[1], unknown, &o);
    pool_rig_run(&t, &h[1], 1);
    assert_true(h[1].failed && (h[1].fault.status == 404 || h[1].fault.status == 503));
    quire_request_free(empty);
    quire_request_free(unknown);
    pool_rig_close(&t);
    free(h);
}

static void test_an_idle_pool_is_still(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(1, sizeof *h);
    struct quire_options o = pool_rig_options(8);
    pool_rig_open(&t, (struct pool_options){.workers = 1}, 10);
    struct quire_request *request = pool_rig_question(0, NULL);
    pool_rig_ask(&t, h, request, &o);
    pool_rig_run(&t, h, 1);
    pool_rig_check_done(h);
    struct pollfd fd = {.fd = pool_fd(t.pool), .events = POLLIN};
    int still = 0, turns = 0;
    for (; still < 10; turns++) { /* now and then libzmq has something to tell itself */
        bool idle = poll(&fd, 1, 20) == 0 && pool_next_ms(t.pool) > clock_ms();
        still = idle ? still + 1 : 0;
        if (!idle)
            pool_work(t.pool);
        assert_true(turns < 1000);
    }
    quire_request_free(request);
    pool_rig_close(&t);
    free(h);
}

/* ---- leaving ---- */

static void test_a_request_is_cancelled_at_any_stage(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(STREAMS, sizeof *h);
    struct quire_request *requests[STREAMS];
    struct quire_options o = pool_rig_options(ENDLESS);
    pool_rig_open(&t, (struct pool_options){.workers = 1, .credits = "3"}, STREAMS);
    for (int i = 0; i < STREAMS; i++)
        requests[i] = pool_rig_question(i, NULL);
    o.has_seed = true;
    for (int i = 0; i < STREAMS; i++) {
        o.seed = 77 + (uint64_t)i;
        pool_rig_ask(&t, &h[i], requests[i], &o);
    }
    h[0].cancelled = true; /* not sent, or just sent */
    pool_cancel(t.pool, h[0].request);
    h[1].cancel_at = 1;
    h[2].cancel_at = BREAK_AT;
    pool_rig_run(&t, h, 3);
    for (int i = 3; i < STREAMS; i++) { /* reading, or in the broker's queue */
        if (h[i].done || h[i].failed)
            fail_msg("%u tokens, %d %s", h[i].n_tokens, h[i].fault.status, h[i].fault.text);
        h[i].cancelled = true;
        pool_cancel(t.pool, h[i].request);
    }
    assert_int_equal(pool_rig_counts(&t).in_flight, 0);
    pool_rig_wait_idle(&t);
    assert_true(pool_stats(&t.bed).done == 0);
    h[0].cancelled = false;
    pool_rig_ask(
        &t, &h[0], requests[0],
        &(struct quire_options){.max_tokens = 3, .deadline_ms = 60000, .repeat_penalty = 1});
    pool_rig_run(&t, h, 1);
    pool_rig_check_done(&h[0]);
    for (int i = 0; i < STREAMS; i++)
        quire_request_free(requests[i]);
    pool_rig_close(&t);
    free(h);
}

static void test_a_pool_is_closed_with_requests_under_way(void **state) {
    (void)state;
    struct pool_rig t;
    struct heard *h = calloc(STREAMS, sizeof *h);
    struct quire_request *requests[STREAMS];
    struct quire_options o = pool_rig_options(ENDLESS);
    pool_rig_open(&t, (struct pool_options){.workers = 1, .credits = "2"}, STREAMS);
    for (int i = 0; i < STREAMS; i++) {
        requests[i] = pool_rig_question(i, NULL);
        pool_rig_ask(&t, &h[i], requests[i], &o);
    }
    pool_rig_run_to(&t, &h[0], 1);
    pool_close(t.pool);
    t.pool = NULL;
    for (int i = 0; i < STREAMS; i++)
        quire_request_free(requests[i]);
    assert_int_equal(pool_rig_ended(h, STREAMS), 0);
    pool_rig_wait_idle(&t);
    pool_rig_close(&t);
    free(h);
}

static void test_an_endpoint_that_is_none_is_refused(void **state) {
    (void)state;
    struct pool *p;
    struct error e = {0};
    assert_int_equal(pool_open(&p, "carrier-pigeon", 10, &e), ERR_USAGE);
    assert_null(p);
    assert_true(e.text[0] != '\0');
    pool_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_streams_and_its_seed_gives_it_again),
        cmocka_unit_test(test_two_hundred_requests_run_over_several_connections),
        cmocka_unit_test(test_more_than_allowed_are_told_to_wait),
        cmocka_unit_test(test_a_full_queue_is_told_and_not_tried_again),
        cmocka_unit_test(test_a_wrong_request_is_refused_with_its_status),
        cmocka_unit_test(test_an_idle_pool_is_still),
        cmocka_unit_test(test_a_request_is_cancelled_at_any_stage),
        cmocka_unit_test(test_a_pool_is_closed_with_requests_under_way),
        cmocka_unit_test(test_an_endpoint_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
