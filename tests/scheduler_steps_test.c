/* scheduler_steps_test.c - how much of a prompt goes into a step that others' tokens wait for.
 *
 * No time is measured: the linker puts an imagined engine's times in the place of the real ones, so
 * that what the scheduler expects and what it does are known exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/asker.h"
#include "worker/rates.h"

/* The imagined engine. */
#define STEP_US 3000
#define POSITION_US 800
#define PAIR_US 2
#define LEARNING 12 /* steps with prompts after which its rates are known */

static struct step_size last; /* of the last step that computed of a prompt */
static uint32_t prompt_steps;

static int64_t imagined_us(struct step_size size) {
    return STEP_US + (int64_t)size.positions * POSITION_US + (int64_t)size.pairs * PAIR_US;
}

void __real_rates_prompt_step(struct rates *r, struct step_size size, int64_t us);
void __wrap_rates_prompt_step(struct rates *r, struct step_size size, int64_t us);
void __wrap_rates_prompt_step(struct rates *r, struct step_size size, int64_t us) {
    (void)us;
    last = size;
    prompt_steps++;
    __real_rates_prompt_step(r, size, imagined_us(size));
}

static const struct engine_options engine = {.model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                                             .threads = 1,
                                             .kv_bytes = 64u << 20,
                                             .max_sequences = 4};

static char *long_text(size_t words) {
    char *text = malloc(words * 6 + 1);
    assert_non_null(text);
    text[0] = '\0';
    for (size_t i = 0; i < words; i++)
        memcpy(text + 6 * i, "pages ", 7);
    return text;
}

/* A stream, and prompts that come while it goes on. */
struct play {
    struct asker_pool pool;
    struct asker *stream, *prompts[2];
    char *text;
    char tenants[2][16]; /* another for each prompt, so that nothing is reused */
    uint32_t asked;
};

static void open_play(struct play *p, uint32_t max_step_ms, size_t words) {
    struct scheduler_options so = {.max_pictures = 1, .max_step_ms = max_step_ms};
    memset(p, 0, sizeof *p);
    prompt_steps = 0;
    asker_pool_open(&p->pool, &engine, &so);
    p->text = long_text(words);
}

static void ask(struct play *p, int place) {
    free(p->prompts[place]);
    p->prompts[place] = asker_make(p->text, NULL, 1);
    int n = snprintf(p->tenants[place], sizeof p->tenants[place], "%u", p->asked++);
    p->prompts[place]->request.tenant =
        (struct bytes){(const uint8_t *)p->tenants[place], (size_t)n};
    asker_add(&p->pool, p->prompts[place]);
}

/* A stream whose answer has begun and not ended; a new one when the last has ended. */
static void have_stream(struct play *p) {
    while (p->stream == NULL || asker_ended(p->stream) || p->stream->n_tokens == 0) {
        if (p->stream == NULL || asker_ended(p->stream)) {
            free(p->stream);
            p->stream = asker_make("Where is it?", NULL, ASKER_TOKENS);
            p->stream->request.logprobs = 1; /* told token by token */
            asker_add(&p->pool, p->stream);
        }
        scheduler_step(p->pool.scheduler);
    }
}

/* One step, in which the stream gets its token. True when it computed of a prompt beside it. */
static bool step(struct play *p) {
    have_stream(p);
    uint32_t tokens = p->stream->n_tokens, steps = prompt_steps;
    scheduler_step(p->pool.scheduler);
    assert_int_equal(p->stream->n_tokens, tokens + 1);
    return prompt_steps > steps;
}

static void close_play(struct play *p) {
    asker_pool_close(&p->pool);
    free(p->stream);
    free(p->prompts[0]);
    free(p->prompts[1]);
    free(p->text);
}

static void test_chunks_keep_every_step_within_the_bound(void **state) {
    (void)state;
    struct play p;
    open_play(&p, 100, 600);
    uint32_t smallest = UINT32_MAX, largest = 0;
    for (int i = 0; i < 4; i++) {
        have_stream(&p);
        ask(&p, 0);
        while (!asker_ended(p.prompts[0])) {
            if (!step(&p) || prompt_steps < LEARNING)
                continue;
            assert_true(imagined_us(last) <= 101000);
            if (asker_ended(p.prompts[0]))
                continue; /* the last chunk is what was left */
            smallest = last.positions - 1 < smallest ? last.positions - 1 : smallest;
            largest = last.positions - 1 > largest ? last.positions - 1 : largest;
        }
        assert_true(p.prompts[0]->done);
    }
    /* At the beginning of a prompt more fits than far into it, where positions attend to more. */
    assert_in_range(largest, 80, 112);
    assert_in_range(smallest, SCHEDULER_CHUNK_LEAST, 64);
    close_play(&p);
}

static void test_a_bound_that_nothing_meets_still_lets_prompts_on(void **state) {
    (void)state;
    struct play p;
    open_play(&p, 1, 300);
    have_stream(&p);
    ask(&p, 0);
    uint32_t steps = 0;
    while (!asker_ended(p.prompts[0])) {
        assert_true(step(&p));
        assert_true(last.positions <= 1 + SCHEDULER_CHUNK_LEAST);
        steps++;
    }
    assert_true(p.prompts[0]->done);
    uint32_t positions = p.prompts[0]->end.usage.prompt_positions;
    assert_in_range(steps, positions / SCHEDULER_CHUNK_LEAST,
                    positions / SCHEDULER_CHUNK_LEAST + 1);
    close_play(&p);
}

static void test_chunks_are_full_when_no_token_waits(void **state) {
    (void)state;
    struct play p;
    open_play(&p, 1, 600);
    for (int i = 0; i < 2; i++) {
        ask(&p, 0);
        uint32_t before = prompt_steps;
        asker_run(&p.pool);
        assert_true(p.prompts[0]->done);
        uint32_t positions = p.prompts[0]->end.usage.prompt_positions;
        assert_int_equal(prompt_steps - before, (positions + ENGINE_CHUNK - 1) / ENGINE_CHUNK);
    }
    close_play(&p);
}

/* A prompt's last few positions do not have a step for themselves while another prompt waits. */
static void test_what_a_prompt_leaves_another_gets(void **state) {
    (void)state;
    struct play p;
    open_play(&p, 100, 60);
    uint32_t filled = 0;
    for (int i = 0; i < 12; i++) {
        have_stream(&p);
        ask(&p, 0);
        ask(&p, 1);
        uint32_t n = 0; /* positions of the step that ended the first of them */
        while (!asker_ended(p.prompts[0]) || !asker_ended(p.prompts[1])) {
            bool both = !asker_ended(p.prompts[0]) && !asker_ended(p.prompts[1]);
            if (!step(&p) || prompt_steps < LEARNING)
                continue;
            assert_true(imagined_us(last) <= 101000);
            if (both && (asker_ended(p.prompts[0]) || asker_ended(p.prompts[1])))
                n = last.positions;
        }
        assert_true(p.prompts[0]->done && p.prompts[1]->done);
        filled += n >= 30;
    }
    assert_true(filled >= 6);
    close_play(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_keep_every_step_within_the_bound),
        cmocka_unit_test(test_a_bound_that_nothing_meets_still_lets_prompts_on),
        cmocka_unit_test(test_chunks_are_full_when_no_token_waits),
        cmocka_unit_test(test_what_a_prompt_leaves_another_gets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
