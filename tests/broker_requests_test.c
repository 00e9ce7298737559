/* broker_requests_test.c - what becomes of requests: admission, bounds, models, order. */
#include "tests/broker_world.h"

#include <string.h>

static void start(struct world *w) {
    world_init(w);
    world_open(w);
}

/* ---- the ordinary way ---- */

static void test_a_request_is_sent_streamed_and_done(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    assert_true(t != 0);
    assert_int_equal(world_sent_to(&w), 0);
    assert_int_equal(world_find(&w, ACTION_WORK)->attempt, 1);
    world_pass_ms(&w, 30);
    world_forget(&w);
    world_tokens(&w, 0, t, 1, 1, 0, 2);
    assert_int_equal(world_count(&w, ACTION_PASS), 1);
    assert_int_equal(world_count(&w, ACTION_DROP), 0); /* its worker may still be lost */
    world_tokens(&w, 0, t, 1, 1, 2, 1);
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_DROP), 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 2);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    struct pool_stats s = world_stats(&w);
    assert_int_equal(s.requests, 1);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.in_flight, 0);
    assert_int_equal(s.answer_tokens, 5);
    assert_int_equal(s.first_token_ms_sum, 30);
    world_close(&w);
}

static void test_done_tells_the_time_in_the_queue_and_the_attempts(void **state) {
    (void)state;
    struct world w;
    start(&w);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_pass_ms(&w, 120);
    world_ready(&w, 0, "m", 1);
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_find(&w, ACTION_DONE)->queue_us, 120000);
    assert_int_equal(world_find(&w, ACTION_DONE)->attempt, 1);
    world_close(&w);
}

static void test_an_id_under_way_is_refused_without_ending_its_twin(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    assert_int_equal(world_ask(&w, 0, 1, "m"), 0);
    const struct action *a = world_find(&w, ACTION_ERROR);
    assert_int_equal(a->code, ERR_BAD_REQUEST);
    assert_false(a->has_id);
    assert_true(world_ask(&w, 1, 1, "m") != 0); /* another client's id is another id */
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);
    assert_true(world_ask(&w, 0, 1, "m") != 0); /* and it is free again afterwards */
    world_close(&w);
}

/* ---- bounds ---- */

static void test_a_full_queue_answers_busy_with_a_hint(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.queue_requests = 3;
    world_open(&w);
    world_ready(&w, 0, "m", 1);
    for (uint32_t n = 1; n <= 4; n++)
        assert_true(world_ask(&w, 0, n, "m") != 0);
    assert_int_equal(world_ask(&w, 0, 5, "m"), 0);
    const struct action *a = world_find(&w, ACTION_ERROR);
    assert_int_equal(a->code, ERR_BUSY);
    assert_true(a->has_id);
    assert_true(a->retry_ms > 0);
    assert_int_equal(world_stats(&w).busy, 1);
    assert_int_equal(world_stats(&w).queued, 3);
    world_close(&w);
}

