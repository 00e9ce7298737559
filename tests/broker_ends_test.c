/* broker_ends_test.c - requests that end early: cancelled, too late, or without a client. */
#include "tests/broker_world.h"

#include <string.h>

static void start(struct world *w) {
    world_init(w);
    world_open(w);
}

static void test_a_queued_request_is_cancelled_at_once(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_ask(&w, 0, 2, "m");
    world_forget(&w);
    world_cancel(&w, 0, 2);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_CANCELLED);
    assert_int_equal(world_count(&w, ACTION_CANCEL_WORK), 0);
    assert_int_equal(world_stats(&w).cancelled, 1);
    world_cancel(&w, 0, 2); /* a second time there is nothing to cancel */
    assert_int_equal(world_count(&w, ACTION_ERROR), 1);
    world_close(&w);
}

static void test_only_its_own_client_can_cancel_a_request(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_forget(&w);
    world_cancel(&w, 1, 1);
    assert_int_equal(w.n_log, 0);
    world_close(&w);
}

static void test_a_cancelled_request_keeps_its_credit_until_the_worker_confirms(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ask(&w, 0, 2, "m");
    world_forget(&w);
    world_cancel(&w, 0, 1);
    assert_int_equal(world_count(&w, ACTION_CANCEL_WORK), 1);
    assert_int_equal(world_count(&w, ACTION_ERROR), 1);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_tokens(&w, 0, t, 1, 1, 0, 1); /* crossed with the cancel: the client has its last word */
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    world_fail(&w, 0, t, 1, 1, ERR_CANCELLED);
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_close(&w);
}

static void test_a_credit_that_is_never_confirmed_comes_back_in_time(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_ask(&w, 0, 2, "m");
    world_cancel(&w, 0, 1);
    world_forget(&w);
    world_pass_ms(&w, w.settings.dead_ms - 1);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    world_pass_ms(&w, 2);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_close(&w);
}

static void test_a_deadline_passes_in_the_queue(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    struct event ev = world_request(0, 2, "m");
    ev.request.deadline_ms = 700;
    world_ask_event(&w, &ev);
    world_pass_ms(&w, 699);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    world_pass_ms(&w, 2);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_DEADLINE);
    assert_int_equal(world_stats(&w).expired, 1);
    world_close(&w);
}

static void test_a_deadline_passes_at_the_worker_which_is_told(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    struct event ev = world_request(0, 1, "m");
    ev.request.deadline_ms = 700;
    uint64_t t = world_ask_event(&w, &ev);
    assert_int_equal(world_find(&w, ACTION_WORK)->deadline_ms, 700);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_pass_ms(&w, 701);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_DEADLINE);
    assert_true(world_find(&w, ACTION_CANCEL_WORK)->ticket == t);
    world_close(&w);
}

static void test_a_vanished_client_s_work_stops(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ask(&w, 0, 2, "m");
    world_ask(&w, 1, 3, "m");
    world_forget(&w);
    world_step(&w, &(struct event){.type = EVENT_CLIENT_GONE, .peer = world_client(0)});
    assert_true(world_find(&w, ACTION_CANCEL_WORK)->ticket == t);
    assert_int_equal(world_count(&w, ACTION_DROP), 2);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0); /* there is nobody to tell */
    assert_int_equal(world_stats(&w).cancelled, 2);
    assert_int_equal(world_stats(&w).queued, 1);
    world_close(&w);
}

static void test_a_client_that_does_not_read_is_cut_off(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 2);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_forget(&w);
    world_step(&w, &(struct event){.type = EVENT_CLIENT_STUCK, .peer = world_client(0)});
    assert_int_equal(world_count(&w, ACTION_CANCEL_WORK), 1);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_LIMIT);
    assert_non_null(world_note(&w, NOTE_CLIENT_CUT));
    world_close(&w);
}

static void test_shutdown_ends_everything_and_takes_nothing_new(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_ask(&w, 0, 2, "m");
    world_forget(&w);
    world_step(&w, &(struct event){.type = EVENT_SHUTDOWN});
    assert_int_equal(world_count(&w, ACTION_ERROR), 2);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_SHUTTING_DOWN);
    assert_int_equal(world_count(&w, ACTION_CANCEL_WORK), 1);
    assert_int_equal(world_ask(&w, 0, 3, "m"), 0);
    assert_int_equal(world_last(&w, ACTION_ERROR)->code, ERR_SHUTTING_DOWN);
    world_forget(&w);
    world_ready(&w, 1, "m", 1);
    assert_int_equal(world_find(&w, ACTION_REFUSE)->code, ERR_SHUTTING_DOWN);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_queued_request_is_cancelled_at_once),
        cmocka_unit_test(test_only_its_own_client_can_cancel_a_request),
        cmocka_unit_test(test_a_cancelled_request_keeps_its_credit_until_the_worker_confirms),
        cmocka_unit_test(test_a_credit_that_is_never_confirmed_comes_back_in_time),
        cmocka_unit_test(test_a_deadline_passes_in_the_queue),
        cmocka_unit_test(test_a_deadline_passes_at_the_worker_which_is_told),
        cmocka_unit_test(test_a_vanished_client_s_work_stops),
        cmocka_unit_test(test_a_client_that_does_not_read_is_cut_off),
        cmocka_unit_test(test_shutdown_ends_everything_and_takes_nothing_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
