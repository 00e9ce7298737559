/* rates_test.c - what is learned from steps that take a known time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/rates.h"

/* A step whose positions attend to next to nothing. */
static void prompt_step(struct rates *r, uint32_t positions, int64_t us) {
    rates_prompt_step(r, (struct step_size){positions, 0}, us);
}

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
        prompt_step(&r, 512, 9000 + 512 * 40);
        prompt_step(&r, 10, 9000 + 10 * 40);
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
        prompt_step(&r, n, (int64_t)((5000 + 100 * n) * noise));
    }
    assert_in_range(rates_position_us(&r), 85, 115);
    assert_in_range(rates_step_us(&r), 3000, 7000);
}

static void test_steps_of_one_length_keep_the_fixed_part_that_was_found(void **state) {
    (void)state;
    struct rates r = {0};
    for (int i = 0; i < 20; i++) {
        prompt_step(&r, 512, 9000 + 512 * 40);
        prompt_step(&r, 10, 9000 + 10 * 40);
    }
    for (int i = 0; i < 300; i++)
        prompt_step(&r, 512, 9000 + 512 * 80);      /* positions take twice as long now */
    assert_in_range(rates_step_us(&r), 8000, 9100); /* some was taken for it meanwhile */
    assert_in_range(rates_position_us(&r), 79, 82);
}

static void test_one_length_alone_puts_all_on_the_positions(void **state) {
    (void)state;
    struct rates r = {0};
    for (int i = 0; i < 10; i++)
        prompt_step(&r, 100, 5000);
    assert_int_equal(rates_position_us(&r), 50);
    assert_int_equal(rates_step_us(&r), 0);
}

static void test_a_line_that_falls_is_not_believed(void **state) {
    (void)state;
    struct rates r = {0};
    prompt_step(&r, 10, 50000); /* the machine was busy */
    prompt_step(&r, 500, 20000);
    assert_true(rates_position_us(&r) >= 1);
    assert_true(rates_step_us(&r) <= 50000);
    prompt_step(&r, 10, 0);
    prompt_step(&r, 10, -5); /* a clock that was set back */
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

/* ---- steps of bounded length ---- */

#define STEP_US 9000 /* of an imagined engine */
#define POSITION_US 700
#define PAIR_US 0.2

static double imagined_us(struct step_size size) {
    return STEP_US + POSITION_US * size.positions + PAIR_US * (double)size.pairs;
}

static struct step_size chunk(uint32_t first, uint32_t n) {
    struct step_size size = {0, 0};
    step_size_add(&size, first, n);
    return size;
}

static void learn(struct rates *r, uint32_t first, uint32_t n) {
    rates_prompt_step(r, chunk(first, n), (int64_t)imagined_us(chunk(first, n)));
}

static void test_pairs_count_what_each_position_sees(void **state) {
    (void)state;
    struct step_size size = chunk(0, 1);
    assert_int_equal(size.pairs, 1); /* itself */
    step_size_add(&size, 10, 3);
    assert_int_equal(size.positions, 4);
    assert_int_equal(size.pairs, 1 + 11 + 12 + 13);
}

static void test_the_three_parts_are_told_apart(void **state) {
    (void)state;
    struct rates r = {0};
    for (uint32_t i = 0; i < 60; i++)
        learn(&r, 512 * (i % 7), i % 3 == 0 ? 16 : 512);
    for (uint32_t n = 16; n <= 512; n += 62)
        for (uint32_t first = 0; first <= 16384; first += 4096) {
            double expected = imagined_us(chunk(first, n));
            double predicted = rates_predict_us(&r, chunk(first, n));
            assert_true(predicted > 0.97 * expected && predicted < 1.03 * expected);
        }
}

static void test_no_more_positions_than_the_bound_allows_and_no_fewer(void **state) {
    (void)state;
    struct rates r = {0};
    for (uint32_t i = 0; i < 60; i++)
        learn(&r, 512 * (i % 7), i % 3 == 0 ? 16 : 512);
    for (uint32_t first = 0; first <= 65536; first += 1024) {
        struct step_size others = chunk(first / 2, 1);
        uint32_t n = rates_positions_within(&r, others, first, 512, 200000);
        struct step_size with = others, more = others;
        step_size_add(&with, first, n);
        step_size_add(&more, first, n + 1);
        assert_true(n > 0 && n <= 512);
        assert_true(rates_predict_us(&r, with) <= 200000);
        assert_true(n == 512 || rates_predict_us(&r, more) > 200000);
    }
    assert_int_equal(rates_positions_within(&r, chunk(0, 400), 0, 512, 200000), 0);
    assert_int_equal(rates_positions_within(&r, chunk(0, 1), 0, 40, 200000), 40);
}

static void test_all_positions_fit_before_anything_is_measured(void **state) {
    (void)state;
    struct rates r = {0};
    assert_int_equal(rates_positions_within(&r, chunk(0, 1), 0, 512, 1), 512);
}

/* Chunks that are cut to fit the bound all take the same time and tell nothing about the parts. */
static void test_steps_cut_to_one_time_stay_near_it(void **state) {
    (void)state;
    struct rates r = {0};
    learn(&r, 0, 512);
    learn(&r, 512, 100);
    uint32_t first = 0, random = 5;
    for (int i = 0; i < 400; i++) {
        uint32_t n = rates_positions_within(&r, chunk(100, 1), first, 512, 200000);
        n = n < 16 ? 16 : n;
        struct step_size size = chunk(100, 1);
        step_size_add(&size, first, n);
        random = random * 1664525 + 1013904223;
        double us = imagined_us(size);
        if (i > 20 && n > 16)
            assert_true(us < 1.15 * 200000);
        if (i > 20 && first < 2048)
            assert_true(n >= 100); /* about 160 to 240 fit */
        rates_prompt_step(&r, size, (int64_t)(us * (0.95 + 0.1 * ((random >> 16) % 1000) / 1000)));
        first = first + n < 8192 ? first + n : 0; /* the next prompt */
    }
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
        cmocka_unit_test(test_pairs_count_what_each_position_sees),
        cmocka_unit_test(test_the_three_parts_are_told_apart),
        cmocka_unit_test(test_no_more_positions_than_the_bound_allows_and_no_fewer),
        cmocka_unit_test(test_all_positions_fit_before_anything_is_measured),
        cmocka_unit_test(test_steps_cut_to_one_time_stay_near_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
