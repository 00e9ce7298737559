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
#include "common/utf8.h"
#include "worker/scheduler.h"

#define SMOLVLM QUIRE_GOLDEN_DIR "/smolvlm/text.gguf"
#define SMOLVLM_MMPROJ QUIRE_GOLDEN_DIR "/smolvlm/mmproj.gguf"
#define TOKENS_MAX 512
#define TEXT_BYTES 16384
#define STEPS_MAX 20000 /* no test needs more: a scheduler that never ends fails */

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

/* ---- a request and all that came of it ---- */

struct asker {
    struct job job;
    struct request request;
    struct request_message message;
    struct request_part parts[3];
    struct bytes pictures[2];

    char text[TEXT_BYTES];
    size_t text_size;
    uint32_t n_tokens; /* told */
    int32_t ids[TOKENS_MAX];
    float logprobs[TOKENS_MAX];
    uint32_t n_entries;
    uint32_t n_prefill, n_picture; /* PROGRESS of either stage */
    uint32_t last_total;
    bool done;
    struct msg_done end;
    int error; /* 0: none */
    char why[ERROR_TEXT_BYTES];
};

static void on_outcome(void *arg, struct job *job, const struct outcome *o) {
    (void)arg;
    struct asker *a = (struct asker *)(void *)job; /* its first member */
    assert_false(a->done);
    assert_int_equal(a->error, 0);
    switch (o->kind) {
    case OUTCOME_PROGRESS:
        assert_int_equal(a->n_tokens, 0);
        assert_true(o->progress.done <= o->progress.total);
        a->n_prefill += o->progress.stage == STAGE_PREFILL;
        a->n_picture += o->progress.stage == STAGE_PICTURE;
        a->last_total = o->progress.total;
        break;
    case OUTCOME_TOKENS:
        assert_int_equal(o->tokens.index, a->n_tokens);
        assert_true(o->tokens.n_tokens > 0 || o->tokens.text.size > 0);
        assert_true(utf8_valid(o->tokens.text.data, o->tokens.text.size));
        assert_true(a->text_size + o->tokens.text.size < TEXT_BYTES);
        memcpy(a->text + a->text_size, o->tokens.text.data, o->tokens.text.size);
        a->text_size += o->tokens.text.size;
        a->n_tokens += o->tokens.n_tokens;
        for (uint32_t i = 0; o->tokens.entries != NULL && i < o->tokens.n_tokens; i++) {
            assert_true(a->n_entries < TOKENS_MAX);
            assert_int_equal(o->tokens.entries[i].n_others, a->request.logprobs);
            a->ids[a->n_entries] = o->tokens.entries[i].id;
            a->logprobs[a->n_entries++] = o->tokens.entries[i].self.logprob;
        }
        break;
    case OUTCOME_DONE:
        a->done = true;
        a->end = o->done;
        assert_int_equal(a->end.usage.answer_tokens, a->n_tokens);
        assert_memory_equal(a->end.id.bytes, a->request.id.bytes, REQUEST_ID_BYTES);
        break;
    case OUTCOME_ERROR:
        a->error = o->error.code;
        (void)snprintf(a->why, sizeof a->why, "%.*s", (int)o->error.text.size,
                       (const char *)o->error.text.data);
        break;
    }
}

/* A greedy request of one user message: text, with the picture (or NULL) before it. */
static struct asker *make_asker(const char *text, const struct bytes *picture,
                                uint32_t max_tokens) {
    static uint8_t serial;
    struct asker *a = calloc(1, sizeof *a);
    assert_non_null(a);
    request_init(&a->request);
    memset(a->request.id.bytes, ++serial, REQUEST_ID_BYTES);
    a->request.sampling.temperature = 0;
    a->request.max_tokens = max_tokens;
    a->request.messages = &a->message;
    a->request.n_messages = 1;
    a->message.role = ROLE_USER;
    a->message.parts = a->parts;
    if (picture != NULL) {
        a->parts[a->message.n_parts++] = (struct request_part){.kind = PART_PICTURE};
        a->pictures[0] = *picture;
        a->request.n_pictures = 1;
    }
    a->parts[a->message.n_parts++] =
        (struct request_part){.kind = PART_TEXT, .text = {(const uint8_t *)text, strlen(text)}};
    a->job.request = &a->request;
    a->job.pictures = a->pictures;
    a->job.arrived_us = clock_us();
    a->job.deadline_us = INT64_MAX;
    return a;
}

