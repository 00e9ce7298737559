/* broker_loss_test.c - workers that die, come back from the dead, or give work back. */
#include "tests/broker_world.h"

#include <stdio.h>
#include <string.h>

static void start(struct world *w) {
    world_init(w);
    world_open(w);
}

static size_t sent_to(const struct world *w, int i) {
    size_t n = 0;
    for (size_t k = 0; k < w->n_log; k++)
        n += w->log[k].type == ACTION_WORK && world_worker_of(w, &w->log[k]) == i;
    return n;
}

/* ---- death ---- */

static void test_a_silent_worker_is_dead_and_its_request_goes_elsewhere(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 1);
    w.workers[0].beats = false;
    world_forget(&w);
    world_pass_ms(&w, w.settings.dead_ms - 1);
    assert_null(world_note(&w, NOTE_WORKER_LOST));
    world_pass_ms(&w, 2);
    assert_non_null(world_note(&w, NOTE_WORKER_LOST));
    const struct action *work = world_find(&w, ACTION_WORK);
    assert_int_equal(world_worker_of(&w, work), 1);
    assert_true(work->ticket == t);
    assert_int_equal(work->attempt, 2);
    assert_int_equal(world_count(&w, ACTION_ERROR), 0);
    /* it may only be frozen: when it thaws it finds that nobody wants this any more */
    assert_int_equal(world_worker_of(&w, world_find(&w, ACTION_CANCEL_WORK)), 0);
    assert_int_equal(world_stats(&w).resent, 1);
    assert_int_equal(world_stats(&w).workers, 1);
    world_close(&w);
}

static void test_heartbeats_keep_a_worker_alive_through_a_long_prefill(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_pass_ms(&w, 60000);
    assert_null(world_note(&w, NOTE_WORKER_LOST));
    assert_int_equal(world_stats(&w).in_flight, 1);
    world_close(&w);
}

static void test_a_late_heartbeat_makes_the_broker_poke_the_connection(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    w.workers[0].beats = false;
    world_forget(&w);
    world_pass_ms(&w, 700);
    assert_int_equal(world_count(&w, ACTION_BEAT), 0);
    world_pass_ms(&w, 100);
    assert_int_equal(world_count(&w, ACTION_BEAT), 1);
    assert_true(world_find(&w, ACTION_BEAT)->known);
    world_close(&w);
}

static void test_a_broken_connection_is_a_dead_worker(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 1);
    world_forget(&w);
    world_step(&w, &(struct event){.type = EVENT_WORKER_GONE, .peer = w.workers[0].peer});
    assert_true(world_find(&w, ACTION_WORK)->ticket == t);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_a_request_that_kills_two_workers_is_not_sent_to_a_third(void **state) {
    (void)state;
    struct world w;
    start(&w);
    for (int i = 0; i < 3; i++)
        world_ready(&w, i, "m", 1);
    world_ask(&w, 0, 1, "m");
    for (int k = 0; k < 2; k++) {
        int holder = world_sent_to(&w);
        w.workers[holder].beats = false;
        world_forget(&w);
        world_step(&w, &(struct event){.type = EVENT_WORKER_GONE, .peer = w.workers[holder].peer});
    }
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    assert_non_null(world_note(&w, NOTE_CONTENT_REFUSED));
    assert_int_equal(world_stats(&w).workers, 1);

    /* its like is refused for a minute, from anyone; others are served */
    world_forget(&w);
    struct event again = world_request(5, 9, "m");
    again.request.content_hash = world_request(0, 1, "m").request.content_hash;
    assert_int_equal(world_ask_event(&w, &again), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_WORKER_LOST);
    assert_in_range(world_find(&w, ACTION_ERROR)->retry_ms, 1, w.settings.refuse_ms + 1);
    assert_true(world_ask(&w, 5, 10, "m") != 0);
    world_pass_ms(&w, w.settings.refuse_ms + 1);
    assert_true(world_ask_event(&w, &again) != 0);
    world_close(&w);
}

static void test_a_broker_that_stood_still_blames_no_worker(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ask(&w, 0, 1, "m");
    world_pass_ms(&w, 1000);
    w.now_us += 30 * 1000000; /* SIGSTOP, a suspended laptop */
    world_step(&w, &(struct event){.type = EVENT_TICK});
    assert_null(world_note(&w, NOTE_WORKER_LOST));
    assert_non_null(world_note(&w, NOTE_SLEPT));
    w.workers[0].beats = false; /* but it does not hide a death for long */
    world_pass_ms(&w, 2100);
    assert_non_null(world_note(&w, NOTE_WORKER_LOST));
    world_close(&w);
}

