/* asker.c - see asker.h. */
#include "tests/support/asker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/utf8.h"

static void take_entries(struct asker *a, const struct msg_tokens *tokens) {
    for (uint32_t i = 0; tokens->entries != NULL && i < tokens->n_tokens; i++) {
        const struct token_entry *entry = &tokens->entries[i];
        assert_true(a->n_entries < ASKER_TOKENS && entry->n_others <= ASKER_OTHERS);
        assert_int_equal(entry->n_others, a->request.logprobs);
        a->ids[a->n_entries] = entry->id;
        for (size_t k = 0; k < entry->n_others; k++) {
            a->other_ids[a->n_entries][k] = entry->others[k].id;
            a->others[a->n_entries][k] = entry->others[k].logprob;
        }
        a->logprobs[a->n_entries++] = entry->self.logprob;
    }
}

static void take_ids(struct asker *a, const struct outcome *o) {
    assert_true(a->n_tokens + o->tokens.n_tokens <= ASKER_TOKENS && a->n_steps <= ASKER_TOKENS);
    for (uint32_t i = 0; i < o->tokens.n_tokens; i++) {
        a->told[a->n_tokens++] = o->ids[i];
        if (o->tokens.entries != NULL)
            assert_int_equal(o->ids[i], o->tokens.entries[i].id);
    }
    a->steps[a->n_steps].n_tokens = a->n_tokens;
    a->steps[a->n_steps++].text_size = a->text_size;
}

void asker_resume(struct asker *a, const struct asker *from, uint32_t step) {
    assert_true(step < from->n_steps);
    a->n_tokens = from->steps[step].n_tokens;
    a->text_size = from->steps[step].text_size;
    memcpy(a->told, from->told, a->n_tokens * sizeof a->told[0]);
    memcpy(a->text, from->text, a->text_size);
    a->job.seed = from->end.seed;
    /* as on the wire, where this runs */
    a->job.replay = (struct bytes){(const uint8_t *)a->told, a->n_tokens * TOKEN_ID_BYTES};
    a->job.replay_bytes = a->text_size;
}

