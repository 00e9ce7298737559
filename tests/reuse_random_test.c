/* reuse_random_test.c - requests at random, whose prompts meet and part, in too little memory; some
 * are cancelled, some are late, some show what is no picture. Whoever is answered is answered as by
 * an engine that has seen nothing before, to the bit, and what the broker is told is held. */
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
#include "worker/holdings.h"

#define PROMPTS 24
#define PICTURES 3
#define TENANTS 3
#define ANSWER 20 /* tokens */
#define PLACES 6  /* requests at a time */
#define REQUESTS 150
#define CHECKS 15     /* requests asked alone when all is quiet */
#define RECORDS 48    /* links that the worker keeps, in one of the rounds */
#define HELD_MAX 4096 /* links that the broker may know */
#define SEED 11       /* of chains */

static struct bytes picture[PICTURES], damaged;

/* One conversation up to a question. */
struct prompt_text {
    uint32_t turns; /* of the user */
    const char *system, *question[3];
    uint32_t shown[3];   /* 0: none, or 1 + a picture; 4 more: as an overview; 8 more: smaller */
    char reply[2][1024]; /* between the questions */
    bool penalty;
    struct asker *cold;
};

static const char *const systems[] = {
    NULL, "You look at pictures for the workers, and say what is there in a few words.",
    "You look at pictures for the broker."};
static const char *const questions[] = {
    "Where is the list of pages?", "Where is the list of words and of workers?", "Hi",
    "The broker keeps the list of pages that every worker has. A request goes to the worker that "
    "has the most of it. What is the time?"};

struct place {
    struct asker *asker; /* NULL: free */
    const struct prompt_text *text;
    struct chain chain;
    uint32_t tenant;
    bool damaged;
};

struct held {
    struct link link;
    uint32_t positions;
};

struct world {
    uint64_t random;
    struct engine_options options;
    struct asker_pool pool;
    struct prompt_text texts[PROMPTS];
    struct place places[PLACES];
    struct holdings *holdings;
    struct holdings_news news;
    struct held held[HELD_MAX]; /* as the broker knows it */
    size_t n_held;
    uint32_t answered, failed, reused, compared;
};

static uint32_t draw(struct world *w, uint32_t below) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % below;
}

static const struct scheduler_options cold_options = {.max_pictures = ASKER_PICTURES};

/* ---- conversations ---- */

static struct asker *make_asker(const struct prompt_text *p, uint32_t max_tokens,
                                const struct bytes *instead) {
    struct asker *a = asker_new(max_tokens);
    a->request.logprobs = ASKER_OTHERS;
    if (p->penalty) {
        a->request.sampling.presence_penalty = -1.5F; /* rather what the prompt has, too */
        a->request.sampling.repeat_last_n = 4096;
    }
    if (p->system != NULL) {
        asker_turn(a, ROLE_SYSTEM);
        asker_say(a, p->system);
    }
    for (uint32_t i = 0; i < p->turns; i++) {
        asker_turn(a, ROLE_USER);
        if (p->shown[i] > 0) {
            struct request_part *part = &a->parts[a->request.n_messages - 1][0];
            asker_show(a, instead != NULL ? *instead : picture[(p->shown[i] - 1) % 4]);
            part->detail = (p->shown[i] - 1) / 4 % 2 > 0 ? DETAIL_LOW : DETAIL_HIGH;
            part->max_pixels = (p->shown[i] - 1) / 8 > 0 ? 2000 : 0;
        }
        asker_say(a, p->question[i]);
        if (i + 1 < p->turns) {
            asker_turn(a, ROLE_ASSISTANT);
            asker_say(a, p->reply[i]);
        }
    }
    return a;
}

static void add_turn(struct world *w, struct prompt_text *p) {
    uint32_t i = p->turns++;
    p->question[i] = questions[draw(w, 4)];
    p->shown[i] = draw(w, 5) < 3 ? 1 + draw(w, PICTURES) : 0;
    if (p->shown[i] > 0 && draw(w, 3) == 0)
        p->shown[i] += 4 * (1 + draw(w, 3));
}

