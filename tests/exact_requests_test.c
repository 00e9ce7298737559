/* exact_requests_test.c - an answer is the same to the bit, whoever is answered beside it.
 *
 * Requests of text and pictures, most of them sampled with a seed, are answered once each by an
 * engine of one thread that has seen nothing before. Then engines of one to four threads answer
 * them at random: together, in long steps and short ones, on others' pages and embeddings or
 * without room for them. Texts, tokens and log-probabilities must be equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/asker.h"

#define PICTURES 3
#define ASKED 16  /* different requests */
#define PLACES 5  /* at a time */
#define PLAYED 40 /* in a round */
#define ANSWER 14 /* tokens */

static const char *const texts[] = {
    "Where is the list of pages?", "Where is the list of words and of workers?", "Hi",
    "The broker keeps the list of pages that every worker has. A request goes to the worker that "
    "has the most of it. What is the time?"};

struct asked {
    uint32_t text, shown[2]; /* 0: no picture, or 1 + which */
    bool sampled, penalty;
    struct asker *plain;
};

struct world {
    uint64_t random;
    struct bytes pictures[PICTURES];
    struct asked asked[ASKED];
};

static uint32_t draw(struct world *w, uint32_t below) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

static const struct engine_options engine = {.model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                                             .mmproj = QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf",
                                             .threads = 1,
                                             .kv_bytes = 64u << 20,
                                             .max_sequences = PLACES};

static struct asker *make(const struct world *w, const struct asked *q) {
    struct asker *a = asker_new(ANSWER);
    struct sampling_options *o = &a->request.sampling;
    a->request.logprobs = ASKER_OTHERS;
    asker_turn(a, ROLE_USER);
    for (int i = 0; i < 2; i++)
        if (q->shown[i] > 0)
            asker_show(a, w->pictures[q->shown[i] - 1]);
    asker_say(a, texts[q->text]);
    if (q->sampled) {
        o->temperature = 1.5F;
        o->top_k = 50;
        o->top_p = 0.95F;
        o->has_seed = true;
        o->seed = 100 + q->text;
    }
    if (q->penalty) {
        o->repeat_penalty = 1.2F;
        o->presence_penalty = 0.5F;
        o->repeat_last_n = 64;
    }
    return a;
}

static int make_world(void **state) {
    static struct world w = {.random = 5};
    for (size_t i = 0; i < PICTURES; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/pictures/p%zu.png", QUIRE_GOLDEN_DIR, i);
        w.pictures[i] = asker_read(path);
    }
    for (uint32_t i = 0; i < ASKED; i++) {
        struct asked *q = &w.asked[i];
        struct asker_pool p;
        struct scheduler_options plain = {.max_pictures = 2};
        *q = (struct asked){.text = i % 4, .sampled = i % 3 > 0, .penalty = draw(&w, 3) == 0};
        for (int k = 0; k < 2; k++)
            q->shown[k] = draw(&w, 2) > 0 ? 1 + draw(&w, PICTURES) : 0;
        asker_pool_open(&p, &engine, &plain);
        q->plain = make(&w, q);
        asker_alone(&p, q->plain);
        assert_int_equal(q->plain->end.usage.reused_positions, 0);
        asker_pool_close(&p);
    }
    *state = &w;
    return 0;
}

static int forget_world(void **state) {
    struct world *w = *state;
    for (uint32_t i = 0; i < ASKED; i++)
        free(w->asked[i].plain);
    for (size_t i = 0; i < PICTURES; i++)
        free((void *)(uintptr_t)w->pictures[i].data);
    return 0;
}

static void play(struct world *w, const struct engine_options *o,
                 const struct scheduler_options *so) {
    struct asker_pool p;
    struct {
        struct asker *asker;
        const struct asked *asked;
    } places[PLACES] = {{NULL, NULL}};
    uint32_t added = 0, ended = 0, reused = 0;
    asker_pool_open(&p, o, so);
    while (ended < PLAYED) {
        for (uint32_t i = 0; i < PLACES; i++) {
            if (places[i].asker == NULL && added < PLAYED && draw(w, 4) == 0) {
                places[i].asked = &w->asked[draw(w, ASKED)];
                places[i].asker = make(w, places[i].asked);
                asker_add(&p, places[i].asker);
                added++;
            }
        }
        scheduler_step(p.scheduler);
        for (uint32_t i = 0; i < PLACES; i++) {
            struct asker *a = places[i].asker;
            if (a == NULL || !asker_ended(a))
                continue;
            if (!a->done)
                fail_msg("%s", a->why);
            asker_same(a, places[i].asked->plain);
            reused += a->end.usage.reused_positions;
            free(a);
            places[i].asker = NULL;
            ended++;
        }
    }
    print_message("%d threads: %u answers are the same, %u positions were reused\n", o->threads,
                  ended, reused);
    assert_true(reused > 0);
    asker_pool_close(&p);
}

static void test_threads_make_no_difference(void **state) {
    for (int threads = 1; threads <= 4; threads++) {
        struct engine_options o = engine;
        struct scheduler_options so = {.max_pictures = 2};
        o.threads = threads;
        play(*state, &o, &so);
    }
}

/* A bound of a millisecond cuts prompts and pictures into the shortest pieces there are. */
static void test_short_steps_make_no_difference(void **state) {
    struct engine_options o = engine;
    struct scheduler_options so = {.max_pictures = 2, .max_step_ms = 1};
    play(*state, &o, &so);
    o.threads = 2;
    so.chunk = 37;
    play(*state, &o, &so);
}

static void test_want_of_room_makes_no_difference(void **state) {
    struct engine_options o = engine;
    struct scheduler_options so = {.max_pictures = 2, .chunk = 100};
    struct asker_pool p;
    asker_pool_open(&p, &o, &so);
    o.kv_bytes = 60 * pages_bytes_per_page(pages_shape(p.engine->pages));
    asker_pool_close(&p);
    o.feature_bytes = 1; /* no picture stays */
    o.threads = 3;
    play(*state, &o, &so);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_make_no_difference),
        cmocka_unit_test(test_short_steps_make_no_difference),
        cmocka_unit_test(test_want_of_room_makes_no_difference),
    };
    return cmocka_run_group_tests(tests, make_world, forget_world);
}
