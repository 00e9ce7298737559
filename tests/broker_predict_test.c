/* broker_predict_test.c - how long a prompt takes, learned from what came of predictions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/predict.h"

static uint32_t draws = 12345;

static double draw(double low, double high) {
    draws = draws * 1664525 + 1013904223;
    return low + (high - low) * (draws >> 8) / (1 << 24);
}

static void assert_near(double x, double want, double off) {
    if (x < want - off || x > want + off)
        fail_msg("%f is not within %f of %f", x, off, want);
}

/* ---- pace ---- */

static double foreseen(const struct pace *p, const struct effort *e) {
    return pace_own(p, e->later) * e->own_us + p->wait * e->wait_us;
}

static void test_what_workers_tell_is_believed_at_first(void **state) {
    (void)state;
    struct pace p = pace_begin();
    struct effort alone = {.own_us = 1000}, second = {.own_us = 1000, .wait_us = 3000};
    assert_near(foreseen(&p, &alone), 1000, 1e-6);
    assert_near(foreseen(&p, &second), 4000, 1e-6);
}

static void test_own_time_and_wait_are_told_apart(void **state) {
    (void)state;
    struct pace p = pace_begin();
    for (int i = 0; i < 400; i++) {
        struct effort e = {.own_us = draw(1000, 100000)};
        e.wait_us = i % 2 ? draw(0, 4) * e.own_us : 0;
        pace_learn(&p, &e, (1.8 * e.own_us + 0.6 * e.wait_us) * draw(0.9, 1.1));
    }
    assert_near(p.own, 1.8, 0.2);
    assert_near(p.wait, 0.6, 0.1);
}

static void test_prompts_of_any_length_teach_the_same(void **state) {
    (void)state;
    struct pace p = pace_begin();
    for (int i = 0; i < 50; i++) {
        double own_us = i % 2 ? 500 : 5e7;
        pace_learn(&p, &(struct effort){.own_us = own_us}, 1.5 * own_us);
    }
    assert_near(p.own, 1.5, 0.01);
    assert_near(p.wait, 1, 0);
}

static void test_one_that_was_held_up_changes_little(void **state) {
    (void)state;
    struct pace p = pace_begin();
    pace_learn(&p, &(struct effort){.own_us = 1000}, 1e12);
    assert_true(p.own < 1.2);
}

static void test_what_comes_later_is_learned_where_it_comes(void **state) {
    (void)state;
    struct pace p = pace_begin();
    for (int i = 0; i < 600; i++) {
        struct effort e = {.own_us = 1000, .later = i % 2 ? 3 : 0};
        pace_learn(&p, &e, i % 2 ? 4000 : 1000);
    }
    struct effort quiet = {.own_us = 1000}, busy = {.own_us = 1000, .later = 3};
    assert_near(foreseen(&p, &quiet), 1000, 150);
    assert_near(foreseen(&p, &busy), 4000, 500);
}

static void test_a_pace_is_bounded(void **state) {
    (void)state;
    struct pace p = pace_begin();
    struct effort all = {.own_us = 1000, .wait_us = 1000, .later = 2};
    for (int i = 0; i < 1000; i++)
        pace_learn(&p, &all, 1e15);
    assert_true(p.own <= 8 && p.wait <= 4 && p.later <= 2);
    for (int i = 0; i < 1000; i++)
        pace_learn(&p, &all, 1);
    assert_true(p.own >= 0.25 && p.wait > 0 && p.later > 0);
    struct pace before = p;
    pace_learn(&p, &(struct effort){0}, 1000);
    pace_learn(&p, &all, 0);
    assert_memory_equal(&p, &before, sizeof p);
}

static void test_each_model_has_its_pace(void **state) {
    (void)state;
    static struct averages a;
    uint8_t one[16] = {1}, other[16] = {2};
    for (int i = 0; i < 50; i++)
        averages_learn_pace(&a, one, true, &(struct effort){.own_us = 1000}, 2000);
    assert_near(averages_pace(&a, one, true).own, 2, 0.01);
    assert_near(averages_pace(&a, one, false).own, 1, 0);
    assert_near(averages_pace(&a, other, true).own, 1, 0);
}

/* ---- rates ---- */

static void test_rates_are_seen_before_they_are_told(void **state) {
    (void)state;
    struct rates r = {0};
    struct usage u = {.prompt_positions = 300, .reused_positions = 100, .tiles_encoded = 2};
    rates_see(&r, &u, &(struct timings){.prefill_us = 40000, .picture_us = 30000});
    assert_near(r.position_us, 200, 1e-9);
    assert_near(r.tile_us, 15000, 1e-9);
    rates_see(&r, &u, &(struct timings){.prefill_us = 90000, .picture_us = 20000});
    assert_near(r.position_us, 200, 1e-9); /* others had turns in that */
    assert_near(r.tile_us, 10000, 1e-9);
    u = (struct usage){.prompt_positions = 10, .reused_positions = 10};
    rates_see(&r, &u, &(struct timings){.prefill_us = 1, .picture_us = 1});
    assert_near(r.position_us, 200, 1e-9);
}

