/* branches.c - scenarios 25 to 31: many conversations at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenarios/stage.h"

#define SYSTEM "you see what is in front of you and say so in few words"

static void
scenario_25_two_branches_share_their_trunk_and_one_that_goes_leaves_the_other(void **state) {
    struct stage *s = *state;
    struct talk trunk, one, two;
    stage_begin(s, &trunk);
    talk_say(&trunk, QUIRE_SYSTEM, SYSTEM);
    talk_show(&trunk, gallery_strip(1), "what is this");
    stage_go_on(s, &trunk);
    one = two = trunk;
    talk_say(&one, QUIRE_USER, "and what is behind it");
    stage_go_on(s, &one);
    talk_say(&two, QUIRE_USER, "is there more of that kind");
    stage_ask(s, &two);
    stage_expect(s, stage_common(s, &one, &two), 0);
    /* A third branch is dropped while its answer comes. */
    struct talk dropped = trunk;
    struct answer *a = calloc(1, sizeof *a);
    uint8_t id[1][QUIRE_ID_BYTES];
    assert_non_null(a);
    talk_say(&dropped, QUIRE_USER, "tell me all of it");
    dropped.max_tokens = ANSWER_TOKENS;
    struct quire_request *request = talk_request(&dropped, NULL);
    assert_int_equal(quire_send(s->pool.client, request, id[0], NULL), 0);
    answers_collect(s->pool.client, 1, id, a, true);
    assert_int_equal(quire_cancel(s->pool.client, id[0]), 0);
    answers_collect(s->pool.client, 1, id, a, false);
    quire_request_free(request);
    free(a);
    stage_ask(s, &two);
    stage_expect(s, s->now.positions - 1, 0);
    talk_say(&one, QUIRE_USER, "go on");
    stage_ask(s, &one);
    assert_true(s->now.ideal > stage_common(s, &one, &two));
    stage_expect(s, s->now.ideal, 0);
}

/* ---- 26 ---- */

#ifdef QUIRE_SANITIZED
#define PICTURES 60
#else
#define PICTURES 200
#endif
#define CACHED 20        /* pictures that the pages hold */
#define PAGE_BYTES 16384 /* of the made model */
#define SYSTEM_PAGES 16
#define PICTURE_PAGES 3

static void say_long_system(struct talk *t) {
    talk_message(t, QUIRE_SYSTEM);
    for (int i = 0; i < 4; i++)
        talk_text(t, "look at the picture and say what it shows in as few words as you can find. ");
}

static void
scenario_26_a_system_prompt_outlives_two_hundred_pictures_in_a_cache_for_twenty(void **state) {
    char memory[32];
    (void)state;
    (void)snprintf(memory, sizeof memory, "%d",
                   (SYSTEM_PAGES + CACHED * PICTURE_PAGES) * PAGE_BYTES);
    struct stage *s = stage_open((struct stage_options){.worker_flags = {"--kv-memory", memory}});
    struct talk opening;
    uint32_t times = 0;
    s->evicts = true;
    stage_begin(s, &opening);
    say_long_system(&opening);
    for (uint32_t i = 0; i < PICTURES; i++) {
        struct talk t = opening;
        talk_glance(&t, gallery_strip(1000 + i), "what is this");
        if (i % 40 == 39)
            stage_ask(s, &t);
        else
            stage_ask_warm(s, &t);
        times += s->now.reused >= stage_common(s, &opening, &t);
    }
    uint64_t evicted = 0;
    for (int i = 0; i < s->workers; i++) {
        struct quire_worker w;
        assert_true(pool_worker(&s->pool, i, &w));
        assert_int_equal(w.pages_total, SYSTEM_PAGES + CACHED * PICTURE_PAGES);
        evicted += w.pages_evicted;
    }
    print_message("the system prompt was reused %u times; %u pages were thrown out\n", times,
                  (uint32_t)evicted);
    /* Each worker computes it at most once; one does in most runs. */
    assert_in_range(times, PICTURES - s->workers, PICTURES - 1);
    assert_true(evicted > PICTURES / 2);
    stage_close(s);
}

/* ---- 27 to 31 ---- */

static void
scenario_27_eight_questions_about_three_pages_run_the_vision_tower_three_times(void **state) {
    struct stage *s = *state;
    struct talk pages;
    struct bytes page[3];
    uint32_t encoded = 0;
    for (uint32_t i = 0; i < 3; i++)
        page[i] = gallery_picture(30 + i, 90, 120);
    stage_begin(s, &pages);
    talk_say(&pages, QUIRE_SYSTEM, SYSTEM);
    for (int i = 0; i < 8; i++) {
        struct talk t = pages;
        char text[32];
        (void)snprintf(text, sizeof text, "question %c please", 'a' + i);
        talk_message(&t, QUIRE_USER);
        for (int k = 0; k < 3; k++)
            talk_picture(&t, page[k]);
        talk_text(&t, text);
        if (i % 4 == 3)
            stage_ask(s, &t);
        else
            stage_ask_warm(s, &t);
        encoded += s->now.encoded;
    }
    assert_int_equal(encoded, 3);
}

#define CROWD 10

static struct talk *talks_open(size_t n, struct answer **answers) {
    struct talk *talks = calloc(n, sizeof *talks);
    *answers = calloc(n, sizeof **answers);
    assert_true(talks != NULL && *answers != NULL);
    return talks;
}

