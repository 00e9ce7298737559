/* change.c - scenarios 6 to 18: something in a conversation is not what it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenarios/stage.h"

#define SYSTEM "you see what is in front of you and say so in few words"

/* System prompt, one picture, a question; asked and answered. */
static void begin_with_picture(struct stage *s, struct talk *t, struct bytes picture) {
    stage_begin(s, t);
    talk_say(t, QUIRE_SYSTEM, SYSTEM);
    talk_show(t, picture, "what is this");
    stage_ask(s, t);
}

static void scenario_06_a_picture_replaced_by_one_of_its_size_reuses_exactly_what_stood_before_it(
    void **state) {
    struct stage *s = *state;
    struct talk t;
    begin_with_picture(s, &t, gallery_picture(1, 96, 48));
    talk_replace(&t, 0, gallery_picture(2, 96, 48));
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(const uint64_t *values, size_t n) {
    uint64_t copy[64];
    assert_true(n <= 64);
    memcpy(copy, values, n * sizeof *values);
    qsort(copy, n, sizeof *copy, by_value);
    return copy[n / 2];
}

#ifdef QUIRE_SANITIZED
#define SIZES 20
#else
#define SIZES 50
#endif
#define STEP 3        /* times as slow: a step in latency, and no noise */
#define STEP_US 20000 /* below so much nothing is a step */

static void
scenario_07_pictures_of_other_dimensions_do_the_same_fifty_times_without_a_step(void **state) {
    struct stage *s = *state;
    struct talk t;
    uint64_t first_token_us[SIZES];
    begin_with_picture(s, &t, gallery_picture(1, 128, 32));
    uint32_t before = stage_before(s, 0);
    for (uint32_t i = 0; i < SIZES; i++) {
        /* Twelve tiles at most, nine and five in most. */
        talk_replace(&t, 0, gallery_picture(3 + i, 100 + 7 * i, i % 10 == 9 ? 64 + 3 * i : 20 + i));
        if (i % 10 == 0)
            stage_ask(s, &t);
        else
            stage_ask_warm(s, &t);
        assert_int_equal(stage_before(s, 0), before);
        stage_expect(s, before, 1);
        first_token_us[i] = s->now.answer.end.timings.first_token_us;
    }
    uint64_t early = median(first_token_us, 10), late = median(first_token_us + SIZES - 10, 10);
    print_message("first tokens after %.1f ms, in the end %.1f ms\n", (double)early / 1000,
                  (double)late / 1000);
    assert_true(late < STEP * early + STEP_US);
}

static void scenario_08_the_same_raw_bytes_in_other_dimensions_are_another_picture(void **state) {
    struct stage *s = *state;
    struct talk t;
    begin_with_picture(s, &t, gallery_raw(1, 4, 8));
    talk_replace(&t, 0, gallery_raw(1, 8, 4));
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
    /* The same where both are cut into as many tiles, or into none. */
    talk_replace(&t, 0, gallery_raw(1, 16, 2));
    stage_ask(s, &t);
    talk_replace(&t, 0, gallery_raw(1, 32, 1));
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 1);
}

static void
scenario_09_the_second_of_three_pictures_changed_leaves_the_first_and_the_third_seen(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    for (uint32_t i = 0; i < 3; i++) {
        talk_show(&t, gallery_strip(100 + i), "what is this");
        stage_go_on(s, &t);
    }
    talk_say(&t, QUIRE_USER, "which one is the best");
    stage_ask(s, &t);
    talk_replace(&t, 1, gallery_strip(110));
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 1), 1); /* the third comes from the cache */
}

static void
scenario_10_the_second_of_two_pictures_in_a_turn_changed_leaves_all_before_it(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    talk_message(&t, QUIRE_USER);
    talk_text(&t, "compare ");
    talk_picture(&t, gallery_strip(120));
    talk_text(&t, " with ");
    talk_picture(&t, gallery_strip(121));
    stage_ask(s, &t);
    talk_replace(&t, 1, gallery_strip(122));
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 1), 1);
}

static void scenario_11_two_pictures_swapped_need_no_vision_tower(void **state) {
    struct stage *s = *state;
    struct talk t;
    struct bytes a = gallery_strip(130), b = gallery_strip(131);
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_show(&t, a, "first");
    talk_show(&t, b, "second");
    stage_ask(s, &t);
    talk_replace(&t, 0, b);
    talk_replace(&t, 1, a);
    stage_ask(s, &t);
    stage_expect(s, stage_before(s, 0), 0);
}

static void scenario_12_text_edited_before_a_picture_is_reused_up_to_the_edit(void **state) {
    struct stage *s = *state;
    struct talk t, before;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_message(&t, QUIRE_USER);
    talk_text(&t, "here is a picture of my house and garden ");
    talk_picture(&t, gallery_strip(140));
    talk_text(&t, "what is wrong with it");
    stage_ask(s, &t);
    before = t;
    talk_retell(&t, 1, "here is a picture of my boat and garden ");
    stage_ask(s, &t);
    assert_in_range(s->now.ideal, 10, stage_before(s, 0) - 1);
    stage_expect(s, stage_common(s, &t, &before), 0);
}

static void scenario_13_text_edited_after_a_picture_leaves_the_picture_reused(void **state) {
    struct stage *s = *state;
    struct talk t, before;
    begin_with_picture(s, &t, gallery_strip(150));
    before = t;
    talk_retell(&t, 2, "who made this");
    stage_ask(s, &t);
    assert_true(s->now.ideal >= stage_behind(s, 0));
    stage_expect(s, stage_common(s, &t, &before), 0);
}

