/* scheduler_test.c - several requests through one engine, without sockets.
 *
 * Uses the reference models of tests/golden: random weights, so answers are gibberish, but always
 * the same gibberish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/support/asker.h"

#define SMOLVLM QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"
#define SMOLVLM_MMPROJ QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf"

/* ---- allocations, counted (the linker puts these in the way of our own code) ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static unsigned long allocations;
void *__wrap_malloc(size_t size) {
    allocations++;
    return __real_malloc(size);
}
void *__wrap_calloc(size_t n, size_t size) {
    allocations++;
    return __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t size) {
    allocations++;
    return __real_realloc(p, size);
}

static const struct engine_options seeing = {
    .model = SMOLVLM,
    .mmproj = SMOLVLM_MMPROJ,
    .threads = 1,
    .kv_bytes = 64u << 20,
    .max_sequences = 4,
};
static const struct scheduler_options usual = {.max_pictures = 2};

/* ---- tests ---- */

static void test_requests_together_answer_as_alone(void **state) {
    (void)state;
    static const char *const texts[] = {
        "Where is the picture?", "Pages of the list and the words of workers.",
        "What do you see here? Say it in one word, or in two.", "Time!"};
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct asker *alone[4], *together[4];
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    for (int i = 0; i < 4; i++) {
        const struct bytes *shown = i % 2 == 0 ? &picture : NULL;
        alone[i] = asker_make(texts[i], shown, 24 + 3 * (uint32_t)i);
        together[i] = asker_make(texts[i], shown, 24 + 3 * (uint32_t)i);
        alone[i]->request.logprobs = together[i]->request.logprobs = 2;
        asker_alone(&p, alone[i]);
        assert_true(alone[i]->n_tokens > 3);
    }
    asker_add(&p, together[0]);
    scheduler_step(p.scheduler);
    asker_add(&p, together[1]);
    scheduler_step(p.scheduler);
    scheduler_step(p.scheduler);
    asker_add(&p, together[2]);
    asker_add(&p, together[3]);
    asker_run(&p);
    for (int i = 0; i < 4; i++) {
        assert_true(together[i]->done);
        asker_same(alone[i], together[i]);
        assert_int_equal(alone[i]->end.reason, together[i]->end.reason);
        free(alone[i]);
        free(together[i]);
    }
    free((void *)(uintptr_t)picture.data);
    asker_pool_close(&p);
}

static void test_chunks_make_no_difference(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p1.png");
    struct asker *whole = asker_make("Which pages does the broker keep?", &picture, 12);
    struct asker *small = asker_make("Which pages does the broker keep?", &picture, 12);
    whole->request.logprobs = small->request.logprobs = 1;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    asker_alone(&p, whole);
    asker_pool_close(&p);
    struct scheduler_options tiny = {.max_pictures = 1, .chunk = 7, .chunk_shared = 3};
    asker_pool_open(&p, &seeing, &tiny);
    asker_alone(&p, small);
    asker_same(whole, small);
    asker_pool_close(&p);
    free(whole);
    free(small);
    free((void *)(uintptr_t)picture.data);
}

static void test_done_tells_what_was_used(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p2.png");
    struct asker *a = asker_make("What is this?", &picture, 9);
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    asker_alone(&p, a);
    uint32_t tiles = a->end.usage.tiles_encoded;
    assert_int_equal(a->end.usage.pictures, 1);
    assert_int_equal(a->end.usage.pictures_encoded, 1);
    assert_true(tiles >= 1);
    assert_true(a->end.usage.prompt_positions > tiles * (uint32_t)p.engine->vision_model.n_out);
    assert_int_equal(a->end.usage.reused_positions, 0);
    assert_true(a->n_tokens > 0);
    assert_true(a->end.timings.total_us >= a->end.timings.first_token_us);
    assert_true(a->end.timings.picture_us > 0);
    assert_true(a->n_picture >= 1);
    assert_true(a->n_prefill >= 1);
    assert_int_equal(a->last_total, a->end.usage.prompt_positions);
    struct load load;
    scheduler_load(p.scheduler, &load);
    assert_true(load.prefill_us_per_position > 0 && load.decode_us_per_token > 0);
    assert_true(load.tile_us > 0);
    assert_int_equal(load.positions_total, a->end.usage.prompt_positions);
    assert_int_equal(load.active + load.waiting, 0);
    asker_pool_close(&p);
    free(a);
    free((void *)(uintptr_t)picture.data);
}

