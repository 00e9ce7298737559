/* same_answer.c - see same_answer.h. */
#include "tests/support/same_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/clock.h"
#include "tests/support/process.h"

static void take_tokens(struct answer *a, const struct quire_event *event) {
    for (uint32_t i = 0; event->tokens != NULL && i < event->n_tokens; i++) {
        const struct quire_token *from = &event->tokens[i];
        assert_in_range(a->n_tokens + i, 0, ANSWER_TOKENS - 1);
        struct answer_token *to = &a->tokens[a->n_tokens + i];
        to->chosen = (struct answer_choice){from->chosen.id, from->chosen.logprob};
        to->n_others = from->n_others < ANSWER_OTHERS ? from->n_others : ANSWER_OTHERS;
        for (size_t k = 0; k < to->n_others; k++)
            to->others[k] = (struct answer_choice){from->others[k].id, from->others[k].logprob};
    }
    assert_int_equal(event->index, a->n_tokens);
    a->n_tokens += event->n_tokens;
    assert_in_range(a->size + event->text_bytes, 0, ANSWER_TEXT_BYTES - 1);
    if (event->text_bytes > 0)
        memcpy(a->text + a->size, event->text, event->text_bytes);
    a->size += event->text_bytes;
    a->text[a->size] = '\0';
    a->began = true;
}

void answer_take(struct answer *a, const struct quire_event *event) {
    assert_false(a->ended);
    if (event->kind == QUIRE_TOKENS)
        take_tokens(a, event);
    if (!event->last)
        return;
    a->end = *event;
    a->ended = true;
    a->end.tokens = NULL;
    a->end.text = NULL;
    assert_in_range(event->n_segment_ends, 0, ANSWER_ENDS);
    if (event->n_segment_ends > 0)
        memcpy(a->ends, event->segment_ends, event->n_segment_ends * sizeof a->ends[0]);
    a->end.segment_ends = a->ends;
}

void answers_collect(struct quire_client *client, size_t n, uint8_t (*ids)[QUIRE_ID_BYTES],
                     struct answer *answers, bool only_begin) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++)
            left += !answers[i].ended && !(only_begin && answers[i].began);
        if (left == 0)
            return;
        struct quire_event event;
        struct quire_error e = {0};
        int r = quire_next(client, 100, &event, &e);
        if (r < 0)
            fail_msg("the connection is lost: %s", e.text);
        for (size_t i = 0; r > 0 && i < n; i++)
            if (memcmp(event.id, ids[i], QUIRE_ID_BYTES) == 0)
                answer_take(&answers[i], &event);
        if (clock_ms() > deadline)
            fail_msg("%zu of %zu requests are not there after %d ms", left, n, PROCESS_WAIT_MS);
    }
}

static bool same_choice(const struct answer_choice *a, const struct answer_choice *b) {
    return a->id == b->id && memcmp(&a->logprob, &b->logprob, sizeof a->logprob) == 0;
}

static void check_choice(const struct answer_choice *a, const struct answer_choice *b,
                         uint32_t step, const char *what) {
    if (!same_choice(a, b))
        fail_msg("token %u, %s: %d with %.9g, and %d with %.9g the other time", step, what, a->id,
                 (double)a->logprob, b->id, (double)b->logprob);
}

static void check_token(const struct answer_token *a, const struct answer_token *b, uint32_t step) {
    check_choice(&a->chosen, &b->chosen, step, "chosen");
    assert_int_equal(a->n_others, b->n_others);
    for (size_t i = 0; i < a->n_others; i++)
        check_choice(&a->others[i], &b->others[i], step, "among the likeliest");
}

void same_answer(const struct answer *one, const struct answer *other) {
    const struct quire_event *a = &one->end, *b = &other->end;
    if (a->kind != QUIRE_DONE || b->kind != QUIRE_DONE)
        fail_msg("no answer: \"%s\", \"%s\"", a->error.text, b->error.text);
    for (uint32_t i = 0; i < one->n_tokens && i < other->n_tokens; i++)
        check_token(&one->tokens[i], &other->tokens[i], i);
    assert_int_equal(one->n_tokens, other->n_tokens);
    assert_int_equal(one->size, other->size);
    assert_memory_equal(one->text, other->text, one->size);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->usage.prompt_positions, b->usage.prompt_positions);
    assert_int_equal(a->usage.answer_tokens, b->usage.answer_tokens);
}
