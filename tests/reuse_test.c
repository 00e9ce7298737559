/* reuse_test.c - what one request computed, others take; and their answers stay what they were.
 *
 * A cold answer is that of an engine that has seen nothing before; a warm one is the same to the
 * bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/asker.h"

#define SMOLVLM QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"
#define SMOLVLM_MMPROJ QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf"
#define DEMO QUIRE_DEMO_DIR "/quire-demo.gguf"
#define DEMO_MMPROJ QUIRE_DEMO_DIR "/quire-demo-mmproj.gguf"
#define CROWD 10
#define ANSWER 12 /* tokens */

static const struct engine_options smolvlm = {
    .model = SMOLVLM,
    .mmproj = SMOLVLM_MMPROJ,
    .threads = 1,
    .kv_bytes = 64u << 20,
    .max_sequences = CROWD,
};
static const struct scheduler_options usual = {.max_pictures = ASKER_PICTURES};
static const struct scheduler_options chunks_of_32 = {
    .max_pictures = ASKER_PICTURES, .chunk = 32, .chunk_shared = 32};

static const char *const story =
    "The broker keeps the list of pages that every worker has. A request goes to the worker that "
    "has the most of it. What do you see in the picture, and where is the time of the workers?";

/* Golden pictures: all of one size, except where a test says otherwise. */
static struct bytes picture[3];

static int read_pictures(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/pictures/p%zu.png", QUIRE_GOLDEN_DIR, i);
        picture[i] = asker_read(path);
    }
    return 0;
}

static int forget_pictures(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++)
        free((void *)(uintptr_t)picture[i].data);
    return 0;
}

static struct asker *ask(struct asker_pool *p, struct asker *a) {
    a->request.logprobs = ASKER_OTHERS;
    asker_alone(p, a);
    return a;
}

/* The same request to an engine that has nothing. How a prompt is cut into chunks changes its sums
 * a little, too, so they are as in what it is compared with. */
static struct asker *ask_cold(const struct engine_options *o, const struct scheduler_options *so,
                              struct asker *a) {
    struct asker_pool p;
    asker_pool_open(&p, o, so);
    ask(&p, a);
    assert_int_equal(a->end.usage.reused_positions, 0);
    asker_pool_close(&p);
    return a;
}

static uint32_t pages_kept(const struct asker_pool *p) {
    return scheduler_pages(p->scheduler).evictable;
}

static uint32_t positions_computed(const struct asker_pool *p) {
    struct load load;
    scheduler_load(p->scheduler, &load);
    return (uint32_t)load.positions_total;
}

/* ---- one after the other ---- */

static void test_a_request_asked_again_computes_its_last_position_alone(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &usual);
    struct asker *cold = ask(&p, asker_make(story, &picture[0], ANSWER));
    uint32_t kept = pages_kept(&p);
    struct asker *warm = ask(&p, asker_make(story, &picture[0], ANSWER));
    assert_int_equal(cold->end.usage.reused_positions, 0);
    assert_true(cold->end.usage.picture_positions > 0);
    assert_int_equal(cold->end.usage.pictures_encoded, 1);
    assert_int_equal(warm->end.usage.reused_positions, warm->end.usage.prompt_positions - 1);
    assert_int_equal(warm->end.usage.picture_positions, cold->end.usage.picture_positions);
    assert_int_equal(warm->end.usage.pictures_encoded, 0);
    assert_int_equal(warm->end.usage.tiles_encoded, 0);
    assert_int_equal(pages_kept(&p), kept);
    asker_same(warm, cold);
    asker_pool_close(&p);
    free(cold);
    free(warm);
}

static struct asker *conversation(const char *answer, bool other_question) {
    struct asker *a = asker_new(ANSWER);
    asker_turn(a, ROLE_SYSTEM);
    asker_say(a, "You look at pictures for the workers, and say what is there in a few words.");
    asker_turn(a, ROLE_USER);
    asker_show(a, picture[0]);
    asker_say(a, "Where is the list?");
    if (answer == NULL)
        return a;
    asker_turn(a, ROLE_ASSISTANT);
    asker_say(a, answer);
    asker_turn(a, ROLE_USER);
    asker_say(a, other_question ? "And which pages?" : "What of the time?");
    return a;
}