/* ---- late messages ---- */

static void test_late_replies_of_a_lost_attempt_are_dropped_and_told_to_stop(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 1);
    w.workers[0].beats = false;
    world_pass_ms(&w, 2500);
    world_forget(&w);
    world_tokens(&w, 0, t, 1, 1, 0, 1); /* it thaws */
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    assert_int_equal(world_find(&w, ACTION_CANCEL_WORK)->attempt, 1);
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 0);
    world_ready(&w, 0, "m", 1); /* registers again, and still may not speak for attempt 1 or 2 */
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_tokens(&w, 0, t, 2, 1, 0, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    world_tokens(&w, 1, t, 2, 1, 0, 1);
    world_done(&w, 1, t, 2, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 1);
    assert_int_equal(world_find(&w, ACTION_DONE)->attempt, 2);
    world_close(&w);
}

static void test_late_replies_do_not_pass_for_a_second_attempt_at_the_same_worker(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    w.workers[0].beats = false;
    world_pass_ms(&w, 2500);
    world_forget(&w);
    world_ready(&w, 0, "m", 1); /* thawed: the same process, and the only one */
    assert_int_equal(world_find(&w, ACTION_WORK)->attempt, 2);
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_PASS) + world_count(&w, ACTION_DONE), 0);
    assert_int_equal(world_find(&w, ACTION_CANCEL_WORK)->attempt, 1);
    world_done(&w, 0, t, 2, 1);
    assert_int_equal(world_count(&w, ACTION_DONE), 1);
    world_close(&w);
}

static void test_a_reply_of_an_old_incarnation_is_dropped(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    w.workers[0].incarnation++;
    world_tokens(&w, 0, t, 1, 1, 0, 1);
    world_done(&w, 0, t, 1, 1);
    assert_int_equal(world_count(&w, ACTION_PASS) + world_count(&w, ACTION_DONE), 0);
    assert_int_equal(world_stats(&w).in_flight, 1);
    world_close(&w);
}

static void test_tokens_out_of_turn_end_the_request(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 2);
    uint64_t a = world_ask(&w, 0, 1, "m");
    uint64_t b = world_ask(&w, 0, 2, "m");
    world_tokens(&w, 0, a, 1, 1, 0, 2);
    world_forget(&w);
    world_tokens(&w, 0, a, 1, 1, 1, 1); /* token 1 again */
    world_tokens(&w, 0, b, 1, 2, 1, 1); /* token 0 never came */
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    assert_int_equal(world_count(&w, ACTION_ERROR), 2);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_INTERNAL);
    assert_int_equal(world_count(&w, ACTION_CANCEL_WORK), 2);
    world_close(&w);
}

static void test_an_answer_about_another_request_is_not_passed_on(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 2);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    world_tokens(&w, 0, t, 1, 2, 0, 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_INTERNAL);
    assert_int_equal(world_stats(&w).bad_messages, 1);
    world_close(&w);
}

/* ---- workers that give work back ---- */

static void test_a_worker_without_room_sends_the_request_elsewhere(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 4);
    world_forget(&w);
    world_fail(&w, 0, t, 1, 1, ERR_BUSY);
    assert_int_equal(world_sent_to(&w), 1);
    assert_int_equal(world_count(&w, ACTION_PASS), 0);
    world_forget(&w);
    world_ask(&w, 0, 2, "m"); /* the one that refused is left alone for a moment, */
    assert_int_equal(world_sent_to(&w), 1);
    world_pass_ms(&w, BROKER_PAUSE_MS + 1);
    world_ask(&w, 0, 3, "m"); /* no longer */
    assert_int_equal(world_sent_to(&w), 0);
    world_close(&w);
}

static void test_the_only_worker_is_asked_again_and_then_the_client_is_told(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        world_pass_ms(&w, BROKER_PAUSE_MS + 1);
        assert_int_equal(world_count(&w, ACTION_WORK), attempt);
        world_fail(&w, 0, t, attempt, 1, ERR_BUSY);
    }
    assert_int_equal(world_find(&w, ACTION_ERROR)->code, ERR_BUSY);
    assert_true(world_find(&w, ACTION_ERROR)->retry_ms > 0);
    assert_int_equal(world_count(&w, ACTION_WORK), 3);
    world_close(&w);
}

static void test_a_worker_that_shuts_down_gets_no_more(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 4);
    world_forget(&w);
    world_fail(&w, 0, t, 1, 1, ERR_SHUTTING_DOWN);
    world_pass_ms(&w, BROKER_PAUSE_MS + 1); /* before any heartbeat says so */
    for (uint32_t n = 2; n < 5; n++)
        world_ask(&w, 0, n, "m");
    assert_int_equal(sent_to(&w, 0), 0);
    assert_int_equal(sent_to(&w, 1), 4);
    world_close(&w);
}

