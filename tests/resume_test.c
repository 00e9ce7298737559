/* resume_test.c - an answer that broke off is gone on with, and nobody could tell.
 *
 * Each case is answered once undisturbed. Then, for every TOKENS of that answer, a new request gets
 * what a client has after it, and must say all the rest and nothing else: the same tokens, the same
 * text, the same end, also where only the end is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/asker.h"

#define SMOLVLM QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"
#define SMOLVLM_MMPROJ QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf"
#define LENGTH 24 /* tokens of an answer, mostly */
#define SEEDS 400 /* tried for an answer of some kind */

static const struct engine_options seeing = {
    .model = SMOLVLM,
    .mmproj = SMOLVLM_MMPROJ,
    .threads = 1,
    .kv_bytes = 64u << 20,
    .max_sequences = 4,
};
static const struct scheduler_options usual = {.max_pictures = 2};

static struct asker_pool pool;
static struct bytes picture;

static int open_pool(void **state) {
    (void)state;
    picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    asker_pool_open(&pool, &seeing, &usual);
    return 0;
}

static int close_pool(void **state) {
    (void)state;
    asker_pool_close(&pool);
    free((void *)(uintptr_t)picture.data);
    return 0;
}

/* What a case asks for. */
struct wish {
    bool shows;
    uint32_t max_tokens, logprobs;
    struct sampling_options sampling;
    struct bytes stops[3];
    size_t n_stops;
};

static struct wish greedy(void) {
    struct request r;
    request_init(&r);
    struct wish w = {.max_tokens = LENGTH, .sampling = r.sampling};
    w.sampling.temperature = 0;
    return w;
}

static struct wish wild(uint64_t seed) {
    struct wish w = greedy();
    w.sampling = (struct sampling_options){
        .temperature = 2,
        .top_p = 1,
        .repeat_penalty = 1.5F,
        .presence_penalty = 0.75F,
        .frequency_penalty = 0.5F,
        .repeat_last_n = 16,
        .has_seed = true,
        .seed = seed,
    };
    return w;
}

static void add_stop(struct wish *w, const char *text, size_t size) {
    assert_true(w->n_stops < 3);
    w->stops[w->n_stops++] = (struct bytes){(const uint8_t *)text, size};
}

static struct asker *ask(struct wish *w) {
    struct asker *a =
        asker_make("What do you see, and where?", w->shows ? &picture : NULL, w->max_tokens);
    a->request.logprobs = w->logprobs;
    a->request.sampling = w->sampling;
    a->request.stops = w->stops;
    a->request.n_stops = w->n_stops;
    return a;
}

static struct asker *answer(struct asker_pool *p, struct wish *w) {
    struct asker *a = ask(w);
    asker_alone(p, a);
    assert_true(a->n_steps > 0);
    return a;
}

static void check_same(const struct asker *whole, const struct asker *resumed) {
    assert_int_equal(resumed->n_tokens, whole->n_tokens);
    assert_memory_equal(resumed->told, whole->told, whole->n_tokens * sizeof whole->told[0]);
    assert_int_equal(resumed->text_size, whole->text_size);
    assert_memory_equal(resumed->text, whole->text, whole->text_size);
    if (whole->n_entries > 0) { /* log-probabilities are wanted, which go on to the bit */
        uint32_t given = (uint32_t)(resumed->job.replay.size / TOKEN_ID_BYTES);
        assert_int_equal(resumed->n_entries, whole->n_entries - given);
        asker_same_entries(resumed, 0, whole, given, resumed->n_entries);
    }
    assert_int_equal(resumed->end.reason, whole->end.reason);
    assert_true(resumed->end.seed == whole->end.seed);
    assert_int_equal(resumed->end.usage.prompt_positions, whole->end.usage.prompt_positions);
    assert_int_equal(resumed->end.usage.answer_tokens, whole->end.usage.answer_tokens);
    assert_int_equal(resumed->end.usage.picture_positions, whole->end.usage.picture_positions);
    assert_true(resumed->end.usage.reused_positions <= whole->end.usage.prompt_positions);
}