static void test_the_next_turn_reuses_the_prompt_before_it(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &usual);
    struct asker *first = ask(&p, conversation(NULL, false));
    struct asker *second = ask(&p, conversation(first->text, false));
    struct asker *branch = ask(&p, conversation(first->text, true));
    struct asker *cold[2] = {ask_cold(&smolvlm, &usual, conversation(first->text, false)),
                             ask_cold(&smolvlm, &usual, conversation(first->text, true))};
    /* The prompt's last token may have become another where the answer follows it. */
    assert_true(second->end.usage.reused_positions + 1 >= first->end.usage.prompt_positions);
    assert_true(branch->end.usage.reused_positions > second->end.usage.reused_positions);
    assert_true(branch->end.usage.reused_positions < branch->end.usage.prompt_positions - 1);
    assert_int_equal(second->end.usage.tiles_encoded + branch->end.usage.tiles_encoded, 0);
    asker_same(second, cold[0]);
    asker_same(branch, cold[1]);
    asker_pool_close(&p);
    free(first);
    free(second);
    free(branch);
    free(cold[0]);
    free(cold[1]);
}

static struct asker *two_pictures(struct bytes a, struct bytes b) {
    struct asker *asker = asker_new(ANSWER);
    asker_turn(asker, ROLE_USER);
    asker_say(asker, "Here are two pictures of pages.");
    asker_show(asker, a);
    asker_show(asker, b);
    asker_say(asker, "Which is the list?");
    return asker;
}

static void
test_swapped_pictures_are_computed_from_the_first_on_and_encoded_by_nobody(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &usual);
    struct asker *first = ask(&p, two_pictures(picture[0], picture[1]));
    struct asker *swapped = ask(&p, two_pictures(picture[1], picture[0]));
    struct asker *cold = ask_cold(&smolvlm, &usual, two_pictures(picture[1], picture[0]));
    assert_true(swapped->end.usage.reused_positions > 0);
    assert_true(swapped->end.usage.reused_positions <
                first->end.usage.prompt_positions - first->end.usage.picture_positions);
    assert_int_equal(swapped->end.usage.tiles_encoded, 0);
    asker_same(swapped, cold);
    struct asker *again = ask(&p, two_pictures(picture[0], picture[1]));
    assert_int_equal(again->end.usage.reused_positions, again->end.usage.prompt_positions - 1);
    asker_same(again, first);
    asker_pool_close(&p);
    free(first);
    free(swapped);
    free(cold);
    free(again);
}

static void test_another_tenant_finds_nothing(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &usual);
    struct asker *one = asker_make(story, &picture[0], ANSWER);
    struct asker *two = asker_make(story, &picture[0], ANSWER);
    one->request.tenant = (struct bytes){(const uint8_t *)"one", 3};
    two->request.tenant = (struct bytes){(const uint8_t *)"two", 3};
    ask(&p, one);
    ask(&p, two);
    assert_int_equal(two->end.usage.reused_positions, 0);
    assert_int_equal(two->end.usage.tiles_encoded, one->end.usage.tiles_encoded);
    asker_same(one, two);
    asker_pool_close(&p);
    free(one);
    free(two);
}

/* ---- at the same time ---- */

static void add_crowd(struct asker_pool *p, struct asker **crowd) {
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = asker_make(story, &picture[0], ANSWER);
        crowd[i]->request.logprobs = ASKER_OTHERS;
        asker_add(p, crowd[i]);
    }
}

static void test_ten_at_once_are_computed_once(void **state) {
    (void)state;
    struct asker *alone = ask_cold(&smolvlm, &chunks_of_32, asker_make(story, &picture[0], ANSWER));
    const struct usage *one = &alone->end.usage;
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &chunks_of_32);
    struct asker *crowd[CROWD];
    add_crowd(&p, crowd);
    asker_run(&p);
    uint32_t tiles = 0, pictures = 0;
    for (int i = 0; i < CROWD; i++) {
        assert_true(crowd[i]->done);
        asker_same(crowd[i], alone);
        tiles += crowd[i]->end.usage.tiles_encoded;
        pictures += crowd[i]->end.usage.pictures_encoded;
        if (i > 0)
            assert_true(crowd[i]->end.usage.reused_positions + PAGE_POSITIONS >=
                        one->prompt_positions);
        free(crowd[i]);
    }
    assert_int_equal(tiles, one->tiles_encoded);
    assert_int_equal(pictures, 1);
    assert_true(positions_computed(&p) < one->prompt_positions + CROWD * PAGE_POSITIONS);
    /* One chain of pages: the answer's last token is not computed. */
    uint32_t positions = one->prompt_positions + one->answer_tokens;
    assert_in_range(pages_kept(&p), positions / PAGE_POSITIONS, positions / PAGE_POSITIONS + 1);
    asker_pool_close(&p);
    free(alone);
}