static bool ended(const struct asker *a) {
    return a->done || a->error != 0;
}

/* ---- engines ---- */

struct pool {
    struct engine *engine;
    struct scheduler *scheduler;
};

static void open_pool(struct pool *p, const struct engine_options *o,
                      const struct scheduler_options *so) {
    struct error e = {0};
    if (engine_open(&p->engine, o, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(scheduler_open(&p->scheduler, p->engine, so, on_outcome, NULL, &e), 0);
}

static void close_pool(struct pool *p) {
    scheduler_close(p->scheduler);
    engine_close(p->engine);
}

static const struct engine_options seeing = {
    .model = SMOLVLM,
    .mmproj = SMOLVLM_MMPROJ,
    .threads = 1,
    .kv_bytes = 64u << 20,
    .max_sequences = 4,
};
static const struct scheduler_options usual = {.max_pictures = 2};

static void run_all(struct pool *p) {
    for (int i = 0; scheduler_count(p->scheduler) > 0; i++) {
        assert_true(i < STEPS_MAX);
        scheduler_step(p->scheduler);
    }
    assert_int_equal(pages_free(p->engine->pages), pages_total(p->engine->pages));
}

static void add(struct pool *p, struct asker *a) {
    assert_true(scheduler_add(p->scheduler, &a->job));
}

static void ask_alone(struct pool *p, struct asker *a) {
    add(p, a);
    run_all(p);
    if (a->error != 0)
        fail_msg("%s", a->why);
    assert_true(a->done);
}

static struct bytes read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *data = malloc(1 << 20);
    assert_non_null(data);
    size_t n = fread(data, 1, 1 << 20, f);
    assert_true(n > 0 && n < 1 << 20);
    (void)fclose(f);
    return (struct bytes){data, n};
}

static void assert_same_answer(const struct asker *a, const struct asker *b) {
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_int_equal(a->n_entries, b->n_entries);
    assert_memory_equal(a->ids, b->ids, a->n_entries * sizeof a->ids[0]);
    for (uint32_t i = 0; i < a->n_entries; i++)
        assert_float_equal(a->logprobs[i], b->logprobs[i], 0.01F);
    assert_string_equal(a->text, b->text);
}

/* ---- tests ---- */

static void test_requests_together_answer_as_alone(void **state) {
    (void)state;
    static const char *const texts[] = {
        "Where is the picture?", "Pages of the list and the words of workers.",
        "What do you see here? Say it in one word, or in two.", "Time!"};
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct asker *alone[4], *together[4];
    struct pool p;
    open_pool(&p, &seeing, &usual);
    for (int i = 0; i < 4; i++) {
        const struct bytes *shown = i % 2 == 0 ? &picture : NULL;
        alone[i] = make_asker(texts[i], shown, 24 + 3 * (uint32_t)i);
        together[i] = make_asker(texts[i], shown, 24 + 3 * (uint32_t)i);
        alone[i]->request.logprobs = together[i]->request.logprobs = 2;
        ask_alone(&p, alone[i]);
        assert_true(alone[i]->n_tokens > 3);
    }
    add(&p, together[0]);
    scheduler_step(p.scheduler);
    add(&p, together[1]);
    scheduler_step(p.scheduler);
    scheduler_step(p.scheduler);
    add(&p, together[2]);
    add(&p, together[3]);
    run_all(&p);
    for (int i = 0; i < 4; i++) {
        assert_true(together[i]->done);
        assert_same_answer(alone[i], together[i]);
        assert_int_equal(alone[i]->end.reason, together[i]->end.reason);
        free(alone[i]);
        free(together[i]);
    }
    free((void *)(uintptr_t)picture.data);
    close_pool(&p);
}

static void test_chunks_make_no_difference(void **state) {
    (void)state;
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p1.png");
    struct asker *whole = make_asker("Which pages does the broker keep?", &picture, 12);
    struct asker *small = make_asker("Which pages does the broker keep?", &picture, 12);
    whole->request.logprobs = small->request.logprobs = 1;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    ask_alone(&p, whole);
    close_pool(&p);
    struct scheduler_options tiny = {.max_pictures = 1, .chunk = 7, .chunk_shared = 3};
    open_pool(&p, &seeing, &tiny);
    ask_alone(&p, small);
    assert_same_answer(whole, small);
    close_pool(&p);
    free(whole);
    free(small);
    free((void *)(uintptr_t)picture.data);
}

static void test_done_tells_what_was_used(void **state) {
    (void)state;
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p2.png");
    struct asker *a = make_asker("What is this?", &picture, 9);
    struct pool p;
    open_pool(&p, &seeing, &usual);
    ask_alone(&p, a);
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
    close_pool(&p);
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
    struct pool p;
    open_pool(&p, &seeing, &so);
    char *text = long_text(200);
    struct asker *quick = make_asker("Where is it?", NULL, 200);
    struct asker *slow = make_asker(text, NULL, 4);
    quick->request.logprobs = 1; /* told token by token */
    add(&p, quick);
    while (quick->n_tokens == 0 && !ended(quick))
        scheduler_step(p.scheduler);
    add(&p, slow);
    int steps = 0;
    while (slow->n_tokens == 0 && !ended(slow) && !ended(quick)) {
        uint32_t before = quick->n_tokens;
        scheduler_step(p.scheduler);
        assert_true(ended(quick) || quick->n_tokens == before + 1);
        steps++;
    }
    assert_true(steps >= 10); /* 200 positions at least, 16 at a time */
    run_all(&p);
    assert_true(slow->done && quick->done);
    close_pool(&p);
    free(quick);
    free(slow);
    free(text);
}

static void test_a_short_prompt_does_not_wait_for_a_long_one(void **state) {
    (void)state;
    struct scheduler_options so = {.max_pictures = 2, .chunk = 16, .chunk_shared = 16};
    struct pool p;
    open_pool(&p, &seeing, &so);
    char *text = long_text(400);
    struct asker *slow = make_asker(text, NULL, 2), *quick = make_asker("Hi", NULL, 2);
    add(&p, slow);
    add(&p, quick);
    while (!ended(quick) && !ended(slow))
        scheduler_step(p.scheduler);
    assert_true(quick->done);
    assert_int_equal(slow->n_tokens, 0);
    run_all(&p);
    assert_true(slow->done);
    close_pool(&p);
    free(quick);
    free(slow);
    free(text);
}

static void test_cancel_takes_effect_within_one_step(void **state) {
    (void)state;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *a = make_asker("Where is it?", NULL, 400), *b = make_asker("Pages", NULL, 5);
    add(&p, a);
    while (a->n_tokens == 0)
        scheduler_step(p.scheduler);
    add(&p, b);
    atomic_store(&a->job.cancelled, true);
    scheduler_step(p.scheduler);
    assert_int_equal(a->error, ERR_CANCELLED);
    run_all(&p);
    assert_true(b->done);
    close_pool(&p);
    free(a);
    free(b);
}

static void test_deadline_ends_a_request_at_any_stage(void **state) {
    (void)state;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *late = make_asker("Where is it?", NULL, 400);
    late->job.deadline_us = clock_us() - 1;
    add(&p, late);
    scheduler_step(p.scheduler);
    assert_int_equal(late->error, ERR_DEADLINE);
    struct asker *running = make_asker("Where is it?", NULL, 400);
    add(&p, running);
    while (running->n_tokens == 0)
        scheduler_step(p.scheduler);
    running->job.deadline_us = clock_us() - 1;
    scheduler_step(p.scheduler);
    assert_int_equal(running->error, ERR_DEADLINE);
    run_all(&p);
    close_pool(&p);
    free(late);
    free(running);
}

static void test_what_never_fits_is_refused_with_figures(void **state) {
    (void)state;
    struct engine_options small = seeing;
    small.context = 64;
    struct pool p;
    open_pool(&p, &small, &usual);
    assert_int_equal(p.engine->context, 64);
    char *text = long_text(100), *endless = long_text(1000000);
    struct asker *a = make_asker(text, NULL, 4), *b = make_asker("Hi", NULL, 4);
    struct asker *c = make_asker(endless, NULL, 4);
    add(&p, a);
    add(&p, b);
    add(&p, c);
    run_all(&p);
    assert_int_equal(a->error, ERR_TOO_LONG);
    assert_non_null(strstr(a->why, "6")); /* 63 or 64 */
    assert_int_equal(c->error, ERR_TOO_LONG);
    assert_non_null(strstr(c->why, "6000"));
    assert_true(b->done);
    close_pool(&p);
    free(a);
    free(b);
    free(c);
    free(text);
    free(endless);
}

static void test_answer_is_cut_where_the_context_ends(void **state) {
    (void)state;
    struct engine_options small = seeing;
    struct pool p;
    open_pool(&p, &small, &usual);
    struct asker *a = make_asker("Where is it?", NULL, 40);
    a->request.logprobs = 1;
    ask_alone(&p, a);
    close_pool(&p);
    assert_true(a->n_tokens > 5); /* so that 5 are a cut */
    small.context = a->end.usage.prompt_positions + 5;
    open_pool(&p, &small, &usual);
    struct asker *b = make_asker("Where is it?", NULL, LIMIT_MAX_TOKENS);
    b->request.logprobs = 1;
    ask_alone(&p, b);
    assert_int_equal(b->end.reason, FINISH_LENGTH);
    assert_int_equal(b->n_tokens, 5);
    assert_memory_equal(a->ids, b->ids, 5 * sizeof a->ids[0]);
    close_pool(&p);
    free(a);
    free(b);
}

static void test_bad_picture_fails_only_its_own_request(void **state) {
    (void)state;
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct bytes cut = {picture.data, picture.size / 2};
    struct bytes junk = {(const uint8_t *)"GIF89a.....................", 27};
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *good = make_asker("Where?", &picture, 6);
    struct asker *half = make_asker("Where?", &cut, 6), *other = make_asker("Where?", &junk, 6);
    add(&p, half);
    add(&p, good);
    add(&p, other);
    run_all(&p);
    assert_int_equal(half->error, ERR_BAD_PICTURE);
    assert_non_null(strstr(half->why, "picture 1"));
    assert_int_equal(other->error, ERR_BAD_PICTURE);
    assert_true(good->done);
    close_pool(&p);
    free(good);
    free(half);
    free(other);
    free((void *)(uintptr_t)picture.data);
}

static void test_a_text_model_refuses_pictures(void **state) {
    (void)state;
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct engine_options blind = seeing;
    blind.mmproj = NULL;
    struct pool p;
    open_pool(&p, &blind, &usual);
    struct asker *a = make_asker("Where?", &picture, 6), *b = make_asker("Where?", NULL, 6);
    add(&p, a);
    add(&p, b);
    run_all(&p);
    assert_int_equal(a->error, ERR_BAD_REQUEST);
    assert_true(b->done);
    close_pool(&p);
    free(a);
    free(b);
    free((void *)(uintptr_t)picture.data);
}

static void test_too_many_pictures_are_refused(void **state) {
    (void)state;
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct scheduler_options one = {.max_pictures = 1};
    struct pool p;
    open_pool(&p, &seeing, &one);
    struct asker *a = make_asker("Where?", &picture, 6);
    a->parts[2] = (struct request_part){.kind = PART_PICTURE, .picture = 1};
    a->message.n_parts = 3;
    a->pictures[1] = picture;
    a->request.n_pictures = 2;
    add(&p, a);
    run_all(&p);
    assert_int_equal(a->error, ERR_LIMIT);
    close_pool(&p);
    free(a);
    free((void *)(uintptr_t)picture.data);
}

static void test_stop_string_ends_the_answer_before_it(void **state) {
    (void)state;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *free_one = make_asker("Where is it?", NULL, 30);
    ask_alone(&p, free_one);
    assert_true(free_one->text_size > 20);
    size_t at = free_one->text_size / 2;
    while (((uint8_t)free_one->text[at] & 0xC0) == 0x80)
        at++;
    size_t end = at + 4;
    while (((uint8_t)free_one->text[end] & 0xC0) == 0x80)
        end++;
    struct bytes stop = {(const uint8_t *)free_one->text + at, end - at};
    struct asker *a = make_asker("Where is it?", NULL, 30);
    a->request.stops = &stop;
    a->request.n_stops = 1;
    ask_alone(&p, a);
    assert_int_equal(a->end.reason, FINISH_STOP);
    const char *first = memmem(free_one->text, free_one->text_size, stop.data, stop.size);
    assert_int_equal(a->text_size, first - free_one->text);
    assert_memory_equal(a->text, free_one->text, a->text_size);
    assert_true(a->n_tokens <= free_one->n_tokens);
    close_pool(&p);
    free(a);
    free(free_one);
}

static void test_requests_wait_for_pages_and_then_run(void **state) {
    (void)state;
    struct engine_options tight = seeing;
    struct pool p;
    open_pool(&p, &tight, &usual);
    struct pages_shape shape = {p.engine->text.n_layer, p.engine->text.n_head_kv,
                                p.engine->text.head_dim};
    close_pool(&p);
    tight.kv_bytes = 10 * pages_bytes_per_page(shape); /* 160 positions */
    open_pool(&p, &tight, &usual);
    assert_int_equal(pages_total(p.engine->pages), 10);
    struct asker *a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = make_asker("Where is it?", NULL, 90);
        add(&p, a[i]);
    }
    for (int i = 0; scheduler_count(p.scheduler) > 0; i++) {
        struct load load;
        assert_true(i < STEPS_MAX);
        scheduler_step(p.scheduler);
        scheduler_load(p.scheduler, &load);
        assert_true(load.active <= 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_true(a[i]->done);
        assert_same_answer(a[i], a[0]);
    }
    for (int i = 0; i < 3; i++)
        free(a[i]);
    close_pool(&p);
}

static void test_a_full_scheduler_takes_no_more(void **state) {
    (void)state;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *a[5];
    for (int i = 0; i < 5; i++)
        a[i] = make_asker("Hi", NULL, 2);
    for (int i = 0; i < 4; i++)
        add(&p, a[i]);
    assert_false(scheduler_add(p.scheduler, &a[4]->job));
    run_all(&p);
    ask_alone(&p, a[4]);
    for (int i = 0; i < 5; i++)
        free(a[i]);
    close_pool(&p);
}

static void test_the_seed_that_done_names_draws_the_same_again(void **state) {
    (void)state;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *a[3];
    for (int i = 0; i < 3; i++) {
        a[i] = make_asker("Where is it?", NULL, 20);
        a[i]->request.logprobs = 1;
        a[i]->request.sampling.temperature = 5;
        a[i]->request.sampling.top_k = 0;
        a[i]->request.sampling.top_p = 1;
        a[i]->request.sampling.min_p = 0;
    }
    ask_alone(&p, a[0]);
    a[1]->request.sampling.has_seed = true;
    a[1]->request.sampling.seed = a[0]->end.seed;
    ask_alone(&p, a[1]);
    assert_same_answer(a[0], a[1]);
    assert_int_equal(a[1]->end.seed, a[0]->end.seed);
    ask_alone(&p, a[2]); /* another seed is drawn, and so another answer */
    assert_int_not_equal(a[2]->end.seed, a[0]->end.seed);
    assert_string_not_equal(a[2]->text, a[0]->text);
    for (int i = 0; i < 3; i++)
        free(a[i]);
    close_pool(&p);
}

static void test_decoding_allocates_nothing(void **state) {
    (void)state;
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *a = make_asker("Where is it?", NULL, 60), *b = make_asker("Pages", NULL, 60);
    struct bytes stop = {(const uint8_t *)"no such text", 12};
    a->request.stops = &stop;
    a->request.n_stops = 1;
    b->request.logprobs = 5;
    add(&p, a);
    add(&p, b);
    while (a->n_tokens == 0 || b->n_tokens == 0)
        scheduler_step(p.scheduler);
    int steps = 0;
    while (!ended(a) && !ended(b)) {
        unsigned long before = allocations;
        scheduler_step(p.scheduler);
        assert_int_equal(allocations, before);
        steps++;
    }
    assert_true(steps > 3);
    assert_true(allocations > 0); /* they are counted */
    run_all(&p);
    free(a);
    free(b);
    close_pool(&p);
}

static void test_closing_gives_back_what_was_under_way(void **state) {
    (void)state;
    struct bytes picture = read_file(QUIRE_GOLDEN_DIR "/pictures/p0.png");
    struct pool p;
    open_pool(&p, &seeing, &usual);
    struct asker *a = make_asker("Where?", &picture, 60), *b = make_asker("Hi", NULL, 60);
    add(&p, b);
    scheduler_step(p.scheduler);
    add(&p, a);
    scheduler_step(p.scheduler); /* its picture is decoded, its tiles are not all there */
    close_pool(&p);
    assert_false(ended(a));
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