static void test_a_worker_that_says_it_drains_gets_no_more(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    w.workers[0].draining = true;
    world_beat(&w, 0);
    assert_non_null(world_note(&w, NOTE_WORKER_DRAINED));
    world_ask(&w, 0, 1, "m");
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    w.workers[0].draining = false;
    world_beat(&w, 0);
    assert_int_equal(world_count(&w, ACTION_WORK), 1);
    world_close(&w);
}

static void test_a_request_goes_back_to_who_gave_it_up_only_if_no_other_will_do(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 1);
    world_ready(&w, 1, "m", 2);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ask(&w, 0, 2, "m");
    assert_true(world_find(&w, ACTION_WORK)->ticket == t);
    int holder = world_worker_of(&w, world_find(&w, ACTION_WORK));
    assert_int_equal(holder, 0);
    world_forget(&w);
    w.workers[0].peer.id[4] = 99; /* a new connection: idle now, and so the less loaded one */
    world_ready(&w, 0, "m", 1);
    assert_int_equal(world_sent_to(&w), 1);
    world_close(&w);
}

static void test_other_errors_of_a_worker_are_the_answer(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    world_ready(&w, 1, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_forget(&w);
    world_fail(&w, 0, t, 1, 1, ERR_BAD_PICTURE);
    assert_int_equal(world_count(&w, ACTION_PASS), 1);
    assert_int_equal(world_count(&w, ACTION_WORK), 0);
    assert_int_equal(world_stats(&w).failed, 1);
    world_close(&w);
}

static void test_work_that_did_not_get_out_is_no_attempt(void **state) {
    (void)state;
    struct world w;
    start(&w);
    world_ready(&w, 0, "m", 4);
    uint64_t t = world_ask(&w, 0, 1, "m");
    world_ready(&w, 1, "m", 4);
    world_forget(&w);
    struct event ev = {.type = EVENT_UNSENT, .peer = w.workers[0].peer};
    ev.unsent.ticket = t;
    ev.unsent.attempt = 1;
    world_step(&w, &ev);
    assert_int_equal(world_sent_to(&w), 1);
    assert_int_equal(world_find(&w, ACTION_WORK)->attempt, 1);
    assert_int_equal(world_stats(&w).resent, 0);
    ev.peer = w.workers[1].peer;
    world_step(&w, &ev); /* both are paused now, and this one is dead */
    world_step(&w, &(struct event){.type = EVENT_WORKER_GONE, .peer = w.workers[1].peer});
    assert_int_equal(world_stats(&w).workers, 1);
    world_pass_ms(&w, BROKER_PAUSE_MS + 1);
    assert_int_equal(world_sent_to(&w), 0);
    assert_int_equal(world_last(&w, ACTION_WORK)->attempt, 1);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_silent_worker_is_dead_and_its_request_goes_elsewhere),
        cmocka_unit_test(test_heartbeats_keep_a_worker_alive_through_a_long_prefill),
        cmocka_unit_test(test_a_late_heartbeat_makes_the_broker_poke_the_connection),
        cmocka_unit_test(test_a_broken_connection_is_a_dead_worker),
        cmocka_unit_test(test_a_request_that_kills_two_workers_is_not_sent_to_a_third),
        cmocka_unit_test(test_a_broker_that_stood_still_blames_no_worker),
        cmocka_unit_test(test_late_replies_of_a_lost_attempt_are_dropped_and_told_to_stop),
        cmocka_unit_test(test_late_replies_do_not_pass_for_a_second_attempt_at_the_same_worker),
        cmocka_unit_test(test_a_reply_of_an_old_incarnation_is_dropped),
        cmocka_unit_test(test_tokens_out_of_turn_end_the_request),
        cmocka_unit_test(test_an_answer_about_another_request_is_not_passed_on),
        cmocka_unit_test(test_a_worker_without_room_sends_the_request_elsewhere),
        cmocka_unit_test(test_the_only_worker_is_asked_again_and_then_the_client_is_told),
        cmocka_unit_test(test_a_worker_that_shuts_down_gets_no_more),
        cmocka_unit_test(test_a_worker_that_says_it_drains_gets_no_more),
        cmocka_unit_test(test_a_request_goes_back_to_who_gave_it_up_only_if_no_other_will_do),
        cmocka_unit_test(test_other_errors_of_a_worker_are_the_answer),
        cmocka_unit_test(test_work_that_did_not_get_out_is_no_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
