/* jobs.h - the bounded table of requests under way, and the queue of those that wait.
 *
 * A job is one request's life in the broker. Its ticket names it to workers and to the shell, which
 * keeps the request's frames under it; a ticket is never used twice in one run of the broker. */
#ifndef QUIRE_BROKER_JOBS_H
#define QUIRE_BROKER_JOBS_H

#include "broker/names.h"
#include "broker/predict.h"
#include "broker/replay.h"
#include "proto/message.h"

#define JOBS_MAX 4096 /* slots a table can have; a ticket's low bits name one */

enum job_state {
    JOB_FREE,
    JOB_QUEUED,    /* waits for a worker */
    JOB_SENT,      /* a worker has it; no token of this attempt was passed on */
    JOB_STREAMING, /* tokens of this attempt were passed on */
    JOB_LEAVING,   /* over for the client; the worker was told and still holds a credit for it */
};

struct job {
    uint64_t ticket;
    enum job_state state;
    struct peer client;
    struct request_id id;
    struct label model; /* empty: any */
    uint32_t pictures;
    uint64_t content_hash;
    size_t held_bytes; /* frames that the shell keeps; 0 once dropped */
    bool extended;     /* struct needs */
    bool count_only;   /* nothing is computed for it: it is in no prediction and no mean */

    int64_t arrival_us, deadline_us;
    int64_t turn_us;     /* its place in the queue: arrival, earlier for a higher priority */
    int64_t homeless_us; /* since when no worker would serve it; -1: one does */
    int64_t told_us;     /* when the client last heard about it */
    int64_t sent_us;
    int64_t leave_us; /* JOB_LEAVING: when the credit is taken back without the worker's word */

    int worker;                   /* slot in the workers' table, -1 while queued */
    uint32_t attempt;             /* 0 before it was first sent */
    uint32_t losses;              /* workers that died holding it */
    uint32_t returns;             /* times a worker gave it back unharmed */
    uint64_t avoid;               /* incarnation that gave it back last */
    uint32_t tokens;              /* passed on, by all attempts */
    struct msg_progress progress; /* passed on last */

    /* Of the answer so far. Frames and ids are kept together: an answer that has begun and has no
     * held_bytes can't be taken up by another worker. */
    bool began; /* TOKENS were passed on */
    struct replay replay;
    uint64_t text_bytes;     /* passed on */
    uint64_t seed;           /* drawn for it; 0: it has its own */
    uint8_t fingerprint[16]; /* of the worker that began it, and its context: who goes on has */
    uint32_t context;        /*   the same and no less */
    uint32_t given;          /* tokens that the present worker was sent */
    int64_t first_us;        /* when the first token was passed on */
    int64_t queue_us;        /* from arrival to the sending that the first token came of, */
    int64_t foreseen_us;     /*   and when it had been predicted to come, from that sending */

    struct trail *trail;   /* the slot's own; kept == 0: no chain */
    int64_t waits_us;      /* since when it waits for a worker without credit; -1: it does not */
    int64_t look_us;       /* when that is to be thought over; INT64_MAX */
    int64_t predicted_us;  /* first token, from sending; 0: not predicted */
    int64_t came_us;       /* first token, from sending; 0: not yet */
    struct cost cost;      /* its own prompt at the worker, as its rates say */
    struct effort effort;  /* what was predicted was made of this */
    bool measured;         /* by figures that the worker has measured */
    uint32_t reused;       /* positions it was thought to find there */
    bool prompts;          /* counted among its worker's prompts */
    uint32_t prompt;       /* its slot there */
    int holder;            /* that was promised its chain; -1: none */
    uint32_t promise_from; /* the first kept segment of that promise */
    uint32_t past;         /* its place in broker/past.h, once sent */

    int next, prev;             /* all jobs, or the free list */
    int queue_next, queue_prev; /* the queue, lowest turn_us first */
    uint64_t client_hash;       /* 0: the job is not open */
    int id_next;                /* open jobs in the same bucket of ids */
};

struct jobs;

/* Room for `capacity` jobs, 1..JOBS_MAX; nothing is allocated after this. ERR_NOMEM leaves *out
 * NULL. */
int jobs_open(struct jobs **out, size_t capacity);
void jobs_close(struct jobs *t); /* NULL is fine */

/* A zeroed job with a new ticket, in no queue; NULL when the table is full. */
struct job *jobs_add(struct jobs *t);
void jobs_remove(struct jobs *t, struct job *j); /* out of the queue too */

struct job *jobs_find(struct jobs *t, uint64_t ticket);

/* An open job is one that its client may speak of: from when it is kept until its end, after which
 * it may still be JOB_LEAVING. Its client and id are set before it is opened. */
void jobs_open_job(struct jobs *t, struct job *j);
void jobs_close_job(struct jobs *t,
                    struct job *j); /* nothing when it is not open; removing does it */
struct job *jobs_find_open(struct jobs *t, const struct peer *client, const struct request_id *id);
uint32_t jobs_open_of(const struct jobs *t, const struct peer *client); /* how many */

size_t jobs_slot(uint64_t ticket); /* below the table's capacity; the shell's index for frames */
size_t jobs_queued(const struct jobs *t);

/* Puts j where its turn_us and among equal ones its age belong, so that one that comes back from a
 * lost worker is not behind younger ones. */
void jobs_enqueue(struct jobs *t, struct job *j);
void jobs_dequeue(struct jobs *t, struct job *j);

/* Walks: NULL ends them. Removing the job that was returned is allowed once its next was taken. */
struct job *jobs_first(struct jobs *t);
struct job *jobs_next(struct jobs *t, const struct job *j);
struct job *jobs_queue_first(struct jobs *t);
struct job *jobs_queue_next(struct jobs *t, const struct job *j);

#endif