static void test_when_the_leader_is_cancelled_the_next_goes_on(void **state) {
    (void)state;
    struct asker *alone = ask_cold(&smolvlm, &chunks_of_32, asker_make(story, &picture[0], ANSWER));
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &chunks_of_32);
    struct asker *crowd[CROWD];
    add_crowd(&p, crowd);
    while (positions_computed(&p) < 64)
        scheduler_step(p.scheduler);
    atomic_store(&crowd[0]->job.cancelled, true);
    while (positions_computed(&p) < 100)
        scheduler_step(p.scheduler);
    atomic_store(&crowd[1]->job.cancelled, true);
    asker_run(&p);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(crowd[i]->error, i < 2 ? ERR_CANCELLED : 0);
        if (i >= 2)
            asker_same(crowd[i], alone);
        free(crowd[i]);
    }
    assert_true(positions_computed(&p) <
                alone->end.usage.prompt_positions + CROWD * PAGE_POSITIONS);
    asker_pool_close(&p);
    free(alone);
}

static void test_who_waits_for_a_leader_stops_nobody(void **state) {
    (void)state;
    struct asker_pool p;
    struct scheduler_options slow = {.max_pictures = 1, .chunk = 8, .chunk_shared = 8};
    asker_pool_open(&p, &smolvlm, &slow);
    struct asker *leader = asker_make(story, NULL, 1), *follower = asker_make(story, NULL, 1);
    struct asker *other = asker_make("Hi", NULL, 1);
    asker_add(&p, leader);
    asker_add(&p, follower);
    asker_add(&p, other);
    while (!asker_ended(other) && !asker_ended(leader))
        scheduler_step(p.scheduler);
    assert_true(other->done && !leader->done);
    asker_run(&p);
    assert_true(leader->done && follower->done);
    assert_true(follower->end.usage.reused_positions + PAGE_POSITIONS >=
                follower->end.usage.prompt_positions);
    asker_pool_close(&p);
    free(leader);
    free(follower);
    free(other);
}

static void test_prompts_that_part_share_what_comes_before(void **state) {
    (void)state;
    char other[512];
    (void)snprintf(other, sizeof other, "%s But say it in one word.", story);
    struct asker *cold[2] = {ask_cold(&smolvlm, &chunks_of_32, asker_make(story, NULL, ANSWER)),
                             ask_cold(&smolvlm, &chunks_of_32, asker_make(other, NULL, ANSWER))};
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &chunks_of_32);
    struct asker *a = asker_make(story, NULL, ANSWER), *b = asker_make(other, NULL, ANSWER);
    a->request.logprobs = b->request.logprobs = ASKER_OTHERS;
    asker_add(&p, a);
    asker_add(&p, b);
    asker_run(&p);
    asker_same(a, cold[0]);
    asker_same(b, cold[1]);
    assert_int_equal(a->end.usage.reused_positions, 0);
    assert_true(b->end.usage.reused_positions >= PAGE_POSITIONS);
    asker_pool_close(&p);
    free(a);
    free(b);
    free(cold[0]);
    free(cold[1]);
}

/* ---- room ---- */

static void test_a_prompt_cancelled_half_way_leaves_complete_pages(void **state) {
    (void)state;
    struct asker_pool p;
    struct scheduler_options so = {.max_pictures = 1, .chunk = 20};
    asker_pool_open(&p, &smolvlm, &so);
    struct asker *a = asker_make(story, NULL, ANSWER), *b = asker_make(story, NULL, ANSWER);
    asker_add(&p, a);
    scheduler_step(p.scheduler);
    scheduler_step(p.scheduler);
    assert_int_equal(positions_computed(&p), 40);
    atomic_store(&a->job.cancelled, true);
    asker_run(&p);
    assert_int_equal(a->error, ERR_CANCELLED);
    assert_int_equal(pages_kept(&p), 2);
    ask(&p, b);
    assert_int_equal(b->end.usage.reused_positions, 32);
    asker_pool_close(&p);
    free(a);
    free(b);
}

