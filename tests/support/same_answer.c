/* same_answer.c - see same_answer.h. */
#include "tests/support/same_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
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

static const struct answer_choice *find(const struct answer_token *t, int32_t id) {
    for (size_t i = 0; i < t->n_others; i++)
        if (t->others[i].id == id)
            return &t->others[i];
    return NULL;
}

/* A token that only one of the lists has must be at its end, among equals. */
static float compare_others(const struct answer_token *a, const struct answer_token *b,
                            uint32_t step) {
    float largest = fabsf(a->chosen.logprob - b->chosen.logprob);
    if (a->chosen.id != b->chosen.id)
        largest = 0;
    assert_int_equal(a->n_others, b->n_others);
    for (size_t i = 0; i < a->n_others; i++) {
        const struct answer_choice *x = &a->others[i], *y = find(b, x->id);
        float other = y != NULL ? y->logprob : b->others[b->n_others - 1].logprob;
        float difference = fabsf(x->logprob - other);
        if (difference > SAME_LOGPROB)
            fail_msg("token %d at step %u has %g, and %g the other time", x->id, step,
                     (double)x->logprob, (double)other);
        largest = difference > largest && y != NULL ? difference : largest;
    }
    return largest;
}

static bool is_close(const struct answer_token *t) {
    return t->n_others >= 2 && fabsf(t->others[0].logprob - t->others[1].logprob) <= SAME_LOGPROB;
}

float same_answer(const struct answer *warm, const struct answer *cold) {
    float largest = 0;
    if (warm->end.kind != QUIRE_DONE || cold->end.kind != QUIRE_DONE)
        fail_msg("no answer: \"%s\", \"%s\"", warm->end.error.text, cold->end.error.text);
    for (uint32_t i = 0; i < warm->n_tokens && i < cold->n_tokens; i++) {
        const struct answer_token *a = &warm->tokens[i], *b = &cold->tokens[i];
        float difference = compare_others(a, b, i);
        largest = difference > largest ? difference : largest;
        if (a->chosen.id != b->chosen.id && is_close(a) && is_close(b))
            return largest;
        assert_int_equal(a->chosen.id, b->chosen.id);
        if (largest > SAME_LOGPROB)
            fail_msg("step %u differs by %g", i, (double)largest);
    }
    assert_string_equal(warm->text, cold->text);
    assert_int_equal(warm->n_tokens, cold->n_tokens);
    assert_int_equal(warm->end.finish, cold->end.finish);
    assert_int_equal(warm->end.usage.prompt_positions, cold->end.usage.prompt_positions);
    return largest;
}