static void test_a_full_queue_does_not_turn_away_what_an_idle_worker_can_take(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.queue_requests = 2;
    world_open(&w);
    world_ready(&w, 0, "slow", 1);
    world_ready(&w, 1, "idle", 1);
    for (uint32_t n = 1; n <= 3; n++)
        assert_true(world_ask(&w, 0, n, "slow") != 0);
    assert_int_equal(world_ask(&w, 0, 4, "slow"), 0);
    world_forget(&w);
    assert_true(world_ask(&w, 0, 5, "idle") != 0);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_the_hint_follows_the_observed_service_time(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.queue_requests = 1;
    world_open(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_pass_ms(&w, 4000);
    world_done(&w, 0, t, 1, 1);
    world_ask(&w, 0, 2, "m");
    world_ask(&w, 0, 3, "m");
    world_ask(&w, 0, 4, "m");
    assert_int_equal(world_last(&w, ACTION_ERROR)->code, ERR_BUSY);
    assert_in_range(world_last(&w, ACTION_ERROR)->retry_ms, 4000, 12000);
    world_close(&w);
}

static void test_held_bytes_are_bounded_and_given_back_at_the_first_token(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.queue_bytes = 2500;
    world_open(&w);
    world_ready(&w, 0, "m", 8);
    uint64_t t = world_ask(&w, 0, 1, "m");
    assert_true(world_ask(&w, 0, 2, "m") != 0);
    assert_int_equal(world_ask(&w, 0, 3, "m"), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_BUSY);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    assert_true(world_ask(&w, 0, 3, "m") != 0);
    struct event huge = world_request(0, 4, "m");
    huge.request.held_bytes = 2501; /* no waiting would help */
    assert_int_equal(world_ask_event(&w, &huge), 0);
    assert_int_equal(world_last(&w, ACTION_ERROR)->code, ERR_LIMIT);
    world_close(&w);
}

static void test_one_client_has_a_bound_of_its_own(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.client_requests = 2;
    world_open(&w);
    world_ready(&w, 0, "m", 8);
    assert_true(world_ask(&w, 0, 1, "m") != 0);
    assert_true(world_ask(&w, 0, 2, "m") != 0);
    assert_int_equal(world_ask(&w, 0, 3, "m"), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_BUSY);
    assert_true(world_ask(&w, 1, 3, "m") != 0);
    world_close(&w);
}

/* ---- models ---- */

static void test_an_unknown_model_is_refused_at_once_and_the_known_ones_named(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_pass_ms(&w, w.settings.worker_wait_ms);
    assert_int_equal(world_ask(&w, 0, 1, "other"), 0);
    const struct action *a = world_find(&w, ACTION_ERROR);
    assert_int_equal(a->code, ERR_UNKNOWN_MODEL);
    assert_non_null(strstr(a->text, "known: m"));
    world_close(&w);
}

static void test_in_the_first_seconds_no_model_is_unknown(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_pass_ms(&w, 100);
    uint64_t t = world_ask(&w, 0, 1, "other");
    assert_true(t != 0);
    world_pass_ms(&w, 500);
    world_ready(&w, 1, "other", 1);
    assert_int_equal(world_sent_to(&w), 1);
    world_ask(&w, 0, 2, "third");
    world_pass_ms(&w, w.settings.worker_wait_ms + 10);
    assert_int_equal(world_last(&w, ACTION_ERROR)->code, ERR_UNKNOWN_MODEL);
    world_close(&w);
}

static void test_a_known_model_without_a_worker_is_waited_for_within_a_bound(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_pass_ms(&w, 20000);
    w.workers[0].beats = false;
    world_pass_ms(&w, 3000);
    assert_non_null(world_note(&w, NOTE_WORKER_LOST));
    world_forget(&w);
    assert_true(world_ask(&w, 0, 1, "m") != 0);
    world_pass_ms(&w, w.settings.worker_wait_ms - 10);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    world_pass_ms(&w, 20);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_NO_WORKERS);
    assert_int_equal(world_stats(&w).queued, 0);
    world_close(&w);
}

static void test_a_worker_that_appears_in_time_gets_what_waited(void **state) {
    (void)state;
    struct world w;
    start(&w);
    assert_true(world_ask(&w, 0, 1, "") != 0); /* any model; nobody is there yet */
    world_pass_ms(&w, 9000);
    world_ready(&w, 0, "m", 1);
    assert_int_equal(world_sent_to(&w), 0);
    world_pass_ms(&w, 9000); /* and its old wait does not end it later */
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    world_close(&w);
}

static void test_pictures_go_to_workers_that_see(void **state) {
    (void)state;
    struct world w;
    start(&w);
    w.workers[0].vision = false;
    world_ready(&w, 0, "m", 4);
    world_ready(&w, 1, "m", 4);
    for (uint32_t n = 1; n <= 4; n++) {
        struct event ev = world_request(0, n, "m");
        ev.request.pictures = 1;
        assert_true(world_ask_event(&w, &ev) != 0);
        assert_int_equal(world_sent_to(&w), 1);
    }
    world_close(&w);
}

static void test_a_picture_for_a_blind_model_is_refused(void **state) {
    (void)state;
    struct world w;
    start(&w);
    w.workers[0].vision = false;
    world_ready(&w, 0, "m", 4);
    struct event ev = world_request(0, 1, "m");
    ev.request.pictures = 1;
    assert_int_equal(world_ask_event(&w, &ev), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_BAD_REQUEST);
    world_close(&w);
}

static void test_a_model_that_saw_before_is_waited_for(void **state) {
    (void)state;
    struct world w;
    start(&w);
    w.workers[0].vision = false;
    world_ready(&w, 0, "m", 4);
    world_ready(&w, 1, "m", 4);
    struct event bye = {.type = EVENT_GOODBYE, .peer = w.workers[1].peer};
    bye.goodbye.incarnation = w.workers[1].incarnation;
    world_step(&w, &bye);
    w.workers[1].beats = false;
    struct event ev = world_request(0, 1, "m");
    ev.request.pictures = 1;
    assert_true(world_ask_event(&w, &ev) != 0);
    world_pass_ms(&w, w.settings.worker_wait_ms + 10);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_NO_WORKERS);
    world_close(&w);
}