#ifdef QUIRE_SANITIZED
#define EVERY 4 /* it is slow */
#else
#define EVERY 1
#endif

/* Breaks off after each TOKENS in turn, the last one among them. */
static void check_resumed(struct asker_pool *p, struct wish *w, const struct asker *whole) {
    for (uint32_t step = (whole->n_steps - 1) % EVERY; step < whole->n_steps; step += EVERY) {
        struct asker *resumed = ask(w);
        asker_resume(resumed, whole, step);
        asker_alone(p, resumed);
        check_same(whole, resumed);
        free(resumed);
    }
}

static void check(struct wish *w) {
    struct asker *whole = answer(&pool, w);
    check_resumed(&pool, w, whole);
    free(whole);
}

/* ---- the same stream ---- */

static void test_a_greedy_answer_goes_on_as_it_was(void **state) {
    (void)state;
    struct wish w = greedy();
    check(&w);
    w.shows = true;
    check(&w);
}

static void test_a_sampled_answer_goes_on_as_it_was(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct wish w = wild(seed);
        check(&w);
    }
    struct wish w = wild(7);
    w.shows = true;
    check(&w);
}

static void test_a_seed_that_the_broker_drew_does_as_well(void **state) {
    (void)state;
    struct wish w = wild(0);
    w.sampling.has_seed = false;
    struct asker *whole = ask(&w);
    whole->job.seed = 0x123456789abcdef0ULL;
    asker_alone(&pool, whole);
    assert_true(whole->end.seed == whole->job.seed);
    check_resumed(&pool, &w, whole);
    free(whole);
}

/* With logprobs each token is told by itself, so it also breaks off in the middle of characters. */
static void test_it_breaks_off_in_the_middle_of_characters(void **state) {
    (void)state;
    uint32_t inside = 0;
    for (uint64_t seed = 1; seed < 12; seed++) {
        struct wish w = wild(seed);
        w.logprobs = 2;
        struct asker *whole = answer(&pool, &w);
        check_resumed(&pool, &w, whole);
        for (uint32_t i = 1; i + 1 < whole->n_steps; i++)
            inside += whole->steps[i].text_size == whole->steps[i - 1].text_size;
        free(whole);
    }
    assert_true(inside > 0);
}

static void test_logprobs_go_on_with_the_tokens(void **state) {
    (void)state;
    struct wish w = wild(3);
    w.logprobs = 3;
    struct asker *whole = answer(&pool, &w);
    assert_int_equal(whole->n_entries, whole->n_tokens);
    check_resumed(&pool, &w, whole);
    free(whole);
}

/* ---- text held back ---- */

static void test_a_stop_string_over_several_tokens_still_ends_it(void **state) {
    (void)state;
    uint32_t stopped = 0;
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct wish w = wild(seed);
        struct asker *plain = answer(&pool, &w);
        size_t middle = plain->steps[plain->n_steps / 2].text_size;
        if (middle >= 4 && middle + 4 < plain->text_size) {
            add_stop(&w, plain->text + middle - 4, 8); /* it reaches into the next token */
            for (w.logprobs = 0; w.logprobs < 2; w.logprobs++) {
                struct asker *whole = answer(&pool, &w);
                stopped += whole->end.reason == FINISH_STOP;
                check_resumed(&pool, &w, whole);
                free(whole);
            }
        }
        free(plain);
    }
    assert_true(stopped >= 4);
}

static void test_text_that_only_looked_like_a_stop_string_comes_out(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct wish w = wild(seed);
        struct asker *plain = answer(&pool, &w);
        char middle[8], last[8];
        size_t at = plain->text_size / 2;
        assert_true(plain->text_size > 16);
        while (at > 0 && (plain->text[at] & 0xc0) == 0x80)
            at--;
        memcpy(middle, plain->text + at, 6);
        middle[6] = middle[7] = '\x01';
        memcpy(last, plain->text + plain->text_size - 6, 6);
        last[6] = last[7] = '\x01'; /* it is held back to the very end */
        add_stop(&w, middle, sizeof middle);
        add_stop(&w, last, sizeof last);
        for (w.logprobs = 0; w.logprobs < 2; w.logprobs++) {
            struct asker *whole = answer(&pool, &w);
            assert_int_equal(whole->text_size, plain->text_size);
            check_resumed(&pool, &w, whole);
            free(whole);
        }
        free(plain);
    }
}