/* New ones, and those that go on from an earlier one's answer. */
static void make_texts(struct world *w) {
    struct asker_pool p;
    asker_pool_open(&p, &w->options, &cold_options);
    for (uint32_t i = 0; i < PROMPTS; i++) {
        struct prompt_text *text = &w->texts[i];
        const struct prompt_text *from = i > 3 ? &w->texts[draw(w, i)] : NULL;
        if (from != NULL && from->turns < 3 && draw(w, 3) > 0) {
            *text = *from;
            (void)snprintf(text->reply[from->turns - 1], sizeof text->reply[0], "%s",
                           draw(w, 5) > 0 ? from->cold->text : "The list is here.");
        } else {
            text->system = systems[draw(w, 3)];
        }
        text->penalty = i % 3 == 0;
        add_turn(w, text);
        struct error e;
        scheduler_close(p.scheduler); /* and its tree */
        assert_int_equal(
            scheduler_open(&p.scheduler, p.engine, &cold_options, asker_outcome, NULL, &e), 0);
        text->cold = make_asker(text, ANSWER, NULL);
        asker_alone(&p, text->cold);
        assert_int_equal(text->cold->end.usage.reused_positions, 0);
    }
    asker_pool_close(&p);
}

/* ---- what the broker knows ---- */

static size_t find_held(const struct world *w, const uint8_t *link) {
    size_t i = 0;
    while (i < w->n_held && memcmp(w->held[i].link.bytes, link, LINK_BYTES) != 0)
        i++;
    return i;
}

static void take_news(struct world *w) {
    while (w->holdings != NULL && holdings_take(w->holdings, &w->news)) {
        if (w->news.reset)
            w->n_held = 0;
        for (size_t i = 0; i < w->news.n_held; i++) {
            const uint8_t *at = w->news.held + i * LINK_HELD_BYTES;
            size_t found = find_held(w, at);
            assert_true(found < HELD_MAX);
            memcpy(w->held[found].link.bytes, at, LINK_BYTES);
            w->held[found].positions = (uint32_t)at[16] | (uint32_t)at[17] << 8 |
                                       (uint32_t)at[18] << 16 | (uint32_t)at[19] << 24;
            w->n_held += found == w->n_held;
        }
        for (size_t i = 0; i < w->news.n_dropped; i++) {
            size_t found = find_held(w, w->news.dropped + i * LINK_BYTES);
            assert_true(found < w->n_held); /* it was told */
            w->held[found] = w->held[--w->n_held];
        }
    }
}

/* What was told piece by piece is what is told anew. */
static void check_inventory(struct world *w) {
    static struct held before[HELD_MAX];
    take_news(w);
    size_t n = w->n_held;
    memcpy(before, w->held, n * sizeof before[0]);
    holdings_resync(w->holdings);
    take_news(w);
    assert_int_equal(w->n_held, n);
    for (size_t i = 0; i < n; i++) {
        size_t found = find_held(w, before[i].link.bytes);
        assert_true(found < n);
        assert_int_equal(w->held[found].positions, before[i].positions);
    }
}

/* ---- requests ---- */

static void add_request(struct world *w, struct place *p, uint32_t max_tokens, bool bad) {
    static const char *const names[TENANTS] = {"", "one", "two"};
    p->text = &w->texts[draw(w, PROMPTS)];
    p->tenant = draw(w, 5) < 3 ? 0 : draw(w, TENANTS);
    p->asker = make_asker(p->text, max_tokens, bad ? &damaged : NULL);
    p->damaged = bad && p->asker->request.n_pictures > 0;
    const char *name = names[p->tenant];
    p->asker->request.tenant = (struct bytes){(const uint8_t *)name, strlen(name)};
    struct chain_root root = {
        SEED, w->pool.engine->fingerprint, {(const uint8_t *)"t", 1}, p->asker->request.tenant};
    struct error e;
    assert_int_equal(chain_make(&p->chain, &root, &p->asker->request, p->asker->pictures, &e), 0);
    p->asker->job.chain = &p->chain;
    p->asker->job.chain_seed = SEED;
    asker_add(&w->pool, p->asker);
}

