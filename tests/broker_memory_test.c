/* broker_memory_test.c - what the broker remembers of the past, and that it is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/jobs.h"
#include "broker/memory.h"

static struct label label_of(int n) {
    struct label l;
    char text[16];
    int size = snprintf(text, sizeof text, "model-%d", n);
    assert_true(label_set(&l, (struct bytes){(const uint8_t *)text, (size_t)size}));
    return l;
}

static bool knows(const struct models *m, int n, bool *vision) {
    struct label l = label_of(n);
    return models_know(m, label_bytes(&l), vision);
}

static void test_a_model_is_remembered_with_the_best_it_could_do(void **state) {
    (void)state;
    static struct models m;
    struct label l = label_of(1);
    bool vision = true;
    assert_false(knows(&m, 1, NULL));
    models_see(&m, &l, false);
    assert_true(knows(&m, 1, &vision));
    assert_false(vision);
    models_see(&m, &l, true);
    models_see(&m, &l, false);
    assert_true(knows(&m, 1, &vision));
    assert_true(vision);
}

static void test_the_model_seen_longest_ago_is_forgotten_first(void **state) {
    (void)state;
    static struct models m;
    for (int n = 0; n < MODELS_MAX; n++) {
        struct label l = label_of(n);
        models_see(&m, &l, false);
    }
    struct label first = label_of(0), fresh = label_of(MODELS_MAX);
    models_see(&m, &first, false); /* so that 1 is the oldest */
    models_see(&m, &fresh, false);
    assert_true(knows(&m, 0, NULL));
    assert_false(knows(&m, 1, NULL));
    assert_true(knows(&m, MODELS_MAX, NULL));
}

static void test_a_list_of_models_is_cut_where_the_room_ends(void **state) {
    (void)state;
    static struct models m;
    char room[18];
    for (int n = 0; n < 9; n++) {
        struct label l = label_of(n);
        models_see(&m, &l, false);
        models_list(&m, room, sizeof room);
    }
    assert_string_equal(room, "model-0, model-1,");
}

static void test_a_refusal_ends_in_time_and_the_oldest_makes_room(void **state) {
    (void)state;
    static struct refusals r;
    refusals_add(&r, 5, 1000);
    assert_int_equal(refusals_left_us(&r, 5, 400), 600);
    assert_int_equal(refusals_left_us(&r, 6, 400), 0);
    assert_int_equal(refusals_left_us(&r, 5, 1000), 0);
    refusals_add(&r, 5, 2000); /* renewed in place */
    assert_int_equal(refusals_left_us(&r, 5, 1000), 1000);
    for (uint64_t n = 100; n < 100 + REFUSALS_MAX - 1; n++)
        refusals_add(&r, n, 9000);
    assert_int_equal(refusals_left_us(&r, 5, 1000), 1000);
    refusals_add(&r, 99, 9000);
    assert_int_equal(refusals_left_us(&r, 5, 1000), 0);
    assert_int_equal(refusals_left_us(&r, 100, 1000), 8000);
}

static void test_a_ticket_is_never_used_twice_though_its_slot_is(void **state) {
    (void)state;
    struct jobs *t;
    assert_int_equal(jobs_open(&t, 2), 0);
    struct job *a = jobs_add(t);
    uint64_t old = a->ticket;
    assert_non_null(jobs_add(t));
    assert_null(jobs_add(t)); /* full */
    jobs_remove(t, a);
    assert_null(jobs_find(t, old));
    struct job *b = jobs_add(t);
    assert_ptr_equal(a, b);
    assert_int_equal(jobs_slot(b->ticket), jobs_slot(old));
    assert_true(b->ticket != old);
    assert_null(jobs_find(t, old));
    assert_ptr_equal(jobs_find(t, b->ticket), b);
    jobs_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_model_is_remembered_with_the_best_it_could_do),
        cmocka_unit_test(test_the_model_seen_longest_ago_is_forgotten_first),
        cmocka_unit_test(test_a_list_of_models_is_cut_where_the_room_ends),
        cmocka_unit_test(test_a_refusal_ends_in_time_and_the_oldest_makes_room),
        cmocka_unit_test(test_a_ticket_is_never_used_twice_though_its_slot_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