/* The model ends the answer while text is held back: that comes in TOKENS of no token, and when
 * DONE is lost behind it, it must not come again. */
static void test_text_shown_at_the_end_is_not_shown_twice(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        struct wish w = wild(seed);
        w.max_tokens = 200;
        struct asker *plain = answer(&pool, &w);
        if (plain->end.reason == FINISH_END && plain->n_tokens > 2 && plain->text_size > 8) {
            char last[6];
            memcpy(last, plain->text + plain->text_size - 4, 4);
            last[4] = last[5] = '\x01';
            add_stop(&w, last, sizeof last);
            w.logprobs = 1; /* all tokens are told at once */
            struct asker *whole = answer(&pool, &w);
            const uint32_t n = whole->n_steps;
            assert_int_equal(whole->end.reason, FINISH_END);
            assert_true(n > 1 && whole->steps[n - 1].n_tokens == whole->steps[n - 2].n_tokens);
            check_resumed(&pool, &w, whole);
            free(whole);
            free(plain);
            return;
        }
        free(plain);
    }
    fail_msg("no answer ended by itself");
}

/* ---- other workers, other company ---- */

static void test_a_worker_that_holds_nothing_goes_on_the_same(void **state) {
    (void)state;
    struct wish w = wild(11);
    w.shows = true;
    struct asker *whole = answer(&pool, &w);
    for (uint32_t step = 0; step < whole->n_steps; step += 5) {
        const struct scheduler_options odd = {.max_pictures = 2, .chunk = 7 + (int32_t)step};
        struct asker_pool fresh;
        asker_pool_open(&fresh, &seeing, &odd);
        struct asker *resumed = ask(&w);
        asker_resume(resumed, whole, step);
        asker_alone(&fresh, resumed);
        check_same(whole, resumed);
        assert_int_equal(resumed->end.usage.reused_positions, 0);
        assert_int_equal(resumed->end.usage.pictures_encoded, 1);
        asker_pool_close(&fresh);
        free(resumed);
    }
    free(whole);
}

/* Steps of one row, so that every product has the same shape in both. */
static void test_a_long_answer_goes_on_the_same(void **state) {
    (void)state;
    const struct scheduler_options by_row = {.max_pictures = 2, .chunk = 1, .chunk_shared = 1};
    for (uint64_t seed = 20; seed < 22; seed++) {
        struct wish w = wild(seed);
        struct asker_pool p, fresh;
        w.max_tokens = 400;
        asker_pool_open(&p, &seeing, &by_row);
        struct asker *whole = answer(&p, &w);
        for (uint32_t step = 3; step < whole->n_steps; step += whole->n_steps / 3) {
            struct asker *resumed = ask(&w);
            asker_pool_open(&fresh, &seeing, &by_row);
            asker_resume(resumed, whole, step);
            asker_alone(&fresh, resumed);
            check_same(whole, resumed);
            asker_pool_close(&fresh);
            free(resumed);
        }
        asker_pool_close(&p);
        free(whole);
    }
}

static void test_it_goes_on_the_same_in_company(void **state) {
    (void)state;
    struct wish w = wild(12), other = greedy();
    other.max_tokens = 60;
    struct asker *whole = answer(&pool, &w);
    struct asker *resumed = ask(&w), *twin = ask(&w), *busy = ask(&other);
    asker_add(&pool, busy);
    while (busy->n_tokens == 0)
        scheduler_step(pool.scheduler);
    asker_resume(resumed, whole, whole->n_steps / 3);
    asker_resume(twin, whole, whole->n_steps / 2);
    asker_add(&pool, resumed);
    asker_add(&pool, twin);
    asker_run(&pool);
    check_same(whole, resumed);
    check_same(whole, twin);
    assert_true(busy->done);
    free(whole);
    free(resumed);
    free(twin);
    free(busy);
}