/* It is the start of the cold one, which nobody cut short. */
static void check_answer(struct world *w, const struct asker *a, const struct asker *cold) {
    uint32_t most = a->request.max_tokens;
    assert_int_equal(a->end.usage.prompt_positions, cold->end.usage.prompt_positions);
    assert_true(a->end.usage.reused_positions < a->end.usage.prompt_positions);
    assert_int_equal(a->end.usage.picture_positions, cold->end.usage.picture_positions);
    assert_int_equal(a->n_entries, most < cold->n_entries ? most : cold->n_entries);
    asker_same_entries(a, 0, cold, 0, a->n_entries);
    w->compared += a->n_entries;
}

static void end_request(struct world *w, struct place *p) {
    struct asker *a = p->asker;
    if (a->done) {
        assert_false(p->damaged);
        check_answer(w, a, p->text->cold);
        w->answered++;
        w->reused += a->end.usage.reused_positions;
    } else if (p->damaged && a->error == ERR_BAD_PICTURE) {
        w->failed++;
    } else {
        if (a->error != ERR_CANCELLED && a->error != ERR_DEADLINE)
            fail_msg("%s", a->why);
        w->failed++;
    }
    chain_clear(&p->chain);
    free(a);
    p->asker = NULL;
}

static void spoil(struct world *w, struct place *p) {
    if (p->asker == NULL)
        return;
    if (draw(w, 2) == 0)
        atomic_store(&p->asker->job.cancelled, true);
    else
        p->asker->job.deadline_us = clock_us();
}

static void run_requests(struct world *w) {
    uint32_t added = 0, steps = 0;
    while (added < REQUESTS || scheduler_count(w->pool.scheduler) > 0) {
        assert_true(++steps < 40 * REQUESTS);
        for (uint32_t burst = draw(w, 4); burst > 0; burst--) {
            struct place *p = &w->places[draw(w, PLACES)];
            if (p->asker == NULL && added < REQUESTS) {
                add_request(w, p, 1 + draw(w, ANSWER), draw(w, 20) == 0);
                added++;
            }
        }
        if (draw(w, 12) == 0)
            spoil(w, &w->places[draw(w, PLACES)]);
        scheduler_step(w->pool.scheduler);
        for (uint32_t i = 0; i < PLACES; i++)
            if (w->places[i].asker != NULL && asker_ended(w->places[i].asker))
                end_request(w, &w->places[i]);
        if (draw(w, 3) == 0)
            take_news(w);
    }
    asker_run(&w->pool); /* no page is in use */
}

/* Positions of the chain up to the first answer in it that the broker takes for held. */
static uint32_t told_held(const struct world *w, const struct chain *c) {
    uint32_t most = 0;
    for (size_t i = 0; i < c->count && c->segments[i].role != ROLE_ASSISTANT; i++) {
        size_t found = find_held(w, c->segments[i].link.bytes);
        if (found < w->n_held)
            most = w->held[found].positions;
    }
    return most;
}

/* Where nobody else is at work, a link that is held is found. */
static void check_links(struct world *w) {
    for (int i = 0; i < CHECKS; i++) {
        struct place *p = &w->places[0];
        take_news(w);
        add_request(w, p, 1, false);
        uint32_t told = told_held(w, &p->chain);
        asker_run(&w->pool);
        assert_true(p->asker->done);
        uint32_t most = p->asker->end.usage.prompt_positions - 1;
        assert_true(p->asker->end.usage.reused_positions >= (told < most ? told : most));
        end_request(w, p);
    }
}

/* ---- rounds ---- */

