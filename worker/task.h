/* task.h - one request on its way through the engine: prompt, pictures, path, answer.
 *
 *     NEW -> LOOK -> WAITING -> PREFILL -> DECODE        (FREE before and after)
 *
 * An answer that another worker began is replayed: the tokens that the client has stand behind the
 * prompt and are computed with it, and all that hangs on an answer (history, text held back, links)
 * is brought to where the other one was. What follows is then what that one would have told.
 *
 * A task does what one request needs; when it may do it, and together with whom, is the scheduler's
 * business. Everything a task owns is given back by task_clear. What it computed stays in the tree.
 *
 * task.c: its life and its prompt; task_prepare.c: all before its pages; task_answer.c: the answer;
 * task_replay.c: the part of it that the client has already; task_constraint.c: its schema. */
#ifndef QUIRE_WORKER_TASK_H
#define QUIRE_WORKER_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/engine.h"
#include "worker/engine/features.h"
#include "worker/engine/tree.h"
#include "worker/job.h"
#include "worker/scheduler.h"
#include "worker/stream.h"
#include "worker/task_constraint.h"
#include "worker/task_links.h"

enum task_state {
    TASK_FREE,
    TASK_NEW,     /* nothing was done yet */
    TASK_LOOK,    /* the prompt is built; what its pictures show is not known yet */
    TASK_WAITING, /* its units are known; its pages are not there yet */
    TASK_PREFILL, /* its path has begun; the prompt is being computed */
    TASK_DECODE,  /* the answer has begun; last_token is to be computed next */
};

/* What all tasks of a scheduler share. */
struct task_world {
    struct engine *engine;     /* borrowed */
    struct tree *tree;         /* over the engine's pages; owned by the scheduler */
    struct holdings *holdings; /* borrowed, may be NULL */
    struct token_mask *masks;  /* made for the first schema; owned by the scheduler */
    scheduler_outcome *tell;   /* with arg: where outcomes go */
    void *arg;
    struct tree_cost cost; /* of positions, as measured lately */
};

struct task {
    enum task_state state;
    uint64_t serial;   /* order of arrival */
    uint64_t admitted; /* order in which paths began; 0: not yet */
    struct job *job;
    struct task_world *world; /* borrowed */

    struct prompt prompt;
    struct features features; /* pictures as they are shown, in the order of the request's parts */
    uint32_t n_units;         /* positions before the first token to be drawn: prompt and replay */
    struct unit *units;       /* owned: [n_units], from WAITING on */
    uint32_t *picture_ends;   /* owned: one past the last position of each picture */
    uint32_t picture_positions;
    struct tree_path path;
    uint32_t step_rows; /* of the units, in the step being made */
    uint32_t computed;  /* positions of the prompt that this task computed */
    struct task_links links;

    /* An earlier task whose prompt is equal up to position `follow_to`, and is computing it. */
    const struct task *leader; /* NULL: none, and there will be none */
    uint64_t leader_serial;    /* the leader is gone when it has another */
    uint32_t follow_to;

    struct sampler_options sampling;
    struct task_constraint constraint;
    struct stream stream;
    int32_t *history; /* owned: text tokens of the prompt, then the answer's */
    uint32_t n_history;
    uint32_t max_tokens; /* what the context leaves of what was asked for */
    uint32_t n_replayed; /* tokens of the answer that the client had at the start */
    uint32_t n_tokens;   /* of the answer, replayed and drawn */
    uint32_t n_sent;     /* of them, with the client or told by TOKENS */
    uint64_t skip_bytes; /* of the text to come, with the client already */
    int32_t last_token;
    bool spoke; /* the answer's text has begun */

    int64_t started_us, first_us, told_us; /* told: the last PROGRESS */
    int64_t look_us, encode_us;            /* spent on pictures before and after started_us */
    uint32_t told_stages;                  /* bit per stage: it was told of */
};

/* Takes a job into a FREE task. */
void task_start(struct task *t, struct task_world *w, struct job *job);

/* Builds the prompt and plans the pictures: NEW -> LOOK. On failure the caller ends the task. A
 * request that is only counted ends here: NEW -> FREE. */
int task_prepare(struct task *t, uint32_t max_pictures, struct error *e);
/* Tells how long the prompt is, and ends the task. */
void task_count(struct task *t);
/* When all pictures are known: LOOK -> WAITING. False while *picture is not. ERR_NOMEM. */
int task_look(struct task *t, bool *known, uint32_t *picture, struct error *e);

/* Matches the prompt and has pages promised for the rest: WAITING -> PREFILL. ERR_LIMIT when they
 * are not there now, ERR_NOMEM. */
int task_admit(struct task *t, uint64_t admitted, int64_t now_us, struct error *e);
uint32_t task_pages(const struct task *t); /* for the whole prompt and the longest answer */

/* Takes over what others have computed. */
void task_follow(struct task *t);

/* Lets go of pictures that lie in the known positions. Those that end after computed_from were
 * computed in this step, while there is one. */
void task_drop_pictures(struct task *t, uint32_t computed_from);

/* Of the next `window` positions of the prompt, the first whose picture is not complete; false when
 * all are ready to be computed. */
bool task_needs_picture(struct task *t, uint32_t window, uint32_t *picture);
/* One piece of work on a picture, to know it (LOOK) or to have its embeddings; budget_us and *done
 * as in features_work. */
int task_work(struct task *t, uint32_t picture, int64_t budget_us, struct features_done *done,
              struct error *e);

/* Brings the answer to where the client has it. The last step of task_prepare. ERR_BAD_MESSAGE for
 * a replay that can't be, ERR_TOO_LONG, ERR_NOMEM. */
int task_replay(struct task *t, struct error *e);

uint32_t task_left(const struct task *t); /* units still to be computed */
/* Fills rows with the next n units; the last one wants logits. */
void task_fill_rows(struct task *t, uint32_t n, struct step_row *rows);
void task_fill_decode_row(struct task *t, struct step_row *row);
/* The step that rows were filled for is done. */
void task_computed(struct task *t);

/* Draws the next token, tells what may be shown, and ends the task when that was the last. */
void task_answer(struct task *t, const float *logits);

/* The answer's leading space is the template's: it is not shown. */
bool task_leads(const struct task *t);
/* What the next token adds to the text that is shown; to be asked once for each, in order. */
struct bytes task_shown(struct task *t, int32_t id);

/* Tells PROGRESS when a stage begins, and then as often as SCHEDULER_PROGRESS_US allows. */
void task_progress(struct task *t, enum progress_stage stage, int64_t now_us);

/* Tells ERROR and ends the task. */
void task_fail(struct task *t, int code, const char *text);

/* Gives everything back without telling anybody: FREE. */
void task_clear(struct task *t);

#endif
