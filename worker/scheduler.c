/* scheduler.c - who gets what of the next step.
 *
 * Decodes come first, all of them: one row each costs little and is what people watch. Beside them
 * one piece of prompt work. Prompts take turns for it, so that a short question is not stuck behind
 * a long document; a chunk that one prompt does not fill is filled up by the next ones.
 *
 * While somebody decodes, the piece is cut so that the whole step is expected to end in time
 * (rates.h): far into a long prompt, where each position attends to more, chunks are shorter. A
 * chunk that is cut ends where a page ends.
 *
 * A prompt that goes a way which an earlier one is just computing waits for that (its leader), as
 * far as the two are equal, and takes over its pages. Who began earlier never waits for who began
 * later, so somebody always computes; when the leader ends half way, the next one finds what it
 * left and goes on.
 *
 * Waiting for pages keeps the order of arrival, also where a later, smaller request would fit:
 * otherwise a large one might wait for ever. The first in line always gets its pages in the end,
 * since the context of a request is never more than all pages hold and those who have pages can
 * always finish. */
#include "worker/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/must.h"
#include "worker/rates.h"
#include "worker/task.h"

struct scheduler {
    struct engine *engine;
    struct task_world world;
    uint32_t max_pictures, chunk, chunk_shared;
    int64_t max_step_us;
    struct task *tasks; /* [n_tasks], owned */
    uint32_t n_tasks;
    uint32_t turn; /* the task that is asked first for prompt work */
    uint64_t next_serial, next_admitted;
    struct step_row *rows; /* [ENGINE_CHUNK + n_tasks], owned: the step being made */
    struct step_size size; /* of it */
    struct task **owners;  /* [n_tasks], owned: tasks of the rows that want logits, in order */
    struct rates rates;
    uint64_t tokens_total, positions_total;
};

static void hear_of_pictures(struct engine *g, struct holdings *h) {
    if (g->feature_cache != NULL)
        feature_cache_on_drop(g->feature_cache, h != NULL ? holdings_dropped : NULL, h);
}

int scheduler_open(struct scheduler **out, struct engine *g, const struct scheduler_options *o,
                   scheduler_outcome *tell, void *arg, struct error *e) {
    *out = NULL;
    struct scheduler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a scheduler");
    s->engine = g;
    s->world = (struct task_world){.engine = g, .holdings = o->holdings, .tell = tell, .arg = arg};
    s->max_pictures = o->max_pictures;
    s->chunk = o->chunk > 0 ? (uint32_t)o->chunk : ENGINE_CHUNK;
    s->chunk_shared = o->chunk_shared > 0 ? (uint32_t)o->chunk_shared : s->chunk;
    s->max_step_us = (int64_t)(o->max_step_ms > 0 ? o->max_step_ms : SCHEDULER_MAX_STEP_MS) * 1000;
    MUST(s->chunk <= ENGINE_CHUNK && s->chunk_shared <= ENGINE_CHUNK);
    s->n_tasks = (uint32_t)g->max_sequences;
    s->tasks = calloc(s->n_tasks, sizeof *s->tasks);
    s->rows = calloc(ENGINE_CHUNK + s->n_tasks, sizeof *s->rows);
    s->owners = calloc(s->n_tasks, sizeof *s->owners);
    if (s->tasks == NULL || s->rows == NULL || s->owners == NULL) {
        scheduler_close(s);
        return error_set(e, ERR_NOMEM, "no memory for %u requests at a time", s->n_tasks);
    }
    int rc = tree_open(&s->world.tree, g->pages, s->n_tasks,
                       o->holdings != NULL ? holdings_dropped : NULL, o->holdings, e);
    if (rc < 0) {
        scheduler_close(s);
        return rc;
    }
    hear_of_pictures(g, o->holdings);
    *out = s;
    return 0;
}

void scheduler_close(struct scheduler *s) {
    if (s == NULL)
        return;
    for (uint32_t i = 0; s->tasks != NULL && i < s->n_tasks; i++)
        if (s->tasks[i].state != TASK_FREE)
            task_clear(&s->tasks[i]);
    hear_of_pictures(s->engine, NULL);
    tree_close(s->world.tree);
    token_mask_close(s->world.masks);
    free(s->tasks);
    free(s->rows);
    free(s->owners);
    free(s);
}

