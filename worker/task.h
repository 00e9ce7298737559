/* task.h - one request on its way through the engine: prompt, pictures, sequence, answer.
 *
 *     NEW -> WAITING -> PREFILL -> DECODE        (FREE before and after)
 *
 * A task does what one request needs; when it may do it, and together with whom, is the scheduler's
 * business. Everything a task owns is given back by task_clear. */
#ifndef QUIRE_WORKER_TASK_H
#define QUIRE_WORKER_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/engine.h"
#include "worker/engine/features.h"
#include "worker/job.h"
#include "worker/scheduler.h"
#include "worker/stream.h"

enum task_state {
    TASK_FREE,
    TASK_NEW,     /* nothing was done yet */
    TASK_WAITING, /* the prompt is known; its pages are not there yet */
    TASK_PREFILL, /* pages are reserved; the prompt is being computed */
    TASK_DECODE,  /* the answer has begun; last_token is to be computed next */
};

struct task {
    enum task_state state;
    uint64_t serial; /* order of arrival */
    struct job *job;
    struct engine *engine;   /* borrowed */
    scheduler_outcome *tell; /* with arg: where outcomes go */
    void *arg;

    struct prompt prompt;
    struct features features;
    uint32_t *picture_ends; /* owned: one past the last position of each picture */
    struct sequence sequence;

    struct sampler_options sampling;
    struct stream stream;
    int32_t *history; /* owned: text tokens of the prompt, then the answer's */
    uint32_t n_history;
    uint32_t max_tokens; /* what the context leaves of what was asked for */
    uint32_t n_tokens;   /* of the answer, drawn */
    uint32_t n_sent;     /* of them, told by TOKENS */
    int32_t last_token;

    int64_t started_us, first_us, picture_us, told_us; /* told: the last PROGRESS */
    uint32_t told_stages;                              /* bit per stage: it was told of */
};

/* Takes a job into a FREE task. */
void task_start(struct task *t, struct engine *g, struct job *job, scheduler_outcome *tell,
                void *arg);

/* Tokenizes the prompt and plans the pictures: NEW -> WAITING. On failure the caller ends the task.
 */
int task_prepare(struct task *t, uint32_t max_pictures, struct error *e);

/* Pages for the whole prompt and the longest answer. */
uint32_t task_pages(const struct task *t);
/* Takes them: WAITING -> PREFILL. ERR_LIMIT when they are not there, ERR_NOMEM. */
int task_admit(struct task *t, int64_t now_us, struct error *e);

/* Of the next `window` positions of the prompt, the first whose picture is not complete; false when
 * all are ready to be computed. */
bool task_needs_picture(const struct task *t, uint32_t window, uint32_t *picture);
/* One piece of work on a picture; *tile as in features_work. */
int task_encode(struct task *t, uint32_t picture, bool *tile, struct error *e);

uint32_t task_left(const struct task *t); /* prompt positions still to be computed */
/* Fills rows with the next n prompt positions; the last of the prompt wants logits. */
void task_fill_rows(struct task *t, uint32_t n, struct step_row *rows);
void task_fill_decode_row(struct task *t, struct step_row *row);
/* The step that task_fill_rows was for is done. */
void task_computed(struct task *t);

/* Draws the next token, tells what may be shown, and ends the task when that was the last. */
void task_answer(struct task *t, const float *logits);

/* Tells PROGRESS when a stage begins, and then as often as SCHEDULER_PROGRESS_US allows. */
void task_progress(struct task *t, enum progress_stage stage, int64_t now_us);

/* Tells ERROR and ends the task. */
void task_fail(struct task *t, int code, const char *text);

/* Gives everything back without telling anybody: FREE. */
void task_clear(struct task *t);

#endif