static char *long_text(size_t words) {
    char *text = malloc(words * 6 + 1);
    assert_non_null(text);
    text[0] = '\0';
    for (size_t i = 0; i < words; i++)
        memcpy(text + 6 * i, "pages ", 7);
    return text;
}

static void test_a_long_prompt_stops_nobodys_tokens(void **state) {
    (void)state;
    struct scheduler_options so = {.max_pictures = 2, .chunk_shared = 16};
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &so);
    char *text = long_text(200);
    struct asker *quick = asker_make("Where is it?", NULL, 200);
    struct asker *slow = asker_make(text, NULL, 4);
    quick->request.logprobs = 1; /* told token by token */
    asker_add(&p, quick);
    while (quick->n_tokens == 0 && !asker_ended(quick))
        scheduler_step(p.scheduler);
    asker_add(&p, slow);
    int steps = 0;
    while (slow->n_tokens == 0 && !asker_ended(slow) && !asker_ended(quick)) {
        uint32_t before = quick->n_tokens;
        scheduler_step(p.scheduler);
        assert_true(asker_ended(quick) || quick->n_tokens == before + 1);
        steps++;
    }
    assert_true(steps >= 10); /* 200 positions at least, 16 at a time */
    asker_run(&p);
    assert_true(slow->done && quick->done);
    asker_pool_close(&p);
    free(quick);
    free(slow);
    free(text);
}

static void test_a_short_prompt_does_not_wait_for_a_long_one(void **state) {
    (void)state;
    struct scheduler_options so = {.max_pictures = 2, .chunk = 16, .chunk_shared = 16};
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &so);
    char *text = long_text(400);
    struct asker *slow = asker_make(text, NULL, 2), *quick = asker_make("Hi", NULL, 2);
    asker_add(&p, slow);
    asker_add(&p, quick);
    while (!asker_ended(quick) && !asker_ended(slow))
        scheduler_step(p.scheduler);
    assert_true(quick->done);
    assert_int_equal(slow->n_tokens, 0);
    asker_run(&p);
    assert_true(slow->done);
    asker_pool_close(&p);
    free(quick);
    free(slow);
    free(text);
}

static void test_cancel_takes_effect_within_one_step(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *a = asker_make("Where is it?", NULL, 400), *b = asker_make("Pages", NULL, 5);
    asker_add(&p, a);
    while (a->n_tokens == 0)
        scheduler_step(p.scheduler);
    asker_add(&p, b);
    atomic_store(&a->job.cancelled, true);
    scheduler_step(p.scheduler);
    assert_int_equal(a->error, ERR_CANCELLED);
    asker_run(&p);
    assert_true(b->done);
    asker_pool_close(&p);
    free(a);
    free(b);
}

static void test_deadline_ends_a_request_at_any_stage(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *late = asker_make("Where is it?", NULL, 400);
    late->job.deadline_us = clock_us() - 1;
    asker_add(&p, late);
    scheduler_step(p.scheduler);
    assert_int_equal(late->error, ERR_DEADLINE);
    struct asker *running = asker_make("Where is it?", NULL, 400);
    asker_add(&p, running);
    while (running->n_tokens == 0)
        scheduler_step(p.scheduler);
    running->job.deadline_us = clock_us() - 1;
    scheduler_step(p.scheduler);
    assert_int_equal(running->error, ERR_DEADLINE);
    asker_run(&p);
    asker_pool_close(&p);
    free(late);
    free(running);
}

static void test_what_never_fits_is_refused_with_figures(void **state) {
    (void)state;
    struct engine_options small = seeing;
    small.context = 64;
    struct asker_pool p;
    asker_pool_open(&p, &small, &usual);
    assert_int_equal(p.engine->context, 64);
    char *text = long_text(100), *endless = long_text(1000000);
    struct asker *a = asker_make(text, NULL, 4), *b = asker_make("Hi", NULL, 4);
    struct asker *c = asker_make(endless, NULL, 4);
    asker_add(&p, a);
    asker_add(&p, b);
    asker_add(&p, c);
    asker_run(&p);
    assert_int_equal(a->error, ERR_TOO_LONG);
    assert_non_null(strstr(a->why, "6")); /* 63 or 64 */
    assert_int_equal(c->error, ERR_TOO_LONG);
    assert_non_null(strstr(c->why, "6000"));
    assert_true(b->done);
    asker_pool_close(&p);
    free(a);
    free(b);
    free(c);
    free(text);
    free(endless);
}

