/* team_test.c - fork and join. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "worker/engine/team.h"

struct tally {
    atomic_int calls[TEAM_MAX];
    atomic_int wrong_size;
    int expected;
    int sleep_us; /* of all but member 0 */
};

static void count_call(void *arg, int member, int members) {
    struct tally *t = arg;
    if (members != t->expected)
        atomic_fetch_add(&t->wrong_size, 1);
    if (member != 0 && t->sleep_us > 0)
        usleep((useconds_t)t->sleep_us);
    atomic_fetch_add(&t->calls[member], 1);
}

static void check_rounds(int n, int rounds, int sleep_us) {
    struct team *team;
    assert_int_equal(team_open(&team, n, NULL), 0);
    assert_int_equal(team_size(team), n);
    struct tally t = {.expected = n, .sleep_us = sleep_us};
    for (int i = 1; i <= rounds; i++) {
        team_run(team, count_call, &t);
        for (int m = 0; m < n; m++) /* all are done when team_run returns */
            assert_int_equal(atomic_load(&t.calls[m]), i);
    }
    assert_int_equal(atomic_load(&t.wrong_size), 0);
    team_close(team);
}

static void test_every_member_runs_once_in_each_round(void **state) {
    (void)state;
    for (int n = 1; n <= 9; n++)
        check_rounds(n, 300, 0);
}

static void test_more_members_than_cpus_get_through(void **state) {
    (void)state;
    check_rounds(64, 20, 0);
}

static void test_caller_waits_for_a_slow_member(void **state) {
    (void)state;
    check_rounds(3, 5, 20000);
}

static void test_members_that_fell_asleep_are_woken(void **state) {
    (void)state;
    struct team *team;
    assert_int_equal(team_open(&team, 3, NULL), 0);
    struct tally t = {.expected = 3};
    for (int i = 0; i < 5; i++) {
        usleep(20000); /* far longer than they spin */
        team_run(team, count_call, &t);
    }
    assert_int_equal(atomic_load(&t.calls[2]), 5);
    team_close(team);
}

static void test_team_that_never_ran_closes(void **state) {
    (void)state;
    struct team *team;
    assert_int_equal(team_open(&team, 4, NULL), 0);
    team_close(team);
    team_close(NULL);
}

static void test_size_out_of_range_is_refused(void **state) {
    (void)state;
    struct team *team = (struct team *)state;
    struct error e;
    assert_int_equal(team_open(&team, 0, &e), ERR_USAGE);
    assert_null(team);
    assert_int_equal(team_open(&team, TEAM_MAX + 1, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "257"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_member_runs_once_in_each_round),
        cmocka_unit_test(test_more_members_than_cpus_get_through),
        cmocka_unit_test(test_caller_waits_for_a_slow_member),
        cmocka_unit_test(test_members_that_fell_asleep_are_woken),
        cmocka_unit_test(test_team_that_never_ran_closes),
        cmocka_unit_test(test_size_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
