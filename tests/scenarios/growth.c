/* growth.c - scenarios 1 to 5: a conversation grows, and nothing is computed twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/scenarios/stage.h"

#define SYSTEM "You look at pictures and answer in one short sentence."

static void scenario_01_the_second_turn_reuses_the_first_and_its_answer(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    t.max_tokens = 32; /* enough to end by itself */
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_show(&t, gallery_strip(1), "What is this?");
    stage_go_on(s, &t);
    assert_int_equal(s->now.answer.end.finish, QUIRE_FINISH_END);
    assert_true(s->now.answer.n_tokens > 1);
    uint32_t held = s->now.positions + s->now.answer.n_tokens;
    talk_say(&t, QUIRE_USER, "Which colour is it?");
    stage_go_on(s, &t);
    stage_expect(s, held, 0);
    held = s->now.positions + s->now.answer.n_tokens;
    talk_say(&t, QUIRE_USER, "How many shapes are there?");
    stage_ask(s, &t);
    stage_expect(s, held, 0);
}

static void
scenario_02_a_first_picture_in_turn_three_leaves_the_text_before_it_reused(void **state) {
    struct stage *s = *state;
    struct talk t, text;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_say(&t, QUIRE_USER, "Hello there.");
    stage_go_on(s, &t);
    talk_say(&t, QUIRE_USER, "Can you read?");
    stage_go_on(s, &t);
    talk_message(&t, QUIRE_USER);
    talk_text(&t, "Then look at this picture, please, and tell me what it is: ");
    text = t;
    stage_ask(s, &text);
    talk_picture(&t, gallery_strip(2));
    stage_ask(s, &t);
    /* The same ids with and without the picture, up to where one text goes on and the other has
     * none: the picture's own opening tokens are new. */
    uint32_t common = stage_common(s, &t, &text);
    assert_in_range(stage_before(s, 0) - common, 1, 3);
    stage_expect(s, common, 1);
}

static void scenario_03_a_second_picture_is_the_only_one_that_is_encoded(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_show(&t, gallery_strip(3), "What is this?");
    stage_go_on(s, &t);
    assert_int_equal(s->now.encoded, 1);
    uint32_t held = s->now.positions + s->now.answer.n_tokens;
    talk_show(&t, gallery_strip(4), "And this?");
    stage_ask(s, &t);
    assert_true(s->now.ideal >= stage_behind(s, 0));
    assert_in_range(s->now.ideal, held - s->now.answer.n_tokens, held);
    stage_expect(s, s->now.ideal, 1);
}

#define TURNS 14

static void
scenario_04_fourteen_turns_of_text_and_pictures_reuse_what_an_infinite_cache_would(void **state) {
    struct stage *s = *state;
    struct talk t;
    uint32_t reused = 0, ideal = 0, strayed = s->n_strayed;
    stage_begin(s, &t);
    talk_message(&t, QUIRE_SYSTEM);
    for (int i = 0; i < 8; i++)
        talk_text(&t, SYSTEM " ");
    for (uint32_t i = 0; i < TURNS; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "This is turn %u. What do you see now?", i);
        if (i % 2 == 0)
            talk_show(&t, gallery_strip(10 + i), text);
        else
            talk_say(&t, QUIRE_USER, text);
        stage_go_on(s, &t);
        reused += s->now.reused;
        ideal += s->now.ideal;
        stage_expect(s, s->now.ideal, i % 2 == 0);
    }
    print_message("reused %u of %u positions\n", reused, ideal);
    assert_true(reused * 100 >= ideal * (s->n_strayed == strayed ? 99 : 90));
    assert_true(ideal > 0);
}

static void scenario_05_an_answer_asked_for_again_costs_one_position(void **state) {
    struct stage *s = *state;
    struct talk t;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    talk_show(&t, gallery_strip(5), "What is this?");
    stage_ask(s, &t);
    struct answer first = s->now.answer;
    for (int again = 0; again < 2; again++) {
        stage_ask(s, &t);
        stage_expect(s, s->now.positions - 1, 0);
        same_answer(&s->now.answer, &first);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenario_01_the_second_turn_reuses_the_first_and_its_answer),
        cmocka_unit_test(
            scenario_02_a_first_picture_in_turn_three_leaves_the_text_before_it_reused),
        cmocka_unit_test(scenario_03_a_second_picture_is_the_only_one_that_is_encoded),
        cmocka_unit_test(
            scenario_04_fourteen_turns_of_text_and_pictures_reuse_what_an_infinite_cache_would),
        cmocka_unit_test(scenario_05_an_answer_asked_for_again_costs_one_position),
    };
    stage_arguments(argc, argv);
    return cmocka_run_group_tests(tests, stage_setup_demo, stage_teardown);
}