static void scenario_28_ten_identical_requests_at_once_are_computed_once(void **state) {
    struct stage *s = *state;
    struct answer *answers;
    struct talk *talks = talks_open(CROWD, &answers);
    uint32_t encoded = 0, computed = 0;
    stage_begin(s, &talks[0]);
    say_long_system(&talks[0]);
    talk_show(&talks[0], gallery_strip(40), "what is this");
    for (int i = 1; i < CROWD; i++)
        talks[i] = talks[0];
    stage_ask_at_once(s, talks, CROWD, answers);
    bool used[POOL_MAX_WORKERS] = {false};
    uint32_t n_used = 0;
    for (int i = 0; i < CROWD; i++) {
        const struct quire_usage *u = &answers[i].end.usage;
        encoded += u->pictures_encoded;
        computed += u->prompt_positions - u->reused_positions;
        same_answer(&answers[i], &answers[0]);
        int worker = answers[i].end.worker[1] - '0';
        assert_in_range(worker, 0, POOL_MAX_WORKERS - 1);
        n_used += !used[worker];
        used[worker] = true;
    }
    /* They follow the first, unless waiting for it would cost another worker's computing. */
    print_message("computed by %u of %d workers\n", n_used, s->workers);
    assert_int_equal(encoded, n_used);
    /* One chain of pages in each: the whole prompt once, and for each other answer its last
     * position. */
    uint32_t prompt = answers[0].end.usage.prompt_positions;
    assert_int_equal(computed, n_used * prompt + (CROWD - n_used));
    free(talks);
    free(answers);
}

static void
scenario_29_the_same_words_about_different_pictures_at_once_are_never_mixed_up(void **state) {
    struct stage *s = *state;
    struct answer *answers;
    struct talk *talks = talks_open(CROWD, &answers);
    struct talk t;
    stage_begin(s, &t);
    talk_say(&t, QUIRE_SYSTEM, SYSTEM);
    for (uint32_t i = 0; i < CROWD; i++) {
        talks[i] = t;
        talk_show(&talks[i], gallery_strip(50 + i), "what is this");
    }
    stage_ask_at_once(s, talks, CROWD, answers); /* each is compared with its own cold run */
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(answers[i].end.usage.pictures_encoded, 1);
        for (int k = 0; k < i; k++) /* a wrong picture would show */
            assert_true(fabsf(answers[i].tokens[0].others[0].logprob -
                              answers[k].tokens[0].others[0].logprob) > 1e-6F ||
                        strcmp(answers[i].text, answers[k].text) != 0);
    }
    free(talks);
    free(answers);
}

static void
scenario_30_two_pictures_alone_and_together_in_every_order_are_answered_rightly(void **state) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct stage *s = *state;
    struct bytes a = gallery_strip(70), b = gallery_strip(71);
    for (int order = 0; order < 6; order++) {
        struct talk kinds[3];
        stage_begin(s, &kinds[0]);
        kinds[1] = kinds[2] = kinds[0];
        talk_glance(&kinds[0], a, "what is this");
        talk_glance(&kinds[1], b, "what is this");
        talk_message(&kinds[2], QUIRE_USER);
        talk_picture_small(&kinds[2], a, 0, true);
        talk_picture_small(&kinds[2], b, 0, true);
        talk_text(&kinds[2], "what is this");
        uint32_t encoded = 0;
        for (int i = 0; i < 3; i++) {
            stage_ask(s, &kinds[orders[order][i]]);
            encoded += s->now.encoded;
        }
        assert_in_range(encoded, 2, 2 * (uint32_t)s->workers);
    }
}

static void
scenario_31_a_question_without_pictures_right_after_a_large_chat_reuses_its_text(void **state) {
    struct stage *s = *state;
    struct talk t, text;
    stage_begin(s, &t);
    say_long_system(&t);
    talk_say(&t, QUIRE_USER, "first some words about what will come");
    stage_go_on(s, &t);
    text = t;
    talk_message(&t, QUIRE_USER);
    for (uint32_t i = 0; i < 6; i++)
        talk_picture(&t, gallery_strip(80 + i));
    talk_text(&t, "what are these");
    stage_ask(s, &t);
    talk_say(&text, QUIRE_USER, "never mind");
    stage_ask(s, &text);
    assert_true(s->now.ideal > 100);
    stage_expect(s, stage_common(s, &t, &text), 0);
}

static int setup(void **state) {
    *state = stage_open((struct stage_options){.model = STAGE_MADE, .credits = "16"});
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            scenario_25_two_branches_share_their_trunk_and_one_that_goes_leaves_the_other),
        cmocka_unit_test(
            scenario_26_a_system_prompt_outlives_two_hundred_pictures_in_a_cache_for_twenty),
        cmocka_unit_test(
            scenario_27_eight_questions_about_three_pages_run_the_vision_tower_three_times),
        cmocka_unit_test(scenario_28_ten_identical_requests_at_once_are_computed_once),
        cmocka_unit_test(
            scenario_29_the_same_words_about_different_pictures_at_once_are_never_mixed_up),
        cmocka_unit_test(
            scenario_30_two_pictures_alone_and_together_in_every_order_are_answered_rightly),
        cmocka_unit_test(
            scenario_31_a_question_without_pictures_right_after_a_large_chat_reuses_its_text),
    };
    stage_arguments(argc, argv);
    return cmocka_run_group_tests(tests, setup, stage_teardown);
}