static void test_answer_is_cut_where_the_context_ends(void **state) {
    (void)state;
    struct engine_options small = seeing;
    struct asker_pool p;
    asker_pool_open(&p, &small, &usual);
    struct asker *a = asker_make("Where is it?", NULL, 40);
    a->request.logprobs = 1;
    asker_alone(&p, a);
    asker_pool_close(&p);
    assert_true(a->n_tokens > 5); /* so that 5 are a cut */
    small.context = a->end.usage.prompt_positions + 5;
    asker_pool_open(&p, &small, &usual);
    struct asker *b = asker_make("Where is it?", NULL, LIMIT_MAX_TOKENS);
    b->request.logprobs = 1;
    asker_alone(&p, b);
    assert_int_equal(b->end.reason, FINISH_LENGTH);
    assert_int_equal(b->n_tokens, 5);
    assert_memory_equal(a->ids, b->ids, 5 * sizeof a->ids[0]);
    asker_pool_close(&p);
    free(a);
    free(b);
}

static void test_bad_picture_fails_only_its_own_request(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct bytes cut = {picture.data, picture.size / 2};
    struct bytes junk = {(const uint8_t *)"GIF89a.....................", 27};
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *good = asker_make("Where?", &picture, 6);
    struct asker *half = asker_make("Where?", &cut, 6), *other = asker_make("Where?", &junk, 6);
    asker_add(&p, half);
    asker_add(&p, good);
    asker_add(&p, other);
    asker_run(&p);
    assert_int_equal(half->error, ERR_BAD_PICTURE);
    assert_non_null(strstr(half->why, "picture 1"));
    assert_int_equal(other->error, ERR_BAD_PICTURE);
    assert_true(good->done);
    asker_pool_close(&p);
    free(good);
    free(half);
    free(other);
    free((void *)(uintptr_t)picture.data);
}

static void test_a_text_model_refuses_pictures(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct engine_options blind = seeing;
    blind.mmproj = NULL;
    struct asker_pool p;
    asker_pool_open(&p, &blind, &usual);
    struct asker *a = asker_make("Where?", &picture, 6), *b = asker_make("Where?", NULL, 6);
    asker_add(&p, a);
    asker_add(&p, b);
    asker_run(&p);
    assert_int_equal(a->error, ERR_BAD_REQUEST);
    assert_true(b->done);
    asker_pool_close(&p);
    free(a);
    free(b);
    free((void *)(uintptr_t)picture.data);
}

static void test_too_many_pictures_are_refused(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct scheduler_options one = {.max_pictures = 1};
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &one);
    struct asker *a = asker_make("Where?", &picture, 6);
    asker_show(a, picture);
    asker_add(&p, a);
    asker_run(&p);
    assert_int_equal(a->error, ERR_LIMIT);
    asker_pool_close(&p);
    free(a);
    free((void *)(uintptr_t)picture.data);
}

static void test_stop_string_ends_the_answer_before_it(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *free_one = asker_make("Where is it?", NULL, 30);
    asker_alone(&p, free_one);
    assert_true(free_one->text_size > 20);
    size_t at = free_one->text_size / 2;
    while (((uint8_t)free_one->text[at] & 0xC0) == 0x80)
        at++;
    size_t end = at + 4;
    while (((uint8_t)free_one->text[end] & 0xC0) == 0x80)
        end++;
    struct bytes stop = {(const uint8_t *)free_one->text + at, end - at};
    struct asker *a = asker_make("Where is it?", NULL, 30);
    a->request.stops = &stop;
    a->request.n_stops = 1;
    asker_alone(&p, a);
    assert_int_equal(a->end.reason, FINISH_STOP);
    assert_int_equal(a->end.stop, 0);
    assert_int_equal(free_one->end.stop, -1);
    const char *first = memmem(free_one->text, free_one->text_size, stop.data, stop.size);
    assert_int_equal(a->text_size, first - free_one->text);
    assert_memory_equal(a->text, free_one->text, a->text_size);
    assert_true(a->n_tokens <= free_one->n_tokens);
    asker_pool_close(&p);
    free(a);
    free(free_one);
}

static void test_requests_wait_for_pages_and_then_run(void **state) {
    (void)state;
    struct engine_options tight = seeing;
    struct asker_pool p;
    asker_pool_open(&p, &tight, &usual);
    struct pages_shape shape = pages_shape(p.engine->pages);
    asker_pool_close(&p);
    tight.kv_bytes = 10 * pages_bytes_per_page(shape); /* 160 positions */
    asker_pool_open(&p, &tight, &usual);
    assert_int_equal(pages_total(p.engine->pages), 10);
    struct asker *a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = asker_make("Where is it?", NULL, 90);
        asker_add(&p, a[i]);
    }
    for (int i = 0; scheduler_count(p.scheduler) > 0; i++) {
        struct load load;
        assert_true(i < ASKER_STEPS);
        scheduler_step(p.scheduler);
        scheduler_load(p.scheduler, &load);
        assert_true(load.active <= 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(a[i]->done);
        asker_same(a[i], a[0]);
    }
    for (int i = 0; i < 3; i++)
        free(a[i]);
    asker_pool_close(&p);
}