static void test_rates_that_differ_by_noise_are_equal(void **state) {
    (void)state;
    struct rates a = {.position_us = 100, .tile_us = 5000};
    struct rates b = {.position_us = 130, .tile_us = 50000};
    struct rates c = {0}; /* has not measured anything */
    struct rates *all[3] = {&a, &b, &c};
    rates_settle(all, 3);
    assert_near(a.position_us, 115, 1e-9);
    assert_near(b.position_us, 115, 1e-9);
    assert_near(c.position_us, 115, 1e-9);
    assert_near(a.tile_us, 5000, 1e-9);
    assert_near(b.tile_us, 50000, 1e-9);
    assert_near(c.tile_us, 27500, 1e-9);
}

static void test_there_is_a_guess_before_any_heartbeat(void **state) {
    (void)state;
    struct rates a = {0};
    struct rates *all[1] = {&a};
    rates_settle(all, 1);
    assert_true(a.position_us > 0 && a.tile_us > 0);
    struct cost c = rates_cost(&a, &(struct work){.positions = 100, .tiles = 2});
    assert_true(c.prefill_us > 0 && c.encode_us > 0);
    assert_near(c.pieces, 3, 0);
}

static void test_answers_beside_it_slow_a_prompt(void **state) {
    (void)state;
    struct rates r = {.position_us = 1000, .step_us = 2000, .tile_us = 50000};
    struct cost alone = rates_cost(&r, &(struct work){.positions = 1024, .tiles = 1});
    struct cost beside =
        rates_cost(&r, &(struct work){.positions = 1024, .tiles = 1, .decoding = 4});
    assert_int_equal(alone.prefill_us, 1024 * 1000 + 2 * 2000);
    /* 194 positions end in time, so there are six steps. */
    assert_int_equal(beside.prefill_us, 1024 * 1000 + 6 * (2000 + 4 * 1000));
    assert_true(beside.encode_us > alone.encode_us);
    r.position_us = 100; /* quick enough for whole chunks */
    beside = rates_cost(&r, &(struct work){.positions = 1024, .decoding = 4});
    assert_int_equal(beside.prefill_us, 1024 * 100 + 2 * (2000 + 4 * 100));
    r.position_us = 1e6; /* too slow for any */
    beside = rates_cost(&r, &(struct work){.positions = 32, .decoding = 1});
    assert_int_equal(beside.prefill_us, 32 * 1000000 + 2 * (2000 + 1000000));
}

static void test_sizes_are_learned_from_usage(void **state) {
    (void)state;
    static struct averages a;
    static struct trail t;
    uint8_t fingerprint[16] = {1}, other[16] = {2};
    t.kept = 3;
    t.shown = 2;
    t.text_bytes = 3000;
    memcpy(t.fingerprint, fingerprint, 16);
    struct usage u = {.prompt_positions = 1400,
                      .picture_positions = 400,
                      .pictures = 2,
                      .pictures_encoded = 1,
                      .tiles_encoded = 5};
    for (int i = 0; i < 20; i++)
        averages_learn(&a, &t, &u);
    struct sizes s = averages_sizes(&a, fingerprint);
    assert_near(s.position_bytes, 3, 1e-6);
    assert_near(s.picture_positions, 200, 1e-6);
    assert_near(s.picture_tiles, 5, 1e-6);
    s = averages_sizes(&a, other);
    assert_near(s.position_bytes, 4, 1e-6);
}

static void test_the_models_used_longest_ago_are_forgotten(void **state) {
    (void)state;
    static struct averages a;
    static struct trail t;
    t.kept = 1;
    t.text_bytes = 1000;
    struct usage u = {.prompt_positions = 100};
    for (int i = 0; i < 200; i++) {
        t.fingerprint[0] = (uint8_t)i;
        averages_learn(&a, &t, &u);
    }
    assert_int_equal(a.count, AVERAGES_MAX);
    uint8_t last[16] = {199}, first[16] = {0};
    assert_near(averages_sizes(&a, last).position_bytes, 10, 1e-6);
    assert_near(averages_sizes(&a, first).position_bytes, 4, 1e-6);
}

static void test_the_median_error_is_of_the_last_ones(void **state) {
    (void)state;
    static struct errors e;
    assert_int_equal(errors_median(&e), 0);
    errors_add(&e, 1500, 1000);
    assert_int_equal(errors_median(&e), 500);
    for (int i = 0; i < 100; i++)
        errors_add(&e, 1, 0); /* nothing divides by zero */
    for (int i = 0; i < ERRORS_KEPT; i++)
        errors_add(&e, i % 2 ? 800 : 1200, 1000);
    assert_int_equal(errors_median(&e), 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_workers_tell_is_believed_at_first),
        cmocka_unit_test(test_own_time_and_wait_are_told_apart),
        cmocka_unit_test(test_prompts_of_any_length_teach_the_same),
        cmocka_unit_test(test_one_that_was_held_up_changes_little),
        cmocka_unit_test(test_what_comes_later_is_learned_where_it_comes),
        cmocka_unit_test(test_a_pace_is_bounded),
        cmocka_unit_test(test_each_model_has_its_pace),
        cmocka_unit_test(test_rates_are_seen_before_they_are_told),
        cmocka_unit_test(test_rates_that_differ_by_noise_are_equal),
        cmocka_unit_test(test_there_is_a_guess_before_any_heartbeat),
        cmocka_unit_test(test_answers_beside_it_slow_a_prompt),
        cmocka_unit_test(test_sizes_are_learned_from_usage),
        cmocka_unit_test(test_the_models_used_longest_ago_are_forgotten),
        cmocka_unit_test(test_the_median_error_is_of_the_last_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
