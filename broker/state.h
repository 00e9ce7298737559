/* state.h - the broker's state and the moves its parts share; for broker/core*.c only.
 *
 * core.c      open, step, time to the next tick
 * core_admit.c   requests as they arrive, and everything else a client says
 * core_pool.c    workers as they come, beat, drain and go
 * core_reply.c   what workers answer
 * core_life.c    a job's moves between its states; the only place where credit changes hands
 * core_links.c   what workers tell that they hold, and which incarnations are believed
 * core_schedule.c  who gets which request, and what was predicted of it
 * core_time.c    what is due because time passed
 * core_ops.c     what operators see
 * core_explain.c why a request goes where it goes */
#ifndef QUIRE_BROKER_STATE_H
#define QUIRE_BROKER_STATE_H

#include "broker/core.h"
#include "broker/holders.h"
#include "broker/jobs.h"
#include "broker/memory.h"
#include "broker/past.h"
#include "broker/router.h"
#include "broker/workers.h"

/* What the last broker_explain answered. */
struct explained {
    struct trail trail;
    struct explained_segment segments[CHAIN_KEPT];
    struct explained_worker workers[LIMIT_WORKERS];
    struct label names[BROKER_PAST_WORKERS];
    int holders[LIMIT_WORKERS]; /* of the workers */
    uint8_t owners[CHAIN_KEPT][LIMIT_WORKERS];
};
_Static_assert(CHAIN_KEPT <= LIMIT_EXPLAINED_SEGMENTS && BROKER_PAST_SEGMENTS <= CHAIN_KEPT &&
                   BROKER_PAST_WORKERS <= LIMIT_WORKERS,
               "an explanation has room for what is kept");

struct broker {
    struct broker_settings settings;
    struct workers workers;
    struct jobs *jobs;
    struct replays *replays;
    struct router router;
    struct models models;
    struct refusals refusals;
    struct affinity *affinity;
    struct holders holders;
    struct averages averages;
    struct errors errors;
    struct past *past;
    struct plan plan; /* of the request looked at last */
    struct explained *explained;
    struct pool_stats stats;
    int64_t start_us, now_us; /* now_us: of the step being taken, or of the last one */
    int64_t service_us;       /* moving average from sending to the end; 0 = none seen */
    size_t held_bytes;        /* of all jobs */
    uint32_t running;         /* jobs that a worker holds */
    double usual_running;     /* the most of late, when another was sent */
    uint64_t arrived;         /* ticket of the request that was kept in this step; 0 */
    bool stopping;
    bool schedule_due; /* credit, workers or queue changed in this step */
    bool pool_changed; /* so that a request may be served now that was not, or the reverse */
    bool rates_stale;  /* a worker told new figures, or is new */
    int64_t due_us;    /* no tick is due before it */
    struct action *actions;
    size_t n_actions, max_actions;
};

/* ---- core.c ---- */

/* A zeroed action at the end of the list. */
struct action *emit(struct broker *b, enum action_type type);
void emit_note(struct broker *b, enum note note, const struct worker *w, int64_t number,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

static inline int64_t us_of_ms(uint32_t ms) {
    return (int64_t)ms * 1000;
}

/* ---- core_life.c: a job's moves ---- */

struct needs job_needs(const struct job *j);

/* QUEUED -> SENT at the candidate's worker, which has credit. */
void job_send(struct broker *b, struct job *j, const struct candidate *c);

/* The worker is done with the job's prompt, or will not go on with it. */
void job_prompt_over(struct broker *b, struct job *j);

/* SENT -> QUEUED with the attempt taken back, since the worker never got it. */
void job_unsend(struct broker *b, struct job *j);

/* Its worker is gone (lost: died holding it; else it gave it back). SENT and STREAMING go to the
 * queue again or fail, LEAVING is over. */
void job_bounced(struct broker *b, struct job *j, bool lost);

/* Ends the job with an ERROR to its client. A worker that still has it is told. */
void job_fail(struct broker *b, struct job *j, int code, uint32_t retry_ms, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Ends the job without a word to the client. Unless the worker knows, it is told to stop and the
 * job is LEAVING until it confirms. */
void job_end(struct broker *b, struct job *j, bool worker_knows);

/* Tells the shell that the request's frames can go, and forgets the ids of its answer: it can't be
 * sent again. */
void job_drop_frames(struct broker *b, struct job *j);

/* The worker that holds j, NULL when it is queued. */
struct worker *job_worker(struct broker *b, const struct job *j);

/* ---- core_admit.c ---- */
void on_request(struct broker *b, const struct event *ev);
void on_cancel(struct broker *b, const struct event *ev);
void on_client_gone(struct broker *b, const struct event *ev);
void on_client_stuck(struct broker *b, const struct event *ev);
void on_shutdown(struct broker *b);

/* 0 when some worker would serve such a request, else the code and the sentence why not. */
int why_unserved(struct broker *b, const struct needs *n, struct error *e);

/* When a client that is turned away should try again. */
uint32_t busy_retry_ms(struct broker *b);

/* ---- core_pool.c ---- */
void on_ready(struct broker *b, const struct event *ev);
void on_heartbeat(struct broker *b, const struct event *ev);
void on_goodbye(struct broker *b, const struct event *ev);
void on_worker_gone(struct broker *b, const struct event *ev);
void on_unsent(struct broker *b, const struct event *ev);
void on_drain(struct broker *b, const struct event *ev);

/* Takes w out of the table and moves its jobs on. tell: its connection may still be there. */
void lose_worker(struct broker *b, struct worker *w, bool lost, bool tell);

/* Says once that a draining worker has become empty. */
void note_drained(struct broker *b, struct worker *w);

/* ---- core_reply.c ---- */
void on_reply(struct broker *b, const struct event *ev);

/* ---- core_links.c ---- */
void on_links(struct broker *b, const struct event *ev);
void on_inventory(struct broker *b);

/* w is connected: it is a holder from now on, and others of its name are not any more. */
void holder_joins(struct broker *b, struct worker *w);
void holder_leaves(struct broker *b, struct worker *w); /* its connection is gone */
void holder_void(struct broker *b, int holder);         /* and so is what it held */
void void_stale_holders(struct broker *b);

/* ---- core_schedule.c ---- */
void schedule(struct broker *b);

/* Fills b->plan for a request as of now. waited_us: for a worker without credit. */
void plan_request(struct broker *b, const struct needs *n, const struct trail *t, int64_t waited_us,
                  bool touch);

/* The first token of a SENT job is here. */
void first_token(struct broker *b, struct job *j);

/* It is done, and its worker says how long its first token took: what was predicted is compared
 * with that. */
void prompt_took(struct broker *b, const struct job *j, struct worker *w, const struct usage *u,
                 const struct timings *told);

/* ---- core_time.c ---- */
void on_tick(struct broker *b);
void forgive_own_sleep(struct broker *b, int64_t now_us);
int64_t next_due_us(struct broker *b);

/* The worker spoke. */
void heard(struct broker *b, struct worker *w);

/* Must be called when something may be due earlier than it was. */
void due_by(struct broker *b, int64_t us);
void due_by_job(struct broker *b, const struct job *j);
void due_by_worker(struct broker *b, const struct worker *w);

#endif