void asker_outcome(void *arg, struct job *job, const struct outcome *o) {
    (void)arg;
    struct asker *a = (struct asker *)(void *)job; /* its first member */
    assert_false(asker_ended(a));
    switch (o->kind) {
    case OUTCOME_PROGRESS:
        assert_int_equal(a->n_tokens, a->job.replay.size / TOKEN_ID_BYTES);
        assert_true(o->progress.done <= o->progress.total);
        a->n_prefill += o->progress.stage == STAGE_PREFILL;
        a->n_picture += o->progress.stage == STAGE_PICTURE;
        a->last_total = o->progress.total;
        break;
    case OUTCOME_TOKENS:
        assert_int_equal(o->tokens.index, a->n_tokens);
        assert_true(o->tokens.n_tokens > 0 || o->tokens.text.size > 0);
        assert_true(utf8_valid(o->tokens.text.data, o->tokens.text.size));
        assert_true(a->text_size + o->tokens.text.size < ASKER_TEXT_BYTES);
        memcpy(a->text + a->text_size, o->tokens.text.data, o->tokens.text.size);
        a->text_size += o->tokens.text.size;
        take_ids(a, o);
        take_entries(a, &o->tokens);
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

bool asker_ended(const struct asker *a) {
    return a->done || a->error != 0;
}

struct asker *asker_new(uint32_t max_tokens) {
    static uint8_t serial;
    struct asker *a = calloc(1, sizeof *a);
    assert_non_null(a);
    request_init(&a->request);
    memset(a->request.id.bytes, ++serial, REQUEST_ID_BYTES);
    a->request.sampling.temperature = 0;
    a->request.max_tokens = max_tokens;
    a->request.messages = a->messages;
    a->job.request = &a->request;
    a->job.pictures = a->pictures;
    a->job.arrived_us = clock_us();
    a->job.deadline_us = INT64_MAX;
    return a;
}

void asker_turn(struct asker *a, enum role role) {
    assert_true(a->request.n_messages < ASKER_MESSAGES);
    size_t i = a->request.n_messages++;
    a->messages[i] = (struct request_message){.role = role, .parts = a->parts[i]};
}

static struct request_part *next_part(struct asker *a) {
    size_t i = a->request.n_messages - 1;
    assert_true(a->messages[i].n_parts < ASKER_PARTS);
    return &a->parts[i][a->messages[i].n_parts++];
}

void asker_say(struct asker *a, const char *text) {
    *next_part(a) =
        (struct request_part){.kind = PART_TEXT, .text = {(const uint8_t *)text, strlen(text)}};
}

void asker_show(struct asker *a, struct bytes picture) {
    assert_true(a->request.n_pictures < ASKER_PICTURES);
    *next_part(a) = (struct request_part){
        .kind = PART_PICTURE, .picture = a->request.n_pictures, .detail = DETAIL_HIGH};
    a->pictures[a->request.n_pictures++] = picture;
}

struct asker *asker_make(const char *text, const struct bytes *picture, uint32_t max_tokens) {
    struct asker *a = asker_new(max_tokens);
    asker_turn(a, ROLE_USER);
    if (picture != NULL)
        asker_show(a, *picture);
    asker_say(a, text);
    return a;
}

static bool same_float(float x, float y) {
    return memcmp(&x, &y, sizeof x) == 0;
}

void asker_same_entries(const struct asker *a, uint32_t first, const struct asker *b,
                        uint32_t b_first, uint32_t n) {
    assert_true(first + n <= a->n_entries && b_first + n <= b->n_entries);
    assert_int_equal(a->request.logprobs, b->request.logprobs);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t x = first + i, y = b_first + i;
        if (a->ids[x] != b->ids[y] || !same_float(a->logprobs[x], b->logprobs[y]))
            fail_msg("token %u: %d with %.9g, and %d with %.9g the other time; %u and %u positions "
                     "were reused",
                     x, a->ids[x], (double)a->logprobs[x], b->ids[y], (double)b->logprobs[y],
                     a->end.usage.reused_positions, b->end.usage.reused_positions);
        assert_memory_equal(a->other_ids[x], b->other_ids[y], sizeof a->other_ids[x]);
        assert_memory_equal(a->others[x], b->others[y], sizeof a->others[x]);
    }
}

void asker_same(const struct asker *a, const struct asker *b) {
    assert_int_equal(a->n_entries, b->n_entries);
    asker_same_entries(a, 0, b, 0, a->n_entries);
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->told, b->told, a->n_tokens * sizeof a->told[0]);
    assert_int_equal(a->text_size, b->text_size);
    assert_memory_equal(a->text, b->text, a->text_size);
    assert_int_equal(a->end.reason, b->end.reason);
    assert_int_equal(a->end.usage.prompt_positions, b->end.usage.prompt_positions);
}

/* ---- an engine with a scheduler ---- */

void asker_pool_open(struct asker_pool *p, const struct engine_options *o,
                     const struct scheduler_options *so) {
    struct error e = {0};
    if (engine_open(&p->engine, o, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(scheduler_open(&p->scheduler, p->engine, so, asker_outcome, NULL, &e), 0);
}

void asker_pool_close(struct asker_pool *p) {
    scheduler_close(p->scheduler);
    engine_close(p->engine);
}

void asker_add(struct asker_pool *p, struct asker *a) {
    assert_true(scheduler_add(p->scheduler, &a->job));
}

void asker_run(struct asker_pool *p) {
    for (int i = 0; scheduler_count(p->scheduler) > 0; i++) {
        assert_true(i < ASKER_STEPS);
        scheduler_step(p->scheduler);
    }
    struct tree_counts c = scheduler_pages(p->scheduler);
    assert_int_equal(c.free + c.evictable, pages_total(p->engine->pages));
    assert_int_equal(c.promised, 0);
}

void asker_alone(struct asker_pool *p, struct asker *a) {
    asker_add(p, a);
    asker_run(p);
    if (a->error != 0)
        fail_msg("%s", a->why);
    assert_true(a->done);
}

struct bytes asker_read(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *data = malloc(1 << 20);
    assert_non_null(data);
    size_t n = fread(data, 1, 1 << 20, f);
    assert_true(n > 0 && n < 1 << 20);
    (void)fclose(f);
    return (struct bytes){data, n};
}
