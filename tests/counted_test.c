/* counted_test.c - requests that are no chat or want no answer: raw prompts, and counted ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/asker.h"

static const struct engine_options seeing = {
    .model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
    .mmproj = QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf",
    .threads = 1,
    .kv_bytes = 64u << 20,
    .max_sequences = 4,
};
static const struct scheduler_options usual = {.max_pictures = 2};

static char *long_text(size_t words) {
    char *text = malloc(words * 6 + 1);
    assert_non_null(text);
    text[0] = '\0';
    for (size_t i = 0; i < words; i++)
        memcpy(text + 6 * i, "pages ", 7);
    return text;
}

/* ---- counted only ---- */

static void test_a_prompt_is_counted_without_computing_it(void **state) {
    (void)state;
    struct bytes picture = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct asker_pool p;
    struct load load;
    asker_pool_open(&p, &seeing, &usual);
    struct asker *counted = asker_make("Where is it?", &picture, 4);
    counted->request.count_only = true;
    asker_add(&p, counted);
    asker_run(&p);
    assert_true(counted->done);
    assert_int_equal(counted->n_picture, 0); /* not even looked at */
    assert_int_equal(counted->n_tokens, 0);
    assert_int_equal(counted->end.reason, FINISH_END);
    assert_int_equal(counted->end.stop, -1);
    scheduler_load(p.scheduler, &load);
    assert_int_equal(load.positions_total, 0);
    assert_int_equal(load.feature_bytes, 0);
    assert_int_equal(scheduler_pages(p.scheduler).evictable, 0);
    struct asker *answered = asker_make("Where is it?", &picture, 4);
    asker_alone(&p, answered);
    const struct usage *a = &counted->end.usage, *b = &answered->end.usage;
    assert_int_equal(a->prompt_positions, b->prompt_positions);
    assert_int_equal(a->picture_positions, b->picture_positions);
    assert_true(a->picture_positions > 0);
    assert_int_equal(a->pictures, 1);
    assert_int_equal(b->reused_positions, 0);
    assert_int_equal(a->reused_positions, 0);
    assert_int_equal(a->pictures_encoded + a->tiles_encoded, 0);
    asker_pool_close(&p);
    free(counted);
    free(answered);
    free((void *)(uintptr_t)picture.data);
}

static void test_a_prompt_longer_than_the_context_is_counted_too(void **state) {
    (void)state;
    struct engine_options small = seeing;
    small.context = 64;
    struct asker_pool p;
    asker_pool_open(&p, &small, &usual);
    char *text = long_text(30), *endless = long_text(1000000);
    struct asker *a = asker_make(text, NULL, 4), *c = asker_make(endless, NULL, 4);
    a->request.count_only = c->request.count_only = true;
    asker_add(&p, a);
    asker_add(&p, c);
    asker_run(&p);
    assert_true(a->done);
    assert_in_range(a->end.usage.prompt_positions, 65, 64 * ENGINE_COUNT_CONTEXTS);
    assert_int_equal(c->error, ERR_TOO_LONG);
    asker_pool_close(&p);
    free(a);
    free(c);
    free(text);
    free(endless);
}

/* ---- raw ---- */

static void test_a_raw_prompt_is_answered_without_a_template(void **state) {
    (void)state;
    static const char *const said[] = {"Once", "The list", "What",  "a time", "workers",
                                       "in",   "Where",    "pages", "two",    "see"};
    struct asker_pool p;
    asker_pool_open(&p, &seeing, &usual);
    int led = 0;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        struct asker *a = asker_make(said[i], NULL, 3);
        a->messages[0].role = ROLE_RAW;
        a->request.logprobs = 1;
        asker_alone(&p, a);
        struct token_list l = {0};
        struct error e;
        struct bytes text = {(const uint8_t *)said[i], strlen(said[i])};
        assert_int_equal(tokenizer_encode(p.engine->tokenizer, text, TOKENIZE_PLAIN, &l, &e), 0);
        assert_int_equal(a->end.usage.prompt_positions, l.count);
        token_list_clear(&l);
        if (a->n_tokens > 0) { /* a space is the answer's own: no template put one there */
            struct bytes piece = tokenizer_piece(p.engine->tokenizer, a->told[0]);
            bool space = piece.size > 0 && piece.data[0] == ' ';
            assert_true(!space || a->text[0] == ' ');
            led += space;
        }
        free(a);
    }
    assert_true(led > 0); /* else the test says nothing */
    asker_pool_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_prompt_is_counted_without_computing_it),
        cmocka_unit_test(test_a_prompt_longer_than_the_context_is_counted_too),
        cmocka_unit_test(test_a_raw_prompt_is_answered_without_a_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
