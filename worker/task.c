/* task.c - one request's life, and its prompt.
 *
 * Pages for prompt and answer are promised together before the first position is computed: a
 * request that has begun can always go on, so none has to be thrown out again half way and no two
 * can wait for each other's pages.
 *
 * A task that ends before its prompt is computed leaves complete pages only: half a page of half a
 * prompt is worth little, and its page is. */
#include "worker/task.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/must.h"

void task_start(struct task *t, struct task_world *w, struct job *job) {
    MUST(t->state == TASK_FREE);
    memset(t, 0, sizeof *t);
    t->state = TASK_NEW;
    t->world = w;
    t->job = job;
}

void task_clear(struct task *t) {
    task_links_close(&t->links);
    tree_end(t->world->tree, &t->path, t->state == TASK_DECODE, t->world->cost);
    prompt_clear(&t->prompt);
    features_close(&t->features);
    stream_close(&t->stream);
    task_constraint_close(t);
    free(t->units);
    free(t->picture_ends);
    free(t->history);
    memset(t, 0, sizeof *t);
}

void task_fail(struct task *t, int code, const char *text) {
    struct outcome o = {.kind = OUTCOME_ERROR};
    o.error.has_id = true;
    o.error.id = t->job->request->id;
    o.error.code = code;
    o.error.text = (struct bytes){(const uint8_t *)text, strlen(text)};
    t->world->tell(t->world->arg, t->job, &o);
    task_clear(t);
}

/* ---- the prompt ---- */

uint32_t task_left(const struct task *t) {
    return t->n_units - t->path.known;
}

bool task_needs_picture(struct task *t, uint32_t window, uint32_t *picture) {
    for (uint32_t i = t->path.known; i < t->prompt.count && i - t->path.known < window; i++) {
        const struct position_unit *unit = &t->prompt.units[i];
        if (unit->token < 0 && !features_complete(&t->features, unit->picture)) {
            *picture = unit->picture;
            return true;
        }
    }
    return false;
}

int task_work(struct task *t, uint32_t picture, int64_t budget_us, struct features_done *done,
              struct error *e) {
    int64_t begin_us = clock_us();
    task_progress(t, STAGE_PICTURE, begin_us);
    int rc = features_work(&t->features, picture, budget_us, done, e);
    int64_t end_us = clock_us();
    *(t->state == TASK_LOOK ? &t->look_us : &t->encode_us) += end_us - begin_us;
    if (rc == 0)
        task_progress(t, STAGE_PICTURE, end_us);
    return rc;
}

void task_drop_pictures(struct task *t, uint32_t computed_from) {
    for (uint32_t i = 0; i < t->features.count; i++) {
        uint32_t end = t->picture_ends[i];
        if (end == 0 || end > t->path.known)
            continue;
        if (computed_from < end && t->step_rows > 0)
            task_links_picture(&t->links, i, features_tag(&t->features, i));
        features_drop(&t->features, i);
    }
}

void task_follow(struct task *t) {
    uint32_t left = task_left(t), known = t->path.known;
    if (left > 1 && tree_follow(t->world->tree, &t->path, t->units + known, left - 1) > 0)
        task_drop_pictures(t, 0);
}

/* NULL for a token. */
static const float *embedding_at(struct task *t, uint32_t position) {
    if (t->units[position].token >= 0)
        return NULL;
    const struct position_unit *unit = &t->prompt.units[position];
    return features_row(&t->features, unit->picture, unit->row);
}

void task_fill_rows(struct task *t, uint32_t n, struct step_row *rows) {
    MUST(n <= task_left(t));
    tree_reserve(t->world->tree, &t->path, t->path.known + n);
    t->step_rows = n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t position = t->path.known + i;
        rows[i] = (struct step_row){
            .sequence = &t->path.sequence,
            .position = position,
            .token = t->units[position].token,
            .embedding = embedding_at(t, position),
            .want_logits = position + 1 == t->n_units,
        };
    }
}

void task_fill_decode_row(struct task *t, struct step_row *row) {
    tree_reserve(t->world->tree, &t->path, t->path.known + 1);
    *row = (struct step_row){
        .sequence = &t->path.sequence,
        .position = t->path.known,
        .token = t->last_token,
        .embedding = NULL,
        .want_logits = true,
    };
}

void task_computed(struct task *t) {
    struct tree *tree = t->world->tree;
    if (t->state == TASK_DECODE) {
        struct unit unit = {.token = t->last_token};
        tree_computed(tree, &t->path, &unit, 1);
        return;
    }
    if (t->step_rows == 0)
        return;
    uint32_t from = t->path.known;
    tree_computed(tree, &t->path, t->units + from, t->step_rows);
    for (uint32_t i = from; i < from + t->step_rows; i++)
        t->computed += i < t->prompt.count;
    task_drop_pictures(t, from);
    t->step_rows = 0;
    if (task_left(t) == 0)
        task_links_prompt(&t->links, tree, &t->path);
}

void task_progress(struct task *t, enum progress_stage stage, int64_t now_us) {
    bool begins = (t->told_stages & (1u << stage)) == 0;
    if (!begins && now_us - t->told_us < SCHEDULER_PROGRESS_US)
        return;
    t->told_us = now_us;
    t->told_stages |= 1u << stage;
    struct outcome o = {.kind = OUTCOME_PROGRESS};
    o.progress.id = t->job->request->id;
    o.progress.stage = stage;
    o.progress.done = t->path.known;
    o.progress.total = t->n_units;
    if (stage == STAGE_PICTURE)
        features_progress(&t->features, &o.progress.done, &o.progress.total);
    t->world->tell(t->world->arg, t->job, &o);
}