static void test_it_can_break_off_again(void **state) {
    (void)state;
    struct wish w = wild(13);
    struct asker *whole = answer(&pool, &w), *second = ask(&w), *third = ask(&w);
    asker_resume(second, whole, 2);
    asker_alone(&pool, second);
    check_same(whole, second);
    asker_resume(third, second, second->n_steps / 2);
    asker_alone(&pool, third);
    check_same(whole, third);
    free(whole);
    free(second);
    free(third);
}

/* ---- what can't be ---- */

static void expect_refused(struct wish *w, const struct asker *whole, int32_t id, int more_bytes,
                           int code) {
    struct asker *a = ask(w);
    asker_resume(a, whole, whole->n_steps - 1);
    if (id != 0)
        a->told[a->n_tokens - 1] = id;
    a->job.replay_bytes += (uint64_t)(int64_t)more_bytes;
    asker_add(&pool, a);
    asker_run(&pool);
    assert_int_equal(a->error, code);
    free(a);
}

static void test_a_replay_that_can_not_be_is_refused(void **state) {
    (void)state;
    struct wish w = greedy();
    struct asker *whole = answer(&pool, &w);
    expect_refused(&w, whole, -1, 0, ERR_BAD_MESSAGE);
    expect_refused(&w, whole, INT32_MAX, 0, ERR_BAD_MESSAGE);
    expect_refused(&w, whole, INT32_MIN, 0, ERR_BAD_MESSAGE);
    int32_t end_id = 1; /* such a token is never told */
    while (!tokenizer_ends(pool.engine->tokenizer, end_id))
        end_id++;
    expect_refused(&w, whole, end_id, 0, ERR_BAD_MESSAGE);
    expect_refused(&w, whole, 0, 1, ERR_BAD_MESSAGE);
    expect_refused(&w, whole, 0, -1, ERR_BAD_MESSAGE);
    w.max_tokens = whole->n_tokens - 1;
    expect_refused(&w, whole, 0, 0, ERR_BAD_MESSAGE);
    w.max_tokens = LENGTH;
    size_t end = whole->steps[0].text_size;
    assert_true(end > 0 && whole->n_steps > 2);
    add_stop(&w, whole->text, end); /* it would have ended the answer long ago */
    expect_refused(&w, whole, 0, 0, ERR_BAD_MESSAGE);
    free(whole);
}

static void test_a_context_too_small_for_the_replay_is_refused(void **state) {
    (void)state;
    struct wish w = greedy();
    struct asker *whole = answer(&pool, &w), *a = ask(&w);
    struct engine_options small = seeing;
    struct asker_pool p;
    small.context = whole->end.usage.prompt_positions + 4;
    asker_pool_open(&p, &small, &usual);
    asker_resume(a, whole, whole->n_steps - 1);
    asker_add(&p, a);
    asker_run(&p);
    assert_int_equal(a->error, ERR_TOO_LONG);
    asker_pool_close(&p);
    free(whole);
    free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greedy_answer_goes_on_as_it_was),
        cmocka_unit_test(test_a_sampled_answer_goes_on_as_it_was),
        cmocka_unit_test(test_a_seed_that_the_broker_drew_does_as_well),
        cmocka_unit_test(test_it_breaks_off_in_the_middle_of_characters),
        cmocka_unit_test(test_logprobs_go_on_with_the_tokens),
        cmocka_unit_test(test_a_stop_string_over_several_tokens_still_ends_it),
        cmocka_unit_test(test_text_that_only_looked_like_a_stop_string_comes_out),
        cmocka_unit_test(test_text_shown_at_the_end_is_not_shown_twice),
        cmocka_unit_test(test_a_worker_that_holds_nothing_goes_on_the_same),
        cmocka_unit_test(test_a_long_answer_goes_on_the_same),
        cmocka_unit_test(test_it_goes_on_the_same_in_company),
        cmocka_unit_test(test_it_can_break_off_again),
        cmocka_unit_test(test_a_replay_that_can_not_be_is_refused),
        cmocka_unit_test(test_a_context_too_small_for_the_replay_is_refused),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