static void test_without_room_only_reuse_shrinks(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &usual);
    struct pages_shape shape = pages_shape(p.engine->pages);
    asker_pool_close(&p);
    struct engine_options tight = smolvlm;
    tight.kv_bytes = 8 * pages_bytes_per_page(shape);
    asker_pool_open(&p, &tight, &usual);
    static const char *const texts[] = {"Where is the list of pages?", "What is the time of day?",
                                        "Pages and workers, words and lists.", "Hi"};
    struct asker *first[4];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4; i++) {
            struct asker *a = ask(&p, asker_make(texts[i], NULL, ANSWER));
            if (round == 0) {
                first[i] = a;
                continue;
            }
            asker_same(a, first[i]);
            free(a);
        }
    struct load load;
    scheduler_load(p.scheduler, &load);
    assert_true(load.pages_evicted > 0);
    assert_int_equal(load.pages_free, 8);
    for (int i = 0; i < 4; i++)
        free(first[i]);
    asker_pool_close(&p);
}

static void test_a_crowd_without_room_is_answered_all_the_same(void **state) {
    (void)state;
    struct asker *alone = ask_cold(&smolvlm, &chunks_of_32, asker_make(story, NULL, ANSWER));
    struct asker_pool p;
    asker_pool_open(&p, &smolvlm, &usual);
    struct pages_shape shape = pages_shape(p.engine->pages);
    asker_pool_close(&p);
    struct engine_options tight = smolvlm;
    uint32_t positions = alone->end.usage.prompt_positions + ANSWER;
    tight.kv_bytes = (positions / 16 + 2) * pages_bytes_per_page(shape);
    asker_pool_open(&p, &tight, &chunks_of_32);
    struct asker *crowd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = asker_make(i % 3 == 2 ? "Hi" : story, NULL, ANSWER);
        crowd[i]->request.logprobs = ASKER_OTHERS;
        asker_add(&p, crowd[i]);
    }
    asker_run(&p);
    for (int i = 0; i < CROWD; i++) {
        assert_true(crowd[i]->done);
        if (i % 3 != 2)
            asker_same(crowd[i], alone);
        free(crowd[i]);
    }
    asker_pool_close(&p);
    free(alone);
}

/* ---- a trained model ---- */

static void test_the_demo_model_answers_the_same_warm_and_cold(void **state) {
    (void)state;
    const struct engine_options demo = {.model = DEMO,
                                        .mmproj = DEMO_MMPROJ,
                                        .threads = 1,
                                        .kv_bytes = 64u << 20,
                                        .max_sequences = CROWD};
    struct asker_pool p;
    asker_pool_open(&p, &demo, &usual);
    struct asker *first = ask(&p, conversation(NULL, false));
    struct asker *second = ask(&p, conversation(first->text, false));
    struct asker *again = ask(&p, conversation(first->text, false));
    struct asker *cold = ask_cold(&demo, &usual, conversation(first->text, false));
    assert_true(second->end.usage.reused_positions + 1 >= first->end.usage.prompt_positions);
    assert_int_equal(again->end.usage.reused_positions, again->end.usage.prompt_positions - 1);
    asker_same(second, cold);
    asker_same(again, cold);
    asker_pool_close(&p);
    free(first);
    free(second);
    free(again);
    free(cold);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_asked_again_computes_its_last_position_alone),
        cmocka_unit_test(test_the_next_turn_reuses_the_prompt_before_it),
        cmocka_unit_test(
            test_swapped_pictures_are_computed_from_the_first_on_and_encoded_by_nobody),
        cmocka_unit_test(test_another_tenant_finds_nothing),
        cmocka_unit_test(test_ten_at_once_are_computed_once),
        cmocka_unit_test(test_when_the_leader_is_cancelled_the_next_goes_on),
        cmocka_unit_test(test_who_waits_for_a_leader_stops_nobody),
        cmocka_unit_test(test_prompts_that_part_share_what_comes_before),
        cmocka_unit_test(test_a_prompt_cancelled_half_way_leaves_complete_pages),
        cmocka_unit_test(test_without_room_only_reuse_shrinks),
        cmocka_unit_test(test_a_crowd_without_room_is_answered_all_the_same),
        cmocka_unit_test(test_the_demo_model_answers_the_same_warm_and_cold),
    };
    return cmocka_run_group_tests(tests, read_pictures, forget_pictures);
}
