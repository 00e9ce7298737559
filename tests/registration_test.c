/* registration_test.c - when a worker says READY and HEARTBEAT; no socket, no clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/registration.h"

static void come_up(struct registration *l, int64_t now_ms) {
    registration_init(l, 7, now_ms);
    assert_int_equal(registration_next(l, now_ms), REGISTRATION_SEND_READY);
    registration_sent(l, REGISTRATION_SEND_READY, now_ms);
    registration_welcomed(l, 500, 2000, now_ms);
}

static void test_ready_goes_out_at_once_and_again_ever_later(void **state) {
    (void)state;
    struct registration l;
    int64_t now_ms = 1000, last_ms = 1000, wait_ms = 0;
    registration_init(&l, 7, now_ms);
    for (int tries = 0; tries < REGISTRATION_READY_TRIES; tries++) {
        while (registration_next(&l, now_ms) == REGISTRATION_REST)
            now_ms += 10;
        assert_int_equal(registration_next(&l, now_ms), REGISTRATION_SEND_READY);
        registration_sent(&l, REGISTRATION_SEND_READY, now_ms);
        if (tries > 0) {
            assert_true(now_ms - last_ms >= wait_ms / 2);
            wait_ms = now_ms - last_ms;
            assert_true(wait_ms >= REGISTRATION_READY_MS * 3 / 4);
            assert_true(wait_ms <= REGISTRATION_READY_MAX_MS * 5 / 4);
        }
        last_ms = now_ms;
    }
    assert_true(wait_ms > REGISTRATION_READY_MAX_MS / 2);
    while (registration_next(&l, now_ms) == REGISTRATION_REST)
        now_ms += 10;
    assert_int_equal(registration_next(&l, now_ms), REGISTRATION_RECONNECT);
    registration_reconnected(&l, now_ms);
    assert_int_equal(registration_next(&l, now_ms), REGISTRATION_SEND_READY);
}

static void test_waits_differ_between_workers(void **state) {
    (void)state;
    int64_t first_ms = 0;
    int different = 0;
    for (uint64_t noise = 1; noise < 20; noise++) {
        struct registration l;
        registration_init(&l, noise * 0x9e3779b97f4a7c15u, 0);
        (void)registration_next(&l, 0);
        registration_sent(&l, REGISTRATION_SEND_READY, 0);
        different += noise > 1 && l.due_ms != first_ms;
        first_ms = noise == 1 ? l.due_ms : first_ms;
    }
    assert_true(different > 10);
}

static void test_heartbeats_come_at_the_interval_the_broker_gave(void **state) {
    (void)state;
    struct registration l;
    come_up(&l, 0);
    assert_int_equal(registration_next(&l, 0), REGISTRATION_SEND_HEARTBEAT); /* the first one at once */
    registration_sent(&l, REGISTRATION_SEND_HEARTBEAT, 0);
    assert_int_equal(registration_next(&l, 499), REGISTRATION_REST);
    assert_int_equal(registration_wait_ms(&l, 499), 1);
    assert_int_equal(registration_next(&l, 500), REGISTRATION_SEND_HEARTBEAT);
}

static void test_a_silent_broker_is_given_up(void **state) {
    (void)state;
    struct registration l;
    come_up(&l, 0);
    int64_t now_ms = 0;
    enum registration_action action = REGISTRATION_REST;
    while (now_ms < 20000 && (action = registration_next(&l, now_ms)) != REGISTRATION_RECONNECT) {
        if (action == REGISTRATION_SEND_HEARTBEAT)
            registration_sent(&l, action, now_ms);
        now_ms += 100;
    }
    assert_int_equal(action, REGISTRATION_RECONNECT);
    assert_true(now_ms > 2000 * REGISTRATION_SILENCE);
    assert_true(now_ms <= 2000 * REGISTRATION_SILENCE + 200);
}

static void test_own_sleep_is_not_the_brokers_silence(void **state) {
    (void)state;
    struct registration l;
    come_up(&l, 0);
    (void)registration_next(&l, 100);
    assert_int_not_equal(registration_next(&l, 600000), REGISTRATION_RECONNECT);
}

static void test_a_broker_that_forgot_us_gets_ready_at_once(void **state) {
    (void)state;
    struct registration l;
    come_up(&l, 0);
    registration_sent(&l, REGISTRATION_SEND_HEARTBEAT, 0);
    registration_unknown(&l, 10);
    assert_int_equal(l.state, REGISTRATION_DOWN);
    assert_int_equal(registration_next(&l, 10), REGISTRATION_SEND_READY);
    registration_sent(&l, REGISTRATION_SEND_READY, 10);
    registration_unknown(&l, 11); /* the answer to an older heartbeat changes nothing */
    assert_int_equal(registration_next(&l, 11), REGISTRATION_REST);
}

static void test_what_is_blocked_is_not_tried_in_a_loop(void **state) {
    (void)state;
    struct registration l;
    registration_init(&l, 7, 0);
    assert_int_equal(registration_next(&l, 0), REGISTRATION_SEND_READY);
    registration_blocked(&l, 0);
    assert_int_equal(registration_next(&l, 0), REGISTRATION_REST);
    assert_true(registration_wait_ms(&l, 0) > 0);
    registration_unblocked(&l, 50);
    assert_int_equal(registration_next(&l, 50), REGISTRATION_SEND_READY);
}

static void test_foolish_intervals_are_bounded(void **state) {
    (void)state;
    struct registration l;
    registration_init(&l, 7, 0);
    registration_welcomed(&l, 0, 0, 0);
    assert_int_equal(l.heartbeat_ms, REGISTRATION_HEARTBEAT_MIN_MS);
    assert_true(l.dead_ms >= l.heartbeat_ms);
    registration_welcomed(&l, UINT32_MAX, UINT32_MAX, 0);
    assert_int_equal(l.heartbeat_ms, REGISTRATION_HEARTBEAT_MAX_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_goes_out_at_once_and_again_ever_later),
        cmocka_unit_test(test_waits_differ_between_workers),
        cmocka_unit_test(test_heartbeats_come_at_the_interval_the_broker_gave),
        cmocka_unit_test(test_a_silent_broker_is_given_up),
        cmocka_unit_test(test_own_sleep_is_not_the_brokers_silence),
        cmocka_unit_test(test_a_broker_that_forgot_us_gets_ready_at_once),
        cmocka_unit_test(test_what_is_blocked_is_not_tried_in_a_loop),
        cmocka_unit_test(test_foolish_intervals_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
