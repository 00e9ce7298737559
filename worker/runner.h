/* runner.h - the engine's thread, and the bounded queues that join it to the rest of the worker.
 *
 * Jobs go in, events come out; both are pointers in queues of fixed size, and the event's memory is
 * used again and again. The engine takes a step only when there is room for all that the step may
 * say, so it never waits in the middle of one, and a reader that stops only stops the engine until
 * it reads again. */
#ifndef QUIRE_WORKER_RUNNER_H
#define QUIRE_WORKER_RUNNER_H

#include <stdbool.h>

#include "proto/message.h"
#include "worker/engine/engine.h"
#include "worker/job.h"
#include "worker/scheduler.h"

#define RUNNER_EVENT_BYTES                                                                         \
    4096                     /* memory of one event at first; it grows when a message is larger */
#define RUNNER_EVENT_STEPS 4 /* events of so many full steps fit in the queue */
#define RUNNER_NAME_BYTES LIMIT_NAME_BYTES

struct event {
    struct job *job;
    bool last;                  /* the engine has done with the job: it is the reader's to free */
    bool failed;                /* memory ran out while the message was made: there is none */
    struct wire_buffer message; /* PROGRESS, TOKENS, DONE or ERROR, encoded */
    uint8_t ids[LIMIT_TOKENS_PER_MESSAGE * TOKEN_ID_BYTES]; /* of TOKENS, as on the wire */
    size_t ids_bytes;
};

struct runner;

/* Starts the thread. name: what DONE says of who answered. Borrows g. ERR_NOMEM, ERR_IO. */
int runner_open(struct runner **out, struct engine *g, const struct scheduler_options *o,
                const char *name, struct error *e);
/* Ends the thread after its present step and joins it. Jobs that are still in it get no last event
 * and are the caller's again. NULL is fine. */
void runner_close(struct runner *r);

/* False when as many jobs as the engine holds are in it already, or their last events unread. */
bool runner_submit(struct runner *r, struct job *job);

/* Readable while runner_next has an event; for poll. */
int runner_fd(const struct runner *r);
struct event *runner_next(struct runner *r); /* NULL: none now */
/* Gives the event back; with the last event of a job, its place is free again. */
void runner_return(struct runner *r, struct event *event);

void runner_load(struct runner *r, struct load *out); /* as of the last step */

#endif
