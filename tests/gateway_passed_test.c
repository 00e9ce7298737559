/* gateway_passed_test.c - what of a repeated answer is new, however it is cut into events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/pool/passed.h"

#define TOKENS 6

static const char *const words[TOKENS] = {"The ", "", "red", " sq\xc3\xbc", "are", "."};

/* A whole answer and the events it came in: `cuts` has bit i set when an event ends behind token i.
 */
struct stream {
    char text[64];
    size_t size;
    uint32_t tokens;
    int32_t ids[TOKENS];
    int last; /* what passed_cut said last */
};

static struct quire_event event_of(uint32_t from, uint32_t to, char *text,
                                   struct quire_token *tokens) {
    size_t size = 0;
    for (uint32_t i = from; i < to; i++) {
        memcpy(text + size, words[i], strlen(words[i]));
        size += strlen(words[i]);
        tokens[i - from] = (struct quire_token){.chosen = {.id = (int32_t)(100 + i)}};
    }
    return (struct quire_event){.kind = QUIRE_TOKENS,
                                .text = text,
                                .text_bytes = size,
                                .index = from,
                                .n_tokens = to - from,
                                .tokens = tokens};
}

static void take(struct passed *p, struct quire_event *event, struct stream *s) {
    s->last = passed_cut(p, event);
    if (s->last <= 0)
        return;
    assert_int_equal(event->index, s->tokens);
    assert_true(s->tokens + event->n_tokens <= TOKENS);
    memcpy(s->text + s->size, event->text, event->text_bytes);
    s->size += event->text_bytes;
    for (uint32_t i = 0; i < event->n_tokens; i++)
        s->ids[s->tokens++] = event->tokens[i].chosen.id;
}

/* Tokens up to `end`, cut into events as the bits say. */
static void play(struct passed *p, unsigned cuts, uint32_t end, struct stream *s) {
    char text[64];
    struct quire_token tokens[TOKENS];
    uint32_t from = 0;
    for (uint32_t i = 0; i < end; i++) {
        if (i + 1 < end && (cuts >> i & 1) == 0)
            continue;
        struct quire_event event = event_of(from, i + 1, text, tokens);
        take(p, &event, s);
        assert_true(s->last >= 0);
        from = i + 1;
    }
}

static void check_whole(const struct stream *s) {
    assert_int_equal(s->tokens, TOKENS);
    assert_int_equal(s->size, strlen("The red sq\xc3\xbc"
                                     "are."));
    assert_memory_equal(s->text,
                        "The red sq\xc3\xbc"
                        "are.",
                        s->size);
    for (int i = 0; i < TOKENS; i++)
        assert_int_equal(s->ids[i], 100 + i);
}

static void test_a_stream_cut_anywhere_goes_on_without_gap_or_repetition(void **state) {
    (void)state;
    for (uint32_t broken = 0; broken <= TOKENS; broken++)
        for (unsigned cuts = 0; cuts < 1U << (2 * (TOKENS - 1)); cuts++) {
            struct passed p;
            struct stream s = {0};
            passed_init(&p);
            play(&p, cuts & 31, broken, &s);
            passed_again(&p);
            assert_true(passed_whole(&p) == (broken == 0));
            play(&p, cuts >> 5, TOKENS, &s);
            assert_true(passed_whole(&p));
            check_whole(&s);
        }
}

static void test_a_stream_may_break_twice(void **state) {
    (void)state;
    struct passed p;
    struct stream s = {0};
    passed_init(&p);
    play(&p, 31, 4, &s);
    passed_again(&p);
    play(&p, 31, 2, &s); /* not as far as the first time */
    assert_false(passed_whole(&p));
    passed_again(&p);
    play(&p, 0, TOKENS, &s);
    check_whole(&s);
}

static void begin(struct passed *p) {
    struct stream s = {0};
    passed_init(p);
    play(p, 31, 4, &s);
    passed_again(p);
}

static void test_another_text_is_noticed(void **state) {
    (void)state;
    struct passed p;
    struct stream s = {0};
    struct quire_token tokens[TOKENS];
    char text[64];
    begin(&p);
    struct quire_event event = event_of(0, 4, text, tokens);
    text[4] = 'R';
    take(&p, &event, &s);
    assert_int_equal(s.last, -1);
}

static void test_other_tokens_for_the_same_text_are_noticed(void **state) {
    (void)state;
    struct passed p;
    struct stream s = {0};
    struct quire_token tokens[TOKENS];
    char text[64];
    begin(&p);
    struct quire_event event = event_of(0, 4, text, tokens);
    tokens[1].chosen.id = 7;
    take(&p, &event, &s);
    assert_int_equal(s.last, -1);
}

static void test_text_that_runs_ahead_of_its_tokens_is_noticed(void **state) {
    (void)state;
    struct passed p;
    struct stream s = {0};
    struct quire_token tokens[TOKENS];
    char text[64];
    begin(&p);
    struct quire_event event = event_of(0, 6, text, tokens);
    event.n_tokens = 3;
    take(&p, &event, &s);
    assert_int_equal(s.last, -1);
}

static void test_text_held_back_to_the_end_is_passed_on_once(void **state) {
    (void)state;
    struct passed p;
    struct stream s = {0};
    passed_init(&p);
    for (int i = 0; i < 2; i++) {
        struct quire_event event = {.kind = QUIRE_TOKENS, .n_tokens = 1, .text = ""};
        struct quire_token token = {.chosen = {.id = 100}};
        event.tokens = &token;
        take(&p, &event, &s);
        event =
            (struct quire_event){.kind = QUIRE_TOKENS, .index = 1, .text = "held", .text_bytes = 4};
        take(&p, &event, &s);
        assert_int_equal(s.last, i == 0);
        passed_again(&p);
    }
    assert_int_equal(s.size, 4);
    assert_int_equal(s.tokens, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_cut_anywhere_goes_on_without_gap_or_repetition),
        cmocka_unit_test(test_a_stream_may_break_twice),
        cmocka_unit_test(test_another_text_is_noticed),
        cmocka_unit_test(test_other_tokens_for_the_same_text_are_noticed),
        cmocka_unit_test(test_text_that_runs_ahead_of_its_tokens_is_noticed),
        cmocka_unit_test(test_text_held_back_to_the_end_is_passed_on_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
