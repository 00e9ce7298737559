/* scheduler.h - several requests through one engine, a step at a time.
 *
 * A step computes the next token of every request that has begun its answer, and beside them one
 * piece of somebody's prompt: one picture looked at, a run of the vision tower, or one chunk of
 * positions. While tokens wait, the piece is as large as lets the step end within max_step_ms,
 * going by what steps have taken of late; so nobody's next token is delayed by more than that, and
 * a cancel or a deadline takes effect within one step. Two things are not cut: looking at a picture
 * for the first time (decoding and resizing it), and the least chunk below.
 *
 * A request begins only when pages for its whole prompt and its longest answer are promised; until
 * then it waits, in order of arrival. What could never fit is refused. Positions that were computed
 * for others before are not computed again (engine/tree.h), nor those that another request is just
 * computing. Used by one thread. */
#ifndef QUIRE_WORKER_SCHEDULER_H
#define QUIRE_WORKER_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/engine.h"
#include "worker/engine/tree.h"
#include "worker/job.h"

#define SCHEDULER_OUTCOMES_PER_JOB 4 /* the most that one step makes of one job */
/* How long a step may take while others' tokens wait. Five tokens a second is still faster than
 * people read; and for models that two cores serve well it is a chunk of a hundred positions or
 * more, where computing takes several times as long as reading the weights, so that prompts lose
 * little by it. */
#define SCHEDULER_MAX_STEP_MS 200
/* A chunk has that many positions however long they take, so that prompts always get on. Only where
 * even these do not fit, a step takes longer than max_step_ms. */
#define SCHEDULER_CHUNK_LEAST PAGE_POSITIONS
/* The same for the tower. */
#define SCHEDULER_PIECE_LEAST_US 5000
#define SCHEDULER_PROGRESS_US 100000 /* between two PROGRESS of one stage */

struct holdings;

struct scheduler_options {
    uint32_t max_pictures;     /* in one request */
    int32_t chunk;             /* prompt positions in a step, at most ENGINE_CHUNK; 0: that */
    int32_t chunk_shared;      /* the same while others decode, whatever fits; 0: chunk */
    uint32_t max_step_ms;      /* while others decode; 0: SCHEDULER_MAX_STEP_MS */
    struct holdings *holdings; /* is told of links that are held; borrowed, may be NULL */
};

struct scheduler;

/* Called inside scheduler_step, in the order of things. After DONE or ERROR the scheduler does not
 * touch the job any more. */
typedef void scheduler_outcome(void *arg, struct job *job, const struct outcome *outcome);

/* Holds as many jobs as g->max_sequences. Borrows g, whose pages are all for its tree; one
 * scheduler at a time. ERR_NOMEM. */
int scheduler_open(struct scheduler **out, struct engine *g, const struct scheduler_options *o,
                   scheduler_outcome *tell, void *arg, struct error *e);
/* Jobs still in it get no further outcome. NULL is fine. */
void scheduler_close(struct scheduler *s);

bool scheduler_add(struct scheduler *s, struct job *job); /* false: it holds as many as it can */
uint32_t scheduler_count(const struct scheduler *s);      /* jobs in it */

/* One step; nothing when there are no jobs. Once all jobs have begun their answers, a step
 * allocates nothing. */
void scheduler_step(struct scheduler *s);

/* Pages that are free, kept and promised. */
struct tree_counts scheduler_pages(const struct scheduler *s);
void scheduler_load(const struct scheduler *s, struct load *out);

#endif
