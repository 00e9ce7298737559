/* scheduler.c - who gets what of the next step.
 *
 * Decodes come first, all of them: one row each costs little and is what people watch. Beside them
 * one piece of prompt work. Prompts take turns for it, so that a short question is not stuck behind
 * a long document; a chunk that one prompt does not fill is filled up by the next ones.
 *
 * Waiting for pages keeps the order of arrival, also where a later, smaller request would fit:
 * otherwise a large one might wait for ever. The first in line always gets its pages in the end,
 * since the context of a request is never more than all pages hold and those who have pages can
 * always finish. */
#include "worker/scheduler.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/must.h"
#include "worker/task.h"

#define RATE_KEEP 0.9 /* how much of a moving average the next measurement leaves */

struct rate {
    double us, n; /* of what was measured lately, older parts fading */
};

struct scheduler {
    struct engine *engine;
    uint32_t max_pictures, chunk, chunk_shared;
    scheduler_outcome *tell;
    void *arg;
    struct task *tasks; /* [n_tasks], owned */
    uint32_t n_tasks;
    uint32_t turn; /* the task that is asked first for prompt work */
    uint64_t next_serial;
    struct step_row *rows; /* [ENGINE_CHUNK + n_tasks], owned: the step being made */
    struct task **owners;  /* [n_tasks], owned: tasks of the rows that want logits, in order */
    struct rate prefill, decode, tile;
    uint64_t tokens_total, positions_total;
};

static void rate_add(struct rate *r, int64_t us, uint32_t n) {
    r->us = r->us * RATE_KEEP + (double)us;
    r->n = r->n * RATE_KEEP + (double)n;
}

static uint32_t rate_us(const struct rate *r) {
    if (r->n <= 0)
        return 0;
    double us = r->us / r->n;
    return us < 1 ? 1 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

int scheduler_open(struct scheduler **out, struct engine *g, const struct scheduler_options *o,
                   scheduler_outcome *tell, void *arg, struct error *e) {
    *out = NULL;
    struct scheduler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a scheduler");
    s->engine = g;
    s->tell = tell;
    s->arg = arg;
    s->max_pictures = o->max_pictures;
    s->chunk = o->chunk > 0 ? (uint32_t)o->chunk : ENGINE_CHUNK;
    s->chunk_shared = o->chunk_shared > 0 ? (uint32_t)o->chunk_shared : SCHEDULER_CHUNK_SHARED;
    MUST(s->chunk <= ENGINE_CHUNK && s->chunk_shared <= ENGINE_CHUNK);
    s->n_tasks = (uint32_t)g->max_sequences;
    s->tasks = calloc(s->n_tasks, sizeof *s->tasks);
    s->rows = calloc(ENGINE_CHUNK + s->n_tasks, sizeof *s->rows);
    s->owners = calloc(s->n_tasks, sizeof *s->owners);
    if (s->tasks == NULL || s->rows == NULL || s->owners == NULL) {
        scheduler_close(s);
        return error_set(e, ERR_NOMEM, "no memory for %u requests at a time", s->n_tasks);
    }
    *out = s;
    return 0;
}

void scheduler_close(struct scheduler *s) {
    if (s == NULL)
        return;
    for (uint32_t i = 0; s->tasks != NULL && i < s->n_tasks; i++)
        if (s->tasks[i].state != TASK_FREE)
            task_clear(&s->tasks[i]);
    free(s->tasks);
    free(s->rows);
    free(s->owners);
    free(s);
}

bool scheduler_add(struct scheduler *s, struct job *job) {
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        if (s->tasks[i].state != TASK_FREE)
            continue;
        task_start(&s->tasks[i], s->engine, job, s->tell, s->arg);
        s->tasks[i].serial = s->next_serial++;
        return true;
    }
    return false;
}

static uint32_t count_state(const struct scheduler *s, enum task_state first,
                            enum task_state last) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_tasks; i++)
        n += s->tasks[i].state >= first && s->tasks[i].state <= last;
    return n;
}

uint32_t scheduler_count(const struct scheduler *s) {
    return count_state(s, TASK_NEW, TASK_DECODE);
}

void scheduler_load(const struct scheduler *s, struct load *out) {
    *out = (struct load){
        .active = count_state(s, TASK_PREFILL, TASK_DECODE),
        .waiting = count_state(s, TASK_NEW, TASK_WAITING),
        .pages_free = pages_free(s->engine->pages),
        .prefill_us_per_position = rate_us(&s->prefill),
        .decode_us_per_token = rate_us(&s->decode),
        .tile_us = rate_us(&s->tile),
        .tokens_total = s->tokens_total,
        .positions_total = s->positions_total,
    };
}

/* ---- before the step ---- */

