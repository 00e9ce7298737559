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

static void test_nothing_is_corrected_before_there_is_evidence(void **state) {
    (void)state;
    struct fit f = {0};
    double base, slope;
    fit_line(&f, &base, &slope);
    assert_near(base, 0, 0);
    assert_near(slope, 1, 0);
    fit_learn(&f, 100000, 300000);
    fit_line(&f, &base, &slope);
    assert_near(slope, 1, 0);
}

static void test_a_line_is_found_in_noise(void **state) {
    (void)state;
    struct fit f = {0};
    for (int i = 0; i < 300; i++) {
        double raw = i % 3 == 0 ? draw(1000, 5000) : draw(20000, 2000000);
        fit_learn(&f, raw, (9000 + 1.6 * raw) * draw(0.85, 1.15));
    }
    double base, slope;
    fit_line(&f, &base, &slope);
    assert_near(slope, 1.6, 0.2);
    assert_near(base, 9000, 1500);
}

static void test_short_prompts_alone_teach_the_base(void **state) {
    (void)state;
    struct fit f = {0};
    double base, slope;
    for (int i = 0; i < 100; i++)
        fit_learn(&f, 200, 6200);
    fit_line(&f, &base, &slope);
    assert_near(base + slope * 200, 6200, 200);
    assert_near(slope, 1, 0.5);
}

static void test_a_correction_is_bounded(void **state) {
    (void)state;
    struct fit f = {0};
    double base, slope;
    for (int i = 0; i < 100; i++)
        fit_learn(&f, 1000000, 1e15);
    fit_line(&f, &base, &slope);
    assert_true(slope <= 4 && base <= 1000000);
    memset(&f, 0, sizeof f);
    for (int i = 0; i < 100; i++)
        fit_learn(&f, 1000000, 0);
    fit_line(&f, &base, &slope);
    assert_true(slope >= 0.25 && base >= 0);
}

static void test_rates_that_differ_by_noise_are_equal(void **state) {
    (void)state;
    struct rates a = {.position_us = 100, .tile_us = 5000, .slope = 1};
    struct rates b = {.position_us = 130, .tile_us = 50000, .slope = 1};
    struct rates c = {.slope = 1}; /* has not measured anything */
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
    struct rates a = {.slope = 1};
    struct rates *all[1] = {&a};
    rates_settle(all, 1);
    assert_true(a.position_us > 0 && a.tile_us > 0);
    struct cost c = rates_cost(&a, &(struct work){.positions = 100, .tiles = 2});
    assert_true(c.prefill_us > 0 && c.encode_us > 0);
    assert_int_equal(c.raw_us, c.prefill_us + c.encode_us);
}

static void test_answers_beside_it_slow_a_prompt(void **state) {
    (void)state;
    struct rates r = {.position_us = 100, .step_us = 2000, .tile_us = 50000, .slope = 1};
    struct cost alone = rates_cost(&r, &(struct work){.positions = 1024, .tiles = 1});
    struct cost beside = rates_cost(&r, &(struct work){.positions = 1024, .tiles = 1, .decoding = 4});
    assert_int_equal(alone.prefill_us, 1024 * 100 + 2 * 2000);
    assert_int_equal(beside.prefill_us, 1024 * 100 + 8 * (2000 + 4 * 100));
    assert_true(beside.encode_us > alone.encode_us);
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
        cmocka_unit_test(test_nothing_is_corrected_before_there_is_evidence),
        cmocka_unit_test(test_a_line_is_found_in_noise),
        cmocka_unit_test(test_short_prompts_alone_teach_the_base),
        cmocka_unit_test(test_a_correction_is_bounded),
        cmocka_unit_test(test_rates_that_differ_by_noise_are_equal),
        cmocka_unit_test(test_there_is_a_guess_before_any_heartbeat),
        cmocka_unit_test(test_answers_beside_it_slow_a_prompt),
        cmocka_unit_test(test_sizes_are_learned_from_usage),
        cmocka_unit_test(test_the_models_used_longest_ago_are_forgotten),
        cmocka_unit_test(test_the_median_error_is_of_the_last_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