static void test_a_full_scheduler_takes_no_more(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *a[5];
    for (int i = 0; i < 5; i++)
        a[i] = asker_make("Hi", NULL, 2);
    for (int i = 0; i < 4; i++)
        asker_add(&p, a[i]);
    assert_false(scheduler_add(p.scheduler, &a[4]->job));
    asker_run(&p);
    asker_alone(&p, a[4]);
    for (int i = 0; i < 5; i++)
        free(a[i]);
    asker_pool_close(&p);
}

static void test_the_seed_that_done_names_draws_the_same_again(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = asker_make("Where is it?", NULL, 20);
        a[i]->request.logprobs = 1;
        a[i]->request.sampling.temperature = 5;
        a[i]->request.sampling.top_k = 0;
        a[i]->request.sampling.top_p = 1;
        a[i]->request.sampling.min_p = 0;
    }
    asker_alone(&p, a[0]);
    a[1]->request.sampling.has_seed = true;
    a[1]->request.sampling.seed = a[0]->end.seed;
    asker_alone(&p, a[1]);
    asker_same(a[0], a[1]);
    assert_int_equal(a[1]->end.seed, a[0]->end.seed);
    asker_alone(&p, a[2]); /* another seed is drawn, and so another answer */
    assert_int_not_equal(a[2]->end.seed, a[0]->end.seed);
    assert_string_not_equal(a[2]->text, a[0]->text);
    for (int i = 0; i < 3; i++)
        free(a[i]);
    asker_pool_close(&p);
}

static void test_decoding_allocates_nothing(void **state) {
    (void)state;
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *a = asker_make("Where is it?", NULL, 60), *b = asker_make("Pages", NULL, 60);
    struct bytes stop = {(const uint8_t *)"no such text", 12};
    a->request.stops = &stop;
    a->request.n_stops = 1;
    b->request.logprobs = 5;
    asker_add(&p, a);
    asker_add(&p, b);
    while (a->n_tokens == 0 || b->n_tokens == 0)
        scheduler_step(p.scheduler);
    int steps = 0;
    while (!asker_ended(a) && !asker_ended(b)) {
        unsigned long before = allocations;
        scheduler_step(p.scheduler);
        assert_int_equal(allocations, before);
        steps++;
    }
    assert_true(steps > 3);
    assert_true(allocations > 0); /* they are counted */
    asker_run(&p);
    free(a);
    free(b);
    asker_pool_close(&p);
}

static void test_closing_gives_back_what_was_under_way(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *a = asker_make("Where?", &picture, 60), *b = asker_make("Hi", NULL, 60);
    asker_add(&p, b);
    scheduler_step(p.scheduler);
    asker_add(&p, a);
    scheduler_step(p.scheduler); /* its picture is decoded, its tiles are not all there */
    asker_pool_close(&p);
    assert_false(asker_ended(a));
    free(a);
    free(b);
    free((void *)(uintptr_t)picture.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_together_answer_as_alone),
        cmocka_unit_test(test_chunks_make_no_difference),
        cmocka_unit_test(test_done_tells_what_was_used),
        cmocka_unit_test(test_a_long_prompt_stops_nobodys_tokens),
        cmocka_unit_test(test_a_short_prompt_does_not_wait_for_a_long_one),
        cmocka_unit_test(test_cancel_takes_effect_within_one_step),
        cmocka_unit_test(test_deadline_ends_a_request_at_any_stage),
        cmocka_unit_test(test_what_never_fits_is_refused_with_figures),
        cmocka_unit_test(test_answer_is_cut_where_the_context_ends),
        cmocka_unit_test(test_bad_picture_fails_only_its_own_request),
        cmocka_unit_test(test_a_text_model_refuses_pictures),
        cmocka_unit_test(test_too_many_pictures_are_refused),
        cmocka_unit_test(test_stop_string_ends_the_answer_before_it),
        cmocka_unit_test(test_requests_wait_for_pages_and_then_run),
        cmocka_unit_test(test_a_full_scheduler_takes_no_more),
        cmocka_unit_test(test_the_seed_that_done_names_draws_the_same_again),
        cmocka_unit_test(test_decoding_allocates_nothing),
        cmocka_unit_test(test_closing_gives_back_what_was_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
