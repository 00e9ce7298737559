/* runner.c - a loop around scheduler_step.
 *
 * Events travel in a circle: spare -> (engine fills) -> ready -> (reader sends) -> spare. All of
 * them are made at start. Jobs are counted from runner_submit to the return of their last event, so
 * the inbox can't overflow and the scheduler always has a free task for what comes out of it. */
#include "worker/runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/must.h"
#include "worker/handoff.h"

#define IDLE_WAIT_MS 1000 /* the thread looks up this often though nothing woke it */
#define FULL_WAIT_MS 100

struct runner {
    struct engine *engine;
    struct scheduler *scheduler;
    char name[RUNNER_NAME_BYTES + 1];
    struct handoff *inbox, *ready, *spare;
    struct event *events; /* [n_events], owned */
    size_t n_events;
    size_t places; /* for jobs */
    atomic_size_t jobs;
    atomic_bool stop;
    pthread_t thread;
    bool started;
    pthread_mutex_t load_lock;
    struct load load;
};

static int encode(const struct runner *r, const struct outcome *o, struct wire_buffer *out) {
    struct msg_done done;
    switch (o->kind) {
    case OUTCOME_PROGRESS:
        return progress_encode(&o->progress, out);
    case OUTCOME_TOKENS:
        return tokens_encode(&o->tokens, out);
    case OUTCOME_ERROR:
        return error_encode(&o->error, out);
    case OUTCOME_DONE:
        break;
    }
    done = o->done;
    done.worker = (struct bytes){(const uint8_t *)r->name, strlen(r->name)};
    return done_encode(&done, out);
}

static void take_ids(struct event *event, const struct outcome *o) {
    event->ids_bytes = 0;
    for (uint32_t i = 0; o->kind == OUTCOME_TOKENS && i < o->tokens.n_tokens; i++)
        for (int k = 0; k < TOKEN_ID_BYTES; k++)
            event->ids[event->ids_bytes++] = (uint8_t)((uint32_t)o->ids[i] >> 8 * k);
}

static void on_outcome(void *arg, struct job *job, const struct outcome *o) {
    struct runner *r = arg;
    struct event *event = handoff_pop(r->spare);
    MUST(event != NULL); /* the step was not begun without room */
    event->job = job;
    event->last = o->kind == OUTCOME_DONE || o->kind == OUTCOME_ERROR;
    event->message.size = 0;
    event->failed = encode(r, o, &event->message) < 0;
    take_ids(event, o);
    MUST(handoff_push(r->ready, event));
}

static void publish(struct runner *r) {
    struct load load;
    scheduler_load(r->scheduler, &load);
    (void)pthread_mutex_lock(&r->load_lock);
    r->load = load;
    (void)pthread_mutex_unlock(&r->load_lock);
}

static void *run(void *arg) {
    struct runner *r = arg;
    struct error e;
    if (team_take_place(r->engine->team, &e) < 0)
        log_warn("not-pinned", "%s", e.text);
    while (!atomic_load(&r->stop)) {
        struct job *job;
        while ((job = handoff_pop(r->inbox)) != NULL)
            MUST(scheduler_add(r->scheduler, job));
        size_t room = scheduler_count(r->scheduler) * (size_t)SCHEDULER_OUTCOMES_PER_JOB;
        if (room == 0) {
            handoff_wait(r->inbox, 1, IDLE_WAIT_MS);
        } else if (handoff_count(r->spare) < room) {
            handoff_wait(r->spare, room, FULL_WAIT_MS);
        } else {
            scheduler_step(r->scheduler);
            publish(r);
        }
    }
    return NULL;
}

static int make_events(struct runner *r, struct error *e) {
    r->n_events = r->places * SCHEDULER_OUTCOMES_PER_JOB * RUNNER_EVENT_STEPS;
    r->events = calloc(r->n_events, sizeof *r->events);
    if (r->events == NULL)
        return error_set(e, ERR_NOMEM, "no memory for %zu events", r->n_events);
    int rc = handoff_open(&r->inbox, r->places, false, e);
    if (rc == 0)
        rc = handoff_open(&r->ready, r->n_events, true, e);
    if (rc == 0)
        rc = handoff_open(&r->spare, r->n_events, false, e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->n_events; i++) {
        r->events[i].message.data = malloc(RUNNER_EVENT_BYTES);
        if (r->events[i].message.data == NULL)
            return error_set(e, ERR_NOMEM, "no memory for %zu events", r->n_events);
        r->events[i].message.capacity = RUNNER_EVENT_BYTES;
        MUST(handoff_push(r->spare, &r->events[i]));
    }
    return 0;
}

int runner_open(struct runner **out, struct engine *g, const struct scheduler_options *o,
                const char *name, struct error *e) {
    *out = NULL;
    struct runner *r = calloc(1, sizeof *r);
    if (r == NULL || pthread_mutex_init(&r->load_lock, NULL) != 0) {
        free(r);
        return error_set(e, ERR_NOMEM, "no memory for an engine thread");
    }
    MUST(strlen(name) <= RUNNER_NAME_BYTES);
    strcpy(r->name, name);
    r->engine = g;
    r->places = (size_t)g->max_sequences;
    int rc = make_events(r, e);
    if (rc == 0)
        rc = scheduler_open(&r->scheduler, g, o, on_outcome, r, e);
    if (rc == 0) {
        publish(r);
        int failed = pthread_create(&r->thread, NULL, run, r);
        if (failed)
            rc = error_set(e, ERR_IO, "can't start the engine thread: %s", strerror(failed));
        r->started = !failed;
    }
    if (rc < 0) {
        runner_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void runner_close(struct runner *r) {
    if (r == NULL)
        return;
    if (r->started) {
        atomic_store(&r->stop, true);
        handoff_wake(r->inbox);
        handoff_wake(r->spare);
        (void)pthread_join(r->thread, NULL);
    }
    scheduler_close(r->scheduler);
    for (size_t i = 0; r->events != NULL && i < r->n_events; i++)
        wire_buffer_clear(&r->events[i].message);
    handoff_close(r->inbox);
    handoff_close(r->ready);
    handoff_close(r->spare);
    free(r->events);
    (void)pthread_mutex_destroy(&r->load_lock);
    free(r);
}

bool runner_submit(struct runner *r, struct job *job) {
    if (atomic_load(&r->jobs) >= r->places)
        return false;
    atomic_fetch_add(&r->jobs, 1);
    MUST(handoff_push(r->inbox, job));
    return true;
}

int runner_fd(const struct runner *r) {
    return handoff_fd(r->ready);
}

struct event *runner_next(struct runner *r) {
    return handoff_pop(r->ready);
}

void runner_return(struct runner *r, struct event *event) {
    if (event->last)
        atomic_fetch_sub(&r->jobs, 1);
    event->job = NULL;
    MUST(handoff_push(r->spare, event));
}

void runner_load(struct runner *r, struct load *out) {
    (void)pthread_mutex_lock(&r->load_lock);
    *out = r->load;
    (void)pthread_mutex_unlock(&r->load_lock);
}