static void scenario_14_the_text_before_a_picture_is_reusable_alone(void **state) {
    struct stage *s = *state;
    struct talk t, alone, other;
    stage_begin(s, &t);
    talk_message(&t, QUIRE_USER);
    talk_text(&t, "this is what came in the mail today from my old friend ");
    alone = t;
    talk_picture(&t, gallery_strip(160));
    talk_text(&t, " what do you make of it");
    stage_ask(s, &t);
    stage_ask(s, &alone);
    assert_true(s->now.ideal > 20);
    stage_expect(s, stage_common(s, &t, &alone), 0);
    other = alone;
    talk_picture(&other, gallery_strip(161));
    stage_ask(s, &other);
    stage_expect(s, stage_before(s, 0), 1);
}

static void
scenario_15_a_compacted_history_reuses_the_system_prompt_and_no_stale_picture(void **state) {
    struct stage *s = *state;
    struct talk t, compact;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    compact = t;
    for (uint32_t i = 0; i < 3; i++) {
        talk_show(&t, gallery_strip(170 + i), "what is this");
        stage_go_on(s, &t);
    }
    talk_say(&compact, QUIRE_USER, "so far we looked at two pictures");
    talk_show(&compact, gallery_strip(172), "and what is this");
    stage_ask(s, &compact);
    assert_true(s->now.ideal < stage_before(s, 0));
    stage_expect(s, stage_common(s, &t, &compact), 0);
}

static void scenario_16_a_history_truncated_at_either_end_is_reused_up_to_the_cut(void **state) {
    struct stage *s = *state;
    struct talk t, tail, front;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_show(&t, gallery_strip(180), "what is this");
    stage_go_on(s, &t);
    talk_say(&t, QUIRE_USER, "and where is it");
    stage_go_on(s, &t);
    talk_show(&t, gallery_strip(181), "and this one");
    stage_go_on(s, &t);
    tail = t;
    talk_cut(&tail, 4); /* the first turn, its answer, the second question */
    stage_ask(s, &tail);
    stage_expect(s, s->now.positions - 1, 0);
    front = t;
    talk_leave_out(&front, 1);
    talk_leave_out(&front, 1);
    talk_say(&front, QUIRE_USER, "go on");
    stage_ask(s, &front);
    assert_true(s->now.ideal > 20);
    stage_expect(s, stage_common(s, &t, &front), 0);
}

/* No template of ours drops anything; a client that drops it sends what such a template would
 * render. */
static void
scenario_17_old_reasoning_dropped_from_history_moves_a_picture_to_its_right_place(void **state) {
    struct stage *s = *state;
    struct talk t, dropped;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_say(&t, QUIRE_USER, "think before you look");
    talk_say(&t, QUIRE_ASSISTANT,
             "<think> the picture will be of a cat or of a dog </think> go on");
    talk_show(&t, gallery_strip(190), "what is it");
    stage_ask(s, &t);
    uint32_t before = stage_before(s, 0);
    dropped = t;
    talk_retell(&dropped, 2, "go on");
    talk_say(&dropped, QUIRE_ASSISTANT, s->now.answer.text);
    talk_say(&dropped, QUIRE_USER, "are you sure");
    stage_ask(s, &dropped);
    assert_true(s->now.ideal < stage_before(s, 0));
    assert_true(stage_before(s, 0) < before);
    stage_expect(s, stage_common(s, &t, &dropped), 0);
}

static void
scenario_18_under_another_system_prompt_pictures_are_seen_and_nothing_else_is(void **state) {
    struct stage *s = *state;
    struct talk t, opening;
    begin_with_picture(s, &t, gallery_strip(200));
    stage_begin(s, &opening);
    talk_say(&opening, QUIRE_SYSTEM, "#");
    uint32_t template_only = stage_common(s, &t, &opening);
    talk_retell(&t, 0, "quite another one that says nothing of the kind");
    stage_ask(s, &t);
    assert_in_range(template_only, 1, 12);
    stage_expect(s, template_only, 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            scenario_06_a_picture_replaced_by_one_of_its_size_reuses_exactly_what_stood_before_it),
        cmocka_unit_test(
            scenario_07_pictures_of_other_dimensions_do_the_same_fifty_times_without_a_step),
        cmocka_unit_test(scenario_08_the_same_raw_bytes_in_other_dimensions_are_another_picture),
        cmocka_unit_test(
            scenario_09_the_second_of_three_pictures_changed_leaves_the_first_and_the_third_seen),
        cmocka_unit_test(
            scenario_10_the_second_of_two_pictures_in_a_turn_changed_leaves_all_before_it),
        cmocka_unit_test(scenario_11_two_pictures_swapped_need_no_vision_tower),
        cmocka_unit_test(scenario_12_text_edited_before_a_picture_is_reused_up_to_the_edit),
        cmocka_unit_test(scenario_13_text_edited_after_a_picture_leaves_the_picture_reused),
        cmocka_unit_test(scenario_14_the_text_before_a_picture_is_reusable_alone),
        cmocka_unit_test(
            scenario_15_a_compacted_history_reuses_the_system_prompt_and_no_stale_picture),
        cmocka_unit_test(scenario_16_a_history_truncated_at_either_end_is_reused_up_to_the_cut),
        cmocka_unit_test(
            scenario_17_old_reasoning_dropped_from_history_moves_a_picture_to_its_right_place),
        cmocka_unit_test(
            scenario_18_under_another_system_prompt_pictures_are_seen_and_nothing_else_is),
    };
    stage_arguments(argc, argv);
    return cmocka_run_group_tests(tests, stage_setup_made, stage_teardown);
}