/* ---- order ---- */

static void test_a_busy_model_does_not_hold_up_another(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "a", 1);
    world_ready(&w, 1, "b", 1);
    world_ask(&w, 0, 1, "a");
    world_ask(&w, 0, 2, "a");
    world_ask(&w, 0, 3, "a");
    world_forget(&w);
    world_ask(&w, 0, 4, "b");
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_requests_leave_the_queue_in_the_order_they_came(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t[5];
    for (uint32_t n = 0; n < 5; n++)
        t[n] = world_ask(&w, (int)n, n, "m");
    for (uint32_t n = 0; n < 5; n++) {
        assert_true(world_last(&w, ACTION_WORK)->ticket == t[n]);
        world_done(&w, 0, t[n], 1, n);
    }
    assert_int_equal(world_count(&w, ACTION_WORK), 5);
    world_close(&w);
}

/* ---- priority ---- */

static uint64_t ask_with(struct world *w, uint32_t n, enum priority priority) {
    struct event ev = world_request((int)n, n, "m");
    ev.request.priority = priority;
    return world_ask_event(w, &ev);
}

/* Ends the requests one after the other at worker 0, which has one credit; they must have been sent
 * in this order. */
static void expect_order(struct world *w, const uint64_t *tickets, const uint32_t *order,
                         size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_true(world_last(w, ACTION_WORK)->ticket == tickets[order[i]]);
        world_done(w, 0, tickets[order[i]], 1, order[i]);
    }
    assert_int_equal(world_count(w, ACTION_WORK), n);
}

static void test_a_higher_priority_goes_first_and_equal_ones_in_order(void **state) {
    (void)state;
    static const enum priority priorities[] = {PRIORITY_NORMAL, PRIORITY_LOW,    PRIORITY_NORMAL,
                                               PRIORITY_HIGH,   PRIORITY_NORMAL, PRIORITY_HIGH,
                                               PRIORITY_LOW};
    static const uint32_t order[] = {0, 3, 5, 2, 4, 1, 6}; /* the first found a free worker */
    struct world w;
    uint64_t t[7];
    start(&w);
    world_ready(&w, 0, "m", 1);
    for (uint32_t n = 0; n < 7; n++) {
        t[n] = ask_with(&w, n, priorities[n]);
        world_pass_ms(&w, 10);
    }
    expect_order(&w, t, order, 7);
    world_close(&w);
}

static void test_what_has_waited_long_goes_before_a_higher_priority(void **state) {
    (void)state;
    static const uint32_t order[] = {0, 4, 1, 2, 5, 3};
    struct world w;
    uint64_t t[6];
    start(&w);
    world_ready(&w, 0, "m", 1);
    t[0] = ask_with(&w, 0, PRIORITY_NORMAL);
    t[1] = ask_with(&w, 1, PRIORITY_LOW);
    world_pass_ms(&w, BROKER_PRIORITY_MS + 100);
    t[2] = ask_with(&w, 2, PRIORITY_NORMAL); /* one level higher came too late to pass it */
    t[3] = ask_with(&w, 3, PRIORITY_LOW);
    t[4] = ask_with(&w, 4, PRIORITY_HIGH); /* two levels higher did not */
    world_pass_ms(&w, BROKER_PRIORITY_MS + 100);
    t[5] = ask_with(&w, 5, PRIORITY_HIGH);
    expect_order(&w, t, order, 6);
    world_close(&w);
}

static void test_a_full_queue_is_full_for_a_high_priority_too(void **state) {
    (void)state;
    struct world w;
    world_init(&w);
    w.settings.queue_requests = 2;
    world_open(&w);
    world_ready(&w, 0, "m", 1);
    for (uint32_t n = 0; n < 3; n++)
        assert_true(ask_with(&w, n, PRIORITY_LOW) != 0);
    world_forget(&w);
    assert_int_equal(ask_with(&w, 3, PRIORITY_HIGH), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_BUSY);
    assert_int_equal(world_count(&w, ACTION_ERROR), 1); /* and nobody else was put out */
    assert_int_equal(world_stats(&w).queued, 2);
    world_close(&w);
}

