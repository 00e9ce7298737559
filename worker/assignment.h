/* assignment.h - a WORK message taken apart: the job for the engine, and whom the answer is for. */
#ifndef QUIRE_WORKER_ASSIGNMENT_H
#define QUIRE_WORKER_ASSIGNMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/wire/wire.h"
#include "worker/job.h"

struct assignment {
    struct job job;       /* borrows from what follows */
    struct msg_work work; /* its replay borrows from the frames */
    bool silenced;        /* nobody wants its answer any more: what comes of it is dropped */
    struct request request;
    struct bytes pictures[LIMIT_PICTURES];
    struct chain chain;
    struct wire_message frames; /* WORK, REQUEST, pictures */
};

/* Takes m's frames (m is empty afterwards) when its first one is a WORK. The job's chain grows from
 * `root`, to which the request's tenant is added; with seed 0 it has none. On failure *out is NULL;
 * *work is set as soon as it could be read (without replay), *named says so, and *id is the
 * request's where that could be read: then the broker is owed an ERROR for it. ERR_BAD_MESSAGE,
 * ERR_LIMIT, ERR_NOMEM, ... */
int assignment_open(struct assignment **out, struct wire_message *m, int64_t now_us,
                    const struct chain_root *root, struct msg_work *work, bool *named,
                    struct request_id *id, struct error *e);
void assignment_close(struct assignment *a); /* NULL is fine */

/* The assignment that job is part of. */
struct assignment *assignment_of(struct job *job);

/* What the broker is told of it: REPLY, with the ids of TOKENS, and a second frame; both stay the
 * caller's. ERR_NOMEM leaves m empty. */
int assignment_reply(const struct msg_work *work, uint64_t incarnation, struct bytes ids,
                     struct bytes message, struct wire_message *m);
/* The same with an ERROR made here. */
int assignment_refuse(const struct msg_work *work, uint64_t incarnation,
                      const struct request_id *id, int code, const char *text,
                      struct wire_message *m);

#endif
