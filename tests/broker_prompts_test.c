/* broker_prompts_test.c - how long a new prompt waits for those that are at a worker already. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/prompts.h"

/* A picture of four tiles and a text of two chunks. */
static const struct cost picture = {
    .encode_us = 40000, .prefill_us = 2000, .tile_us = 10000, .chunk_us = 5000, .pieces = 5};
static const struct cost text = {
    .prefill_us = 10000, .tile_us = 10000, .chunk_us = 5000, .pieces = 2};

static void test_nobody_waits_at_an_idle_worker(void **state) {
    (void)state;
    struct prompts p = {0};
    assert_int_equal(prompts_wait(&p, 1, 0), 0);
    uint32_t slot = prompts_add(&p, &picture, 0);
    prompts_remove(&p, slot);
    assert_int_equal(prompts_wait(&p, 10, 0), 0);
    assert_int_equal(prompts_left(&p, 0), 0);
}

static void test_a_short_prompt_waits_for_pieces_not_for_prompts(void **state) {
    (void)state;
    struct prompts p = {0};
    uint32_t slot = prompts_add(&p, &picture, 0);
    assert_int_equal(prompts_wait(&p, 1, 0), 1000); /* it is looked at first */
    prompts_tell(&p, slot, PROMPT_ENCODES, 42000, 0);
    assert_int_equal(prompts_wait(&p, 1, 0), 5000); /* half of the run under way */
    assert_int_equal(prompts_wait(&p, 2, 0), 15000);
    prompts_tell(&p, slot, PROMPT_COMPUTES, 2000, 0);
    assert_int_equal(prompts_wait(&p, 1, 0), 2000); /* all that is left */
}

static void test_a_long_prompt_waits_for_all_there_is(void **state) {
    (void)state;
    struct prompts p = {0};
    prompts_add(&p, &picture, 0);
    prompts_add(&p, &text, 0);
    assert_int_equal(prompts_wait(&p, 100, 0), 52000);
    assert_int_equal(prompts_left(&p, 0), 52000);
}

static void test_time_that_passes_is_shared(void **state) {
    (void)state;
    struct prompts p = {0};
    prompts_add(&p, &text, 0);
    prompts_add(&p, &text, 0);
    assert_int_equal(prompts_left(&p, 10000), 10000);
    assert_int_equal(prompts_left(&p, 1000000), 2500); /* an eighth, until it is told */
    assert_int_equal(prompts_left(&p, -5), 20000);
}

static void test_a_prompt_never_goes_back(void **state) {
    (void)state;
    struct prompts p = {0};
    uint32_t slot = prompts_add(&p, &picture, 0);
    prompts_tell(&p, slot, PROMPT_COMPUTES, 2000, 0);
    prompts_tell(&p, slot, PROMPT_ENCODES, 30000, 0);
    assert_int_equal(prompts_left(&p, 0), 2000);
    assert_int_equal(prompts_wait(&p, 1, 0), 2000);
}

static void test_slots_are_used_again(void **state) {
    (void)state;
    static struct prompts p;
    for (uint32_t i = 0; i < PROMPTS_MAX; i++)
        assert_int_equal(prompts_add(&p, &text, 0), i);
    prompts_remove(&p, 7);
    assert_int_equal(prompts_add(&p, &text, 0), 7);
    for (uint32_t i = 0; i < PROMPTS_MAX; i++)
        prompts_remove(&p, i);
    assert_int_equal(p.end, 0);
    assert_int_equal(p.count, 0);
}

static void test_the_greatest_figures_fit(void **state) {
    (void)state;
    static struct prompts p;
    struct rates r = {.position_us = UINT32_MAX, .step_us = UINT32_MAX, .tile_us = UINT32_MAX};
    struct work all = {.positions = UINT32_MAX, .tiles = 1e9, .decoding = 1000};
    struct cost c = rates_cost(&r, &all);
    for (uint32_t i = 0; i < PROMPTS_MAX; i++)
        prompts_add(&p, &c, 0);
    assert_in_range(prompts_wait(&p, c.pieces, 0), 1, (int64_t)1 << 50);
    assert_in_range(prompts_left(&p, 0), 1, (int64_t)1 << 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_waits_at_an_idle_worker),
        cmocka_unit_test(test_a_short_prompt_waits_for_pieces_not_for_prompts),
        cmocka_unit_test(test_a_long_prompt_waits_for_all_there_is),
        cmocka_unit_test(test_time_that_passes_is_shared),
        cmocka_unit_test(test_a_prompt_never_goes_back),
        cmocka_unit_test(test_slots_are_used_again),
        cmocka_unit_test(test_the_greatest_figures_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