static void end_unwanted(struct scheduler *s) {
    int64_t now_us = clock_us();
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct task *t = &s->tasks[i];
        if (t->state == TASK_FREE)
            continue;
        if (atomic_load_explicit(&t->job->cancelled, memory_order_relaxed)) {
            task_fail(t, ERR_CANCELLED, "the request was cancelled");
        } else if (now_us >= t->job->deadline_us) {
            struct error e;
            (void)error_set(&e, ERR_DEADLINE, "the deadline passed after %u tokens of the answer",
                            t->n_tokens);
            task_fail(t, e.code, e.text);
        }
    }
}

static struct task *oldest(struct scheduler *s, enum task_state state) {
    struct task *found = NULL;
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct task *t = &s->tasks[i];
        if (t->state == state && (found == NULL || t->serial < found->serial))
            found = t;
    }
    return found;
}

/* While others decode, one prompt is tokenized per step. */
static void prepare_new(struct scheduler *s) {
    bool hurry = count_state(s, TASK_DECODE, TASK_DECODE) > 0;
    struct task *t;
    while ((t = oldest(s, TASK_NEW)) != NULL) {
        struct error e;
        if (task_prepare(t, s->max_pictures, &e) < 0)
            task_fail(t, e.code, e.text);
        if (hurry)
            return;
    }
}

static void admit_waiting(struct scheduler *s) {
    struct task *t;
    while ((t = oldest(s, TASK_WAITING)) != NULL) {
        MUST(task_pages(t) <= pages_total(s->engine->pages)); /* by engine->context */
        if (task_pages(t) > pages_free(s->engine->pages))
            return;
        struct error e;
        if (task_admit(t, clock_us(), &e) < 0)
            task_fail(t, e.code, e.text);
    }
}

/* ---- the step ---- */

static void encode_piece(struct scheduler *s, struct task *t, uint32_t picture) {
    struct error e;
    bool tile;
    int64_t begin_us = clock_us();
    if (task_encode(t, picture, &tile, &e) < 0) {
        task_fail(t, e.code, e.text);
        return;
    }
    if (tile)
        rate_add(&s->tile, clock_us() - begin_us, 1);
}

/* Prompt work: a piece of a picture for the task whose turn it is, or a chunk of rows for it and
 * those after it. Returns how many rows were added at `rows`. */
static uint32_t add_prompt_rows(struct scheduler *s, struct step_row *rows, uint32_t budget,
                                uint32_t *n_owners) {
    uint32_t used = 0, first = s->turn;
    for (uint32_t i = 0; i < s->n_tasks && used < budget; i++) {
        uint32_t slot = (first + i) % s->n_tasks;
        struct task *t = &s->tasks[slot];
        if (t->state != TASK_PREFILL)
            continue;
        uint32_t n = task_left(t) < budget - used ? task_left(t) : budget - used;
        uint32_t picture;
        bool blind = task_needs_picture(t, n, &picture);
        if (used == 0)
            s->turn = (slot + 1) % s->n_tasks;
        if (blind && used == 0) {
            encode_piece(s, t, picture);
            return 0;
        }
        if (blind)
            continue;
        task_progress(t, STAGE_PREFILL, clock_us());
        task_fill_rows(t, n, rows + used);
        if (n == task_left(t))
            s->owners[(*n_owners)++] = t;
        used += n;
    }
    return used;
}

static void run_rows(struct scheduler *s, uint32_t n_decode, uint32_t n_prompt, uint32_t n_owners,
                     int64_t begin_us) {
    const float *logits = decoder_step(s->engine->decoder, s->rows, (int32_t)(n_decode + n_prompt));
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct task *t = &s->tasks[i];
        if (t->state != TASK_PREFILL)
            continue;
        task_computed(t);
        if (task_left(t) > 0 && t->sequence.positions > 0)
            task_progress(t, STAGE_PREFILL, clock_us());
    }
    for (uint32_t i = 0; i < n_owners; i++)
        task_answer(s->owners[i], logits + (size_t)i * (size_t)s->engine->text.n_vocab);
    s->tokens_total += n_owners;
    s->positions_total += n_prompt;

    int64_t took_us = clock_us() - begin_us;
    if (n_prompt == 0)
        rate_add(&s->decode, took_us, n_decode);
    else
        rate_add(&s->prefill, took_us * n_prompt / (n_prompt + n_decode), n_prompt);
}

void scheduler_step(struct scheduler *s) {
    end_unwanted(s);
    prepare_new(s);
    admit_waiting(s);

    uint32_t n_decode = 0, n_owners = 0;
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        if (s->tasks[i].state != TASK_DECODE)
            continue;
        task_fill_decode_row(&s->tasks[i], &s->rows[n_decode++]);
        s->owners[n_owners++] = &s->tasks[i];
    }
    uint32_t budget = n_decode > 0 ? s->chunk_shared : s->chunk;
    uint32_t n_prompt = add_prompt_rows(s, s->rows + n_decode, budget, &n_owners);
    int64_t begin_us = clock_us();
    if (n_decode + n_prompt > 0)
        run_rows(s, n_decode, n_prompt, n_owners, begin_us);
}
