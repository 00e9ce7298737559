/* rates_test.c - what is learned from steps that take a known time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/rates.h"

static void test_nothing_is_claimed_before_it_is_measured(void **state) {
    (void)state;
    struct rates r = {0};
    assert_int_equal(rates_position_us(&r), 0);
    assert_int_equal(rates_step_us(&r), 0);
    assert_int_equal(rates_decode_us(&r), 0);
    assert_int_equal(rates_tile_us(&r), 0);
}

static void test_steps_of_two_lengths_tell_the_fixed_part_from_the_rest(void **state) {
    (void)state;
    struct rates r = {0};
    for (int i = 0; i < 20; i++) {
        rates_prompt_step(&r, 512, 9000 + 512 * 40);
        rates_prompt_step(&r, 10, 9000 + 10 * 40);
    }
    assert_in_range(rates_step_us(&r), 8990, 9010);
    assert_in_range(rates_position_us(&r), 39, 41);
}

static void test_noise_of_a_tenth_is_borne(void **state) {
    (void)state;
    struct rates r = {0};
    uint32_t random = 1;
    for (int i = 0; i < 200; i++) {
        random = random * 1664525 + 1013904223;
        uint32_t n = 1 + (random >> 8) % 512;
        double noise = 0.9 + 0.2 * ((random >> 16) % 1000) / 1000;
        rates_prompt_step(&r, n, (int64_t)((5000 + 100 * n) * noise));
    }
    assert_in_range(rates_position_us(&r), 85, 115);
    assert_in_range(rates_step_us(&r), 3000, 7000);
}

static void test_steps_of_one_length_keep_the_fixed_part_that_was_found(void **state) {
    (void)state;
    struct rates r = {0};
    for (int i = 0; i < 20; i++) {
        rates_prompt_step(&r, 512, 9000 + 512 * 40);
        rates_prompt_step(&r, 10, 9000 + 10 * 40);
    }
    for (int i = 0; i < 300; i++)
        rates_prompt_step(&r, 512, 9000 + 512 * 80); /* positions take twice as long now */
    assert_in_range(rates_step_us(&r), 8000, 9100);  /* some was taken for it meanwhile */
    assert_in_range(rates_position_us(&r), 79, 82);
}

static void test_one_length_alone_puts_all_on_the_positions(void **state) {
    (void)state;
    struct rates r = {0};
    for (int i = 0; i < 10; i++)
        rates_prompt_step(&r, 100, 5000);
    assert_int_equal(rates_position_us(&r), 50);
    assert_int_equal(rates_step_us(&r), 0);
}

static void test_a_line_that_falls_is_not_believed(void **state) {
    (void)state;
    struct rates r = {0};
    rates_prompt_step(&r, 10, 50000); /* the machine was busy */
    rates_prompt_step(&r, 500, 20000);
    assert_true(rates_position_us(&r) >= 1);
    assert_true(rates_step_us(&r) <= 50000);
    rates_prompt_step(&r, 10, 0);
    rates_prompt_step(&r, 10, -5); /* a clock that was set back */
    assert_true(rates_position_us(&r) >= 1);
}

static void test_averages_follow_what_comes_last(void **state) {
    (void)state;
    struct rates r = {0};
    for (int i = 0; i < 100; i++) {
        rates_decode_step(&r, 4, 400);
        rates_tile(&r, 1000);
    }
    assert_int_equal(rates_decode_us(&r), 100);
    assert_int_equal(rates_tile_us(&r), 1000);
    for (int i = 0; i < 100; i++) {
        rates_decode_step(&r, 1, 0);
        rates_tile(&r, 3000);
    }
    assert_int_equal(rates_decode_us(&r), 1); /* never 0: that means not measured */
    assert_int_equal(rates_tile_us(&r), 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_claimed_before_it_is_measured),
        cmocka_unit_test(test_steps_of_two_lengths_tell_the_fixed_part_from_the_rest),
        cmocka_unit_test(test_noise_of_a_tenth_is_borne),
        cmocka_unit_test(test_steps_of_one_length_keep_the_fixed_part_that_was_found),
        cmocka_unit_test(test_one_length_alone_puts_all_on_the_positions),
        cmocka_unit_test(test_a_line_that_falls_is_not_believed),
        cmocka_unit_test(test_averages_follow_what_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
