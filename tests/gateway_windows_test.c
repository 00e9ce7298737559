/* gateway_windows_test.c - what happened lately, out of counters that fall back now and then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/pool/windows.h"

#define SECOND 1000

static void add(struct windows *w, int64_t now_ms, uint64_t uptime_ms, uint64_t requests) {
    struct quire_stats s = {.uptime_ms = uptime_ms,
                            .requests = requests,
                            .prompt_positions = 100 * requests,
                            .reused_positions = 60 * requests,
                            .pictures = 2 * requests,
                            .pictures_encoded = requests};
    windows_add(w, &s, now_ms);
}

static void check(const struct windows *w, int64_t now_ms, uint64_t one, uint64_t five,
                  uint64_t fifteen) {
    struct window out[WINDOWS];
    uint64_t expected[WINDOWS] = {one, five, fifteen};
    windows_get(w, now_ms, out);
    for (int i = 0; i < WINDOWS; i++) {
        assert_true(out[i].requests == expected[i]);
        assert_true(out[i].prompt_positions == 100 * expected[i]);
        assert_true(out[i].reused_positions == 60 * expected[i]);
        assert_true(out[i].pictures == 2 * expected[i]);
        assert_true(out[i].pictures_encoded == expected[i]);
    }
}

static struct windows *new_windows(void) {
    struct windows *w = calloc(1, sizeof *w);
    assert_non_null(w);
    return w;
}

static void test_nothing_is_known_before_the_second_sample(void **state) {
    (void)state;
    struct windows *w = new_windows();
    check(w, 0, 0, 0, 0);
    add(w, 5 * SECOND, 3600 * SECOND, 100000); /* what was before is not of these minutes */
    check(w, 5 * SECOND, 0, 0, 0);
    add(w, 6 * SECOND, 3601 * SECOND, 100007);
    check(w, 6 * SECOND, 7, 7, 7);
    free(w);
}

/* One request a second for 40 minutes: more than the ring holds. */
static void test_each_window_counts_its_minutes(void **state) {
    (void)state;
    struct windows *w = new_windows();
    for (int t = 0; t <= 2400; t++) {
        add(w, (int64_t)t * SECOND, (uint64_t)t * SECOND, (uint64_t)t);
        check(w, (int64_t)t * SECOND, (uint64_t)(t < 60 ? t : 60), (uint64_t)(t < 300 ? t : 300),
              (uint64_t)(t < 900 ? t : 900));
    }
    free(w);
}

static void test_a_broker_started_again_counts_on(void **state) {
    (void)state;
    struct windows *w = new_windows();
    add(w, 100 * SECOND, 100 * SECOND, 50);
    add(w, 101 * SECOND, 101 * SECOND, 55);
    add(w, 104 * SECOND, 1 * SECOND, 3); /* counters fell */
    check(w, 104 * SECOND, 8, 8, 8);
    add(w, 120 * SECOND, 2 * SECOND, 9); /* none fell, but its start moved */
    check(w, 120 * SECOND, 17, 17, 17);
    add(w, 121 * SECOND, 3 * SECOND, 10);
    check(w, 121 * SECOND, 18, 18, 18);
    free(w);
}

static void test_a_broker_away_leaves_a_hole(void **state) {
    (void)state;
    struct windows *w = new_windows();
    add(w, 0, 0, 0);
    add(w, 10 * SECOND, 10 * SECOND, 5);
    add(w, 200 * SECOND, 200 * SECOND, 9); /* in between nobody could be asked */
    check(w, 200 * SECOND, 4, 9, 9);
    check(w, 1000 * SECOND, 0, 0, 4);
    free(w);
}

static void test_samples_in_haste_do_not_push_old_ones_out(void **state) {
    (void)state;
    struct windows *w = new_windows();
    for (int t = 0; t <= 600 * 10; t++)
        add(w, (int64_t)t * SECOND / 10, (uint64_t)t * SECOND / 10, (uint64_t)t);
    struct window out[WINDOWS];
    windows_get(w, 600 * SECOND, out);
    assert_true(out[2].requests == 6000);
    assert_in_range(out[1].requests, 3000, 3010);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_before_the_second_sample),
        cmocka_unit_test(test_each_window_counts_its_minutes),
        cmocka_unit_test(test_a_broker_started_again_counts_on),
        cmocka_unit_test(test_a_broker_away_leaves_a_hole),
        cmocka_unit_test(test_samples_in_haste_do_not_push_old_ones_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