static void test_a_request_that_passes_others_hears_its_place(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    for (uint32_t n = 0; n < 3; n++)
        ask_with(&w, n, PRIORITY_NORMAL);
    world_pass_ms(&w, 100);
    world_forget(&w);
    ask_with(&w, 3, PRIORITY_HIGH);
    world_pass_ms(&w, 50);
    const struct action *a = world_find(&w, ACTION_PROGRESS);
    assert_non_null(a);
    struct request_id id = world_id(3);
    assert_memory_equal(a->progress.id.bytes, id.bytes, sizeof id.bytes);
    assert_int_equal(a->progress.done, 0);
    world_close(&w);
}

static void test_a_request_that_comes_back_stands_before_younger_ones(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ready(&w, 1, "m", 1);
    uint64_t first = world_ask(&w, 0, 1, "m");
    uint64_t second = world_ask(&w, 0, 2, "m");
    world_ask(&w, 0, 3, "m");
    int holder = world_worker_of(&w, world_find(&w, ACTION_WORK));
    w.workers[holder].beats = false;
    world_pass_ms(&w, 2500);
    world_forget(&w);
    world_done(&w, 1 - holder, second, 1, 2);
    assert_true(world_find(&w, ACTION_WORK)->ticket == first);
    world_close(&w);
}

static void test_a_waiting_client_hears_its_place_twice_a_second(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_ask(&w, 1, 2, "m");
    world_ask(&w, 2, 3, "m");
    world_pass_ms(&w, 0);
    world_forget(&w);
    world_pass_ms(&w, 2000);
    size_t of_third = 0;
    struct peer third = world_client(2);
    for (size_t i = 0; i < w.n_log; i++)
        if (w.log[i].type == ACTION_PROGRESS && peer_equal(&w.log[i].peer, &third)) {
            assert_int_equal(w.log[i].progress.stage, STAGE_QUEUED);
            assert_int_equal(w.log[i].progress.done, 1);
            of_third++;
        }
    assert_int_equal(of_third, 4);
    world_close(&w);
}

static void test_a_long_prefill_is_heard_of_again_and_again(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_progress(&w, 0, t, 1, 1);
    world_forget(&w);
    world_pass_ms(&w, 1600);
    assert_int_equal(world_count(&w, ACTION_PROGRESS), 3);
    assert_int_equal(world_find(&w, ACTION_PROGRESS)->progress.stage, STAGE_PREFILL);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_forget(&w);
    world_pass_ms(&w, 1600); /* a stream speaks for itself */
    assert_int_equal(world_count(&w, ACTION_PROGRESS), 0);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_sent_streamed_and_done),
        cmocka_unit_test(test_done_tells_the_time_in_the_queue_and_the_attempts),
        cmocka_unit_test(test_an_id_under_way_is_refused_without_ending_its_twin),
        cmocka_unit_test(test_a_full_queue_answers_busy_with_a_hint),
        cmocka_unit_test(test_a_full_queue_does_not_turn_away_what_an_idle_worker_can_take),
        cmocka_unit_test(test_the_hint_follows_the_observed_service_time),
        cmocka_unit_test(test_held_bytes_are_bounded_and_given_back_at_the_first_token),
        cmocka_unit_test(test_one_client_has_a_bound_of_its_own),
        cmocka_unit_test(test_an_unknown_model_is_refused_at_once_and_the_known_ones_named),
        cmocka_unit_test(test_in_the_first_seconds_no_model_is_unknown),
        cmocka_unit_test(test_a_known_model_without_a_worker_is_waited_for_within_a_bound),
        cmocka_unit_test(test_a_worker_that_appears_in_time_gets_what_waited),
        cmocka_unit_test(test_pictures_go_to_workers_that_see),
        cmocka_unit_test(test_a_picture_for_a_blind_model_is_refused),
        cmocka_unit_test(test_a_model_that_saw_before_is_waited_for),
        cmocka_unit_test(test_a_busy_model_does_not_hold_up_another),
        cmocka_unit_test(test_requests_leave_the_queue_in_the_order_they_came),
        cmocka_unit_test(test_a_higher_priority_goes_first_and_equal_ones_in_order),
        cmocka_unit_test(test_what_has_waited_long_goes_before_a_higher_priority),
        cmocka_unit_test(test_a_full_queue_is_full_for_a_high_priority_too),
        cmocka_unit_test(test_a_request_that_passes_others_hears_its_place),
        cmocka_unit_test(test_a_request_that_comes_back_stands_before_younger_ones),
        cmocka_unit_test(test_a_waiting_client_hears_its_place_twice_a_second),
        cmocka_unit_test(test_a_long_prefill_is_heard_of_again_and_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
