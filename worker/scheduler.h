/* scheduler.h - several requests through one engine, a step at a time.
 *
 * A step computes the next token of every request that has begun its answer, and beside them one
 * piece of somebody's prompt: one picture looked at, one run of the vision tower, or one chunk of
 * positions. So nobody's tokens wait longer than one piece, and a cancel or a deadline takes
 * effect within one step.
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
#define SCHEDULER_CHUNK_SHARED 128   /* prompt positions in a step while others' tokens wait */
#define SCHEDULER_PROGRESS_US 100000 /* between two PROGRESS of one stage */

struct holdings;

struct scheduler_options {
    uint32_t max_pictures;     /* in one request */
    int32_t chunk;             /* prompt positions in a step, at most ENGINE_CHUNK; 0: that */
    int32_t chunk_shared;      /* the same while others decode; 0: SCHEDULER_CHUNK_SHARED */
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