static void play(struct world *w, const struct engine_options *o,
                 const struct scheduler_options *so, uint32_t records) {
    struct error e;
    struct scheduler_options with = *so;
    assert_int_equal(holdings_open(&w->holdings, records, &e), 0);
    holdings_seed(w->holdings, SEED);
    with.holdings = w->holdings;
    w->n_held = w->answered = w->failed = w->reused = w->compared = 0;
    asker_pool_open(&w->pool, o, &with);
    run_requests(w);
    check_inventory(w);
    check_links(w);
    check_inventory(w);
    struct load load;
    scheduler_load(w->pool.scheduler, &load);
    print_message(
        "%u answered, %u not; %u positions reused, %u tokens compared, %u pages evicted\n",
        w->answered, w->failed, w->reused, w->compared, (unsigned)load.pages_evicted);
    assert_true(w->answered > REQUESTS / 2 && w->reused > 0);
    scheduler_close(w->pool.scheduler);
    assert_int_equal(pages_free(w->pool.engine->pages), pages_total(w->pool.engine->pages));
    engine_close(w->pool.engine);
    holdings_close(w->holdings);
    w->holdings = NULL;
}

static size_t page_bytes(const struct engine_options *o) {
    struct engine *g;
    struct error e;
    assert_int_equal(engine_open(&g, o, &e), 0);
    struct pages_shape shape = pages_shape(g->pages);
    engine_close(g);
    return pages_bytes_per_page(shape);
}

static uint32_t longest(const struct world *w) {
    uint32_t most = 0;
    for (int i = 0; i < PROMPTS; i++)
        if (w->texts[i].cold->end.usage.prompt_positions > most)
            most = w->texts[i].cold->end.usage.prompt_positions;
    return most + ANSWER;
}

static void test_whatever_is_reused_answers_stay_the_same(void **state) {
    struct world *w = *state;
    size_t bytes = page_bytes(&w->options);
    uint32_t pages = longest(w) / PAGE_POSITIONS + 1;
    print_message("the longest takes %u pages\n", pages);
    struct engine_options o = w->options;
    struct scheduler_options so = {.max_pictures = ASKER_PICTURES, .chunk = 48, .chunk_shared = 20};

    o.kv_bytes = 12 * (size_t)pages * bytes; /* all of them fit */
    play(w, &o, &so, HOLDINGS_RECORDS);
    o.kv_bytes = (pages + pages / 2) * bytes; /* most of them wait */
    o.feature_bytes = 200000;
    play(w, &o, &so, RECORDS);
    o.kv_bytes = 3 * (size_t)pages * bytes;
    o.feature_bytes = 1; /* nothing stays */
    play(w, &o, &cold_options, HOLDINGS_RECORDS);
}

static int make_world(void **state) {
    static struct world w = {.options = {.model = QUIRE_GOLDEN_DIR "/smolvlm/text.gguf",
                                         .mmproj = QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf",
                                         .threads = 1,
                                         .kv_bytes = 64u << 20,
                                         .max_sequences = PLACES}};
    const char *seed = getenv("QUIRE_TEST_SEED");
    w.random = seed != NULL ? strtoull(seed, NULL, 10) : 7;
    for (size_t i = 0; i < PICTURES; i++) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/pictures/p%zu.png", QUIRE_GOLDEN_DIR, i);
        picture[i] = asker_read(path);
    }
    damaged = asker_read(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    for (size_t i = damaged.size / 2; i < damaged.size; i++)
        ((uint8_t *)(uintptr_t)damaged.data)[i] ^= 0x5A;
    make_texts(&w);
    *state = &w;
    return 0;
}

static int forget_world(void **state) {
    struct world *w = *state;
    for (int i = 0; i < PROMPTS; i++)
        free(w->texts[i].cold);
    for (size_t i = 0; i < PICTURES; i++)
        free((void *)(uintptr_t)picture[i].data);
    free((void *)(uintptr_t)damaged.data);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_is_reused_answers_stay_the_same),
    };
    return cmocka_run_group_tests(tests, make_world, forget_world);
}