bool scheduler_add(struct scheduler *s, struct job *job) {
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        if (s->tasks[i].state != TASK_FREE)
            continue;
        task_start(&s->tasks[i], &s->world, job);
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

struct tree_counts scheduler_pages(const struct scheduler *s) {
    return tree_counts(s->world.tree);
}

void scheduler_load(const struct scheduler *s, struct load *out) {
    struct tree_counts pages = tree_counts(s->world.tree);
    const struct feature_cache *features = s->engine->feature_cache;
    *out = (struct load){
        .active = count_state(s, TASK_PREFILL, TASK_DECODE),
        .waiting = count_state(s, TASK_NEW, TASK_WAITING),
        .pages_free = pages.free + pages.evictable - pages.promised,
        .prefill_us_per_position = rates_position_us(&s->rates),
        .decode_us_per_token = rates_decode_us(&s->rates),
        .tile_us = rates_tile_us(&s->rates),
        .step_us = rates_step_us(&s->rates),
        .tokens_total = s->tokens_total,
        .positions_total = s->positions_total,
        .pages_evicted = pages.evicted,
        .feature_bytes = features != NULL ? feature_cache_bytes(features) : 0,
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

/* ---- leaders ---- */

static uint32_t equal_units(const struct task *a, const struct task *b, uint32_t from,
                            uint32_t to) {
    size_t size = sizeof(struct unit);
    while (from + PAGE_POSITIONS <= to &&
           memcmp(&a->units[from], &b->units[from], PAGE_POSITIONS * size) == 0)
        from += PAGE_POSITIONS;
    while (from < to && memcmp(&a->units[from], &b->units[from], size) == 0)
        from++;
    return from;
}

static bool same_tenant(const struct task *a, const struct task *b) {
    return a->path.tenant == b->path.tenant;
}

/* The task that began before t and is computing the longest stretch of what t needs next, if that
 * is a whole page at least. Equal stretches never grow, so who finds none needs not look again. */
static void find_leader(struct scheduler *s, struct task *t) {
    uint32_t most = (uint32_t)t->prompt.count - 1, known = t->path.known;
    uint32_t page_end = (known / PAGE_POSITIONS + 1) * PAGE_POSITIONS;
    t->leader = NULL;
    t->follow_to = 0;
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        const struct task *u = &s->tasks[i];
        if (u->state != TASK_PREFILL || u->admitted >= t->admitted || !same_tenant(u, t))
            continue;
        uint32_t end = most < (uint32_t)u->prompt.count ? most : (uint32_t)u->prompt.count;
        end = equal_units(t, u, 0, end);
        if (end >= page_end && end > u->path.known && end > t->follow_to) {
            t->leader = u;
            t->leader_serial = u->serial;
            t->follow_to = end;
        }
    }
}

static bool is_led(const struct task *t) {
    const struct task *u = t->leader;
    return u != NULL && u->state == TASK_PREFILL && u->serial == t->leader_serial &&
           u->path.known < t->follow_to && t->path.known < t->follow_to;
}

/* Takes over what others have computed; whose leader has gone or got to where they part may find
 * another. */
static void follow(struct scheduler *s) {
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct task *t = &s->tasks[i];
        if (t->state != TASK_PREFILL)
            continue;
        task_follow(t);
        if (t->leader != NULL && !is_led(t))
            find_leader(s, t);
    }
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

/* Tasks whose pictures are all known by now, perhaps through another's work, join those that wait.
 */
static void look_again(struct scheduler *s) {
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct task *t = &s->tasks[i];
        struct error e;
        bool known;
        uint32_t picture;
        if (t->state == TASK_LOOK && task_look(t, &known, &picture, &e) < 0)
            task_fail(t, e.code, e.text);
    }
}

static void admit_waiting(struct scheduler *s) {
    struct task *t;
    while ((t = oldest(s, TASK_WAITING)) != NULL) {
        MUST(task_pages(t) <= pages_total(s->engine->pages)); /* by engine->context */
        struct error e;
        int rc = task_admit(t, s->next_admitted + 1, clock_us(), &e);
        if (rc == ERR_LIMIT)
            return;
        if (rc < 0) {
            task_fail(t, e.code, e.text);
            continue;
        }
        s->next_admitted++;
        find_leader(s, t);
    }
}

/* ---- the step ---- */

/* For the tower, in a step that holds others' tokens: what they are expected to leave of it. */
static int64_t piece_budget_us(const struct scheduler *s) {
    int64_t left_us = s->max_step_us - (int64_t)rates_predict_us(&s->rates, s->size);
    return left_us > SCHEDULER_PIECE_LEAST_US ? left_us : SCHEDULER_PIECE_LEAST_US;
}

static void work_piece(struct scheduler *s, struct task *t, uint32_t picture, bool shared) {
    struct error e;
    struct features_done done;
    if (task_work(t, picture, shared ? piece_budget_us(s) : 0, &done, &e) < 0) {
        task_fail(t, e.code, e.text);
        return;
    }
    for (int32_t i = 0; i < done.tiles; i++)
        rates_tile(&s->rates, done.us_each_tile);
}

/* What of t's prompt may be computed now: a picture's piece first, or up to *n of its positions. */
enum prompt_work { WORK_NONE, WORK_PICTURE, WORK_ROWS };

static enum prompt_work work_of(struct task *t, uint32_t *n, uint32_t *picture) {
    struct error e;
    bool known;
    if (t->state == TASK_LOOK && task_look(t, &known, picture, &e) == 0 && !known)
        return WORK_PICTURE;
    if (t->state != TASK_PREFILL || is_led(t))
        return WORK_NONE;
    *n = task_left(t) < *n ? task_left(t) : *n;
    return task_needs_picture(t, *n, picture) ? WORK_PICTURE : WORK_ROWS;
}

/* How many positions, of up to `room`, the step still takes from position `first` on. The step has
 * `used` of prompts by now. */
static uint32_t take_positions(const struct scheduler *s, uint32_t first, uint32_t room,
                               uint32_t used) {
    uint32_t n = rates_positions_within(&s->rates, s->size, first, room, s->max_step_us);
    uint32_t over = (first + n) % PAGE_POSITIONS;
    if (n < room)
        n = over < n ? n - over : 0;
    if (n == 0 && used == 0)
        n = room < SCHEDULER_CHUNK_LEAST ? room : SCHEDULER_CHUNK_LEAST;
    return n;
}

/* Prompt work: a piece of a picture for the task whose turn it is, or a chunk of rows for it and
 * those after it. Returns how many rows were added at `rows`. */
static uint32_t add_prompt_rows(struct scheduler *s, struct step_row *rows, bool shared,
                                uint32_t *n_owners) {
    uint32_t used = 0, first = s->turn, budget = shared ? s->chunk_shared : s->chunk;
    for (uint32_t i = 0; i < s->n_tasks && used < budget; i++) {
        uint32_t slot = (first + i) % s->n_tasks;
        struct task *t = &s->tasks[slot];
        uint32_t picture, n = budget - used;
        if (shared)
            n = take_positions(s, t->path.known, n, used);
        enum prompt_work work = n > 0 ? work_of(t, &n, &picture) : WORK_NONE;
        if (work == WORK_NONE)
            continue;
        if (used == 0)
            s->turn = (slot + 1) % s->n_tasks;
        if (work == WORK_PICTURE && used == 0) {
            work_piece(s, t, picture, shared);
            return 0;
        }
        if (work == WORK_PICTURE)
            continue;
        task_progress(t, STAGE_PREFILL, clock_us());
        task_fill_rows(t, n, rows + used);
        if (n == task_left(t))
            s->owners[(*n_owners)++] = t;
        step_size_add(&s->size, t->path.known, n);
        used += n;
    }
    return used;
}

/* What pages are worth is what it would take to compute them again. */
static void update_cost(struct scheduler *s) {
    uint32_t per_tile = s->engine->sees ? (uint32_t)s->engine->vision_model.n_out : 1;
    s->world.cost.position_us = rates_position_us(&s->rates);
    s->world.cost.picture_position_us = rates_tile_us(&s->rates) / per_tile;
}

static void run_rows(struct scheduler *s, uint32_t n_decode, uint32_t n_prompt, uint32_t n_owners,
                     int64_t begin_us) {
    const float *logits = decoder_step(s->engine->decoder, s->rows, (int32_t)(n_decode + n_prompt));
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        struct task *t = &s->tasks[i];
        bool prompt = t->state == TASK_PREFILL;
        if (prompt || t->state == TASK_DECODE)
            task_computed(t);
        if (prompt && task_left(t) > 0 && t->path.known > 0)
            task_progress(t, STAGE_PREFILL, clock_us());
    }
    for (uint32_t i = 0; i < n_owners; i++)
        task_answer(s->owners[i], logits + (size_t)i * (size_t)s->engine->text.n_vocab);
    s->tokens_total += n_owners;
    s->positions_total += n_prompt;

    int64_t took_us = clock_us() - begin_us;
    if (n_prompt == 0)
        rates_decode_step(&s->rates, n_decode, took_us);
    else
        rates_prompt_step(&s->rates, s->size, took_us);
    update_cost(s);
}

void scheduler_step(struct scheduler *s) {
    end_unwanted(s);
    prepare_new(s);
    look_again(s);
    admit_waiting(s);
    follow(s);

    uint32_t n_decode = 0, n_owners = 0;
    s->size = (struct step_size){0, 0};
    for (uint32_t i = 0; i < s->n_tasks; i++) {
        if (s->tasks[i].state != TASK_DECODE)
            continue;
        task_fill_decode_row(&s->tasks[i], &s->rows[n_decode++]);
        step_size_add(&s->size, s->tasks[i].path.known, 1);
        s->owners[n_owners++] = &s->tasks[i];
    }
    uint32_t n_prompt = add_prompt_rows(s, s->rows + n_decode, n_decode > 0, &n_owners);
    int64_t begin_us = clock_us();
    if (n_decode + n_prompt > 0)
        run_rows(s, n_decode, n_prompt, n_owners, begin_us);
}
