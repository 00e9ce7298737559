/* team_test.c - fork and join. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "common/cpus.h"
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

/* ---- places ---- */

struct places {
    cpu_set_t sets[CPU_SETSIZE]; /* where each member may run */
};

static void note_place(void *arg, int member, int members) {
    struct places *p = arg;
    (void)members;
    cpus_allowed(&p->sets[member]);
}

static void test_pinned_members_stay_on_a_cpu_each(void **state) {
    (void)state;
    static struct places p;
    struct team *team;
    struct error e;
    cpu_set_t mine;
    cpus_allowed(&mine);
    int n = CPU_COUNT(&mine) < 4 ? CPU_COUNT(&mine) : 4;
    assert_int_equal(team_open(&team, n, &e), 0);
    assert_int_equal(team_take_place(team, &e), 0); /* nothing yet */
    assert_int_equal(team_pin(team, &mine, &e), 0);
    team_run(team, note_place, &p);
    assert_true(CPU_EQUAL(&p.sets[0], &mine)); /* it has not taken its place */
    assert_int_equal(team_take_place(team, &e), 0);
    team_run(team, note_place, &p);
    for (int i = 0; i < n; i++) {
        assert_int_equal(CPU_COUNT(&p.sets[i]), 1);
        assert_true(cpus_has(&p.sets[i], cpus_nth(&mine, i)));
    }
    team_close(team);
    assert_int_equal(sched_setaffinity(0, sizeof mine, &mine), 0);
}

static void test_fewer_cpus_than_members_are_refused(void **state) {
    (void)state;
    struct team *team;
    struct error e;
    cpu_set_t one;
    CPU_ZERO(&one);
    cpus_add(&one, 0);
    assert_int_equal(team_open(&team, 2, &e), 0);
    assert_int_equal(team_pin(team, &one, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "2 threads"));
    team_close(team);
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
        cmocka_unit_test(test_pinned_members_stay_on_a_cpu_each),
        cmocka_unit_test(test_fewer_cpus_than_members_are_refused),
        cmocka_unit_test(test_size_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
