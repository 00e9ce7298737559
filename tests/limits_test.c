/* limits_test.c - who is let in, and when who was not may come again. Time is a number here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/access/limits.h"

static const struct key free_key = {.name = "free"};
static const struct key two = {.name = "two", .in_flight = 2};
static const struct key metered = {.name = "metered", .tokens_per_minute = 6000};

static struct limits *limits;
static struct fault fault;

static int setup(void **state) {
    (void)state;
    memset(&fault, 0, sizeof fault);
    return limits_open(&limits);
}

static int teardown(void **state) {
    (void)state;
    limits_close(limits);
    limits = NULL;
    return 0;
}

static int enter(const struct key *k, int64_t now_ms) {
    return limits_enter(limits, k, now_ms, &fault);
}

static void test_a_key_without_limits_is_always_let_in(void **state) {
    (void)state;
    for (int i = 0; i < 5000; i++)
        assert_int_equal(enter(&free_key, 1000), 0);
    limits_leave(limits, &free_key, UINT64_MAX, 1000);
    assert_int_equal(enter(&free_key, 1000), 0);
    assert_int_equal(enter(NULL, 1000), 0);
    limits_leave(limits, NULL, 5, 1000);
}

static void test_requests_in_flight_are_counted_for_each_key(void **state) {
    (void)state;
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), -1);
    assert_int_equal(fault.status, 429);
    assert_int_equal(fault.code, ERR_BUSY);
    assert_true(fault.retry_ms > 0);
    assert_non_null(strstr(fault.text, "\"two\""));
    assert_int_equal(enter(&free_key, 0), 0);
    limits_leave(limits, &two, 0, 0);
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), -1);
}

static void test_a_refused_request_is_not_counted(void **state) {
    (void)state;
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(enter(&two, 0), -1);
    limits_leave(limits, &two, 0, 0);
    limits_leave(limits, &two, 0, 0);
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), -1);
}

static void test_a_bucket_starts_full_and_may_be_overdrawn_once(void **state) {
    (void)state;
    assert_int_equal(enter(&metered, 0), 0);
    limits_leave(limits, &metered, 5999, 0);
    assert_int_equal(enter(&metered, 0), 0); /* one token is left */
    limits_leave(limits, &metered, 6001, 0); /* 6000 too many: a minute */
    assert_int_equal(enter(&metered, 0), -1);
    assert_int_equal(fault.status, 429);
    assert_int_equal(fault.retry_ms, 60001);
    assert_int_equal(enter(&metered, 60000), -1);
    assert_int_equal(fault.retry_ms, 1);
    assert_int_equal(enter(&metered, 60001), 0);
}

static void test_a_bucket_fills_evenly_and_never_above_one_minute(void **state) {
    (void)state;
    assert_int_equal(enter(&metered, 0), 0);
    limits_leave(limits, &metered, 6000, 0);
    for (int64_t t = 1; t <= 30000; t += 7) /* asking often loses nothing */
        if (enter(&metered, t) == 0)
            limits_leave(limits, &metered, 0, t);
    assert_int_equal(enter(&metered, 30000), 0);
    limits_leave(limits, &metered, 3000, 30000); /* half a minute's worth is all there was */
    assert_int_equal(enter(&metered, 30000), -1);
    assert_int_equal(enter(&metered, INT64_C(1) << 50), 0); /* long after: full, not more */
    limits_leave(limits, &metered, 6000, INT64_C(1) << 50);
    assert_int_equal(enter(&metered, INT64_C(1) << 50), -1);
}

static void test_any_number_of_tokens_can_be_paid(void **state) {
    (void)state;
    static const struct key rich = {.name = "rich", .tokens_per_minute = KEYS_TOKENS_MAX};
    for (int i = 0; i < 300; i++) {
        int64_t now = i;
        (void)enter(&rich, now);
        limits_leave(limits, &rich, UINT64_MAX, now);
    }
    assert_int_equal(enter(&rich, 400), -1);
    assert_true(fault.retry_ms > 60000);
    assert_int_equal(enter(&rich, INT64_MAX), 0);
}

static void test_time_that_goes_back_fills_nothing(void **state) {
    (void)state;
    assert_int_equal(enter(&metered, 100000), 0);
    limits_leave(limits, &metered, 6000, 100000);
    assert_int_equal(enter(&metered, 5), -1);
    assert_int_equal(enter(&metered, 100001), 0);
}

static void test_counts_survive_a_reload_by_the_name_of_the_key(void **state) {
    (void)state;
    struct key same = {.name = "two", .tenant = "other", .in_flight = 1, .tokens_per_minute = 100};
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&same, 0), -1);
    limits_leave_name(limits, "two", 0, 0);
    assert_int_equal(enter(&same, 0), 0);
    limits_leave(limits, &same, 100, 0);
    assert_int_equal(enter(&same, 0), -1); /* used up */
    same.tokens_per_minute = 0;
    assert_int_equal(enter(&same, 0), 0); /* the file was changed */
    limits_leave_name(limits, "nobody", 7, 0);
    limits_leave_name(limits, "", 7, 0);
}

static void test_keys_of_long_ago_make_room_and_those_in_flight_do_not(void **state) {
    (void)state;
    struct key k = {.in_flight = 1};
    assert_int_equal(enter(&two, 0), 0);
    assert_int_equal(enter(&two, 0), 0);
    for (int i = 0; i < 3 * (int)LIMITS_NAMES; i++) {
        (void)snprintf(k.name, sizeof k.name, "n%d", i);
        assert_int_equal(enter(&k, i), 0);
        limits_leave(limits, &k, 0, i);
    }
    assert_int_equal(enter(&two, 0), -1);
    for (int i = 0; i < (int)LIMITS_NAMES - 1; i++) {
        (void)snprintf(k.name, sizeof k.name, "m%d", i);
        assert_int_equal(enter(&k, i), 0);
    }
    (void)snprintf(k.name, sizeof k.name, "one more");
    assert_int_equal(enter(&k, 0), -1);
    assert_int_equal(fault.status, 503);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_without_limits_is_always_let_in),
        TEST(test_requests_in_flight_are_counted_for_each_key),
        TEST(test_a_refused_request_is_not_counted),
        TEST(test_a_bucket_starts_full_and_may_be_overdrawn_once),
        TEST(test_a_bucket_fills_evenly_and_never_above_one_minute),
        TEST(test_any_number_of_tokens_can_be_paid),
        TEST(test_time_that_goes_back_fills_nothing),
        TEST(test_counts_survive_a_reload_by_the_name_of_the_key),
        TEST(test_keys_of_long_ago_make_room_and_those_in_flight_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
