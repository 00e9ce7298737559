/* core.c - one step: an event in, a list of actions out.
 *
 * The list is as long as the worst step can make it, and is taken at open: a tick that loses every
 * worker touches every job a handful of times. So a step cannot fail and allocates nothing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/state.h"
#include "common/must.h"

/* At most, in one step: CANCEL_WORK, note, WORK, DROP, ERROR, PROGRESS and one to spare for a job;
 * BEAT or CANCEL_WORK and two notes for a worker; a handful for the event itself. */
#define ACTIONS_PER_JOB 7
#define ACTIONS_PER_WORKER 4
#define ACTIONS_PER_STEP 16

void broker_settings_init(struct broker_settings *s) {
    *s = (struct broker_settings){
        .dead_ms = 2000,
        .queue_requests = 256,
        .queue_bytes = (uint64_t)1 << 30,
        .client_requests = 128,
        .worker_wait_ms = 10000,
        .progress_ms = 500,
        .refuse_ms = 60000,
        .policy = POLICY_EARLIEST,
        .links = BROKER_LINKS,
    };
}

int broker_open(struct broker **out, const struct broker_settings *s, int64_t now_us) {
    MUST(s->dead_ms > 0 && s->progress_ms > 0 && s->client_requests > 0);
    MUST(s->queue_requests > 0 && s->queue_requests <= BROKER_QUEUE_MAX);
    _Static_assert(BROKER_QUEUE_MAX + BROKER_RUNNING <= JOBS_MAX, "every request has a slot");
    *out = NULL;
    struct broker *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->settings = *s;
    b->start_us = b->now_us = now_us;
    b->due_us = INT64_MAX;
    b->router.policy = s->policy;
    if (jobs_open(&b->jobs, broker_slots(b)) != 0 || affinity_open(&b->affinity, s->links) != 0 ||
        replays_open(&b->replays, BROKER_REPLAY_BLOCKS) != 0)
        goto fail;
    b->past = calloc(1, sizeof *b->past);
    b->explained = calloc(1, sizeof *b->explained);
    if (!b->past || !b->explained)
        goto fail;
    b->max_actions = ACTIONS_PER_JOB * broker_slots(b) +
                     (size_t)ACTIONS_PER_WORKER * LIMIT_WORKERS + ACTIONS_PER_STEP;
    b->actions = calloc(b->max_actions, sizeof *b->actions);
    if (!b->actions)
        goto fail;
    *out = b;
    return 0;
fail:
    broker_close(b);
    return ERR_NOMEM;
}

void broker_close(struct broker *b) {
    if (!b)
        return;
    jobs_close(b->jobs);
    affinity_close(b->affinity);
    replays_close(b->replays);
    free(b->past);
    free(b->explained);
    free(b->actions);
    free(b);
}

size_t broker_slots(const struct broker *b) {
    return (size_t)b->settings.queue_requests + BROKER_RUNNING;
}

bool broker_replay(const struct broker *b, uint64_t ticket, uint32_t given, uint8_t *out) {
    const struct job *j = jobs_find(b->jobs, ticket);
    if (!j || j->replay.count != given)
        return false;
    replays_read(b->replays, &j->replay, out);
    return true;
}

uint32_t broker_heartbeat_ms(const struct broker *b) {
    uint32_t ms = b->settings.dead_ms / 4;
    return ms > 0 ? ms : 1;
}

struct action *emit(struct broker *b, enum action_type type) {
    MUST(b->n_actions < b->max_actions);
    struct action *a = &b->actions[b->n_actions++];
    memset(a, 0, sizeof *a);
    a->type = type;
    return a;
}

void emit_note(struct broker *b, enum note note, const struct worker *w, int64_t number,
               const char *format, ...) {
    struct action *a = emit(b, ACTION_NOTE);
    a->note = note;
    a->number = number;
    if (w)
        a->worker = w->name;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(a->text, sizeof a->text, format, args);
    va_end(args);
}

static void take(struct broker *b, const struct event *ev) {
    switch (ev->type) {
    case EVENT_TICK:
        return;
    case EVENT_REQUEST:
        on_request(b, ev);
        return;
    case EVENT_CANCEL:
        on_cancel(b, ev);
        return;
    case EVENT_CLIENT_GONE:
        on_client_gone(b, ev);
        return;
    case EVENT_CLIENT_STUCK:
        on_client_stuck(b, ev);
        return;
    case EVENT_DRAIN:
        on_drain(b, ev);
        return;
    case EVENT_READY:
        on_ready(b, ev);
        return;
    case EVENT_HEARTBEAT:
        on_heartbeat(b, ev);
        return;
    case EVENT_REPLY:
        on_reply(b, ev);
        return;
    case EVENT_GOODBYE:
        on_goodbye(b, ev);
        return;
    case EVENT_LINKS:
        on_links(b, ev);
        return;
    case EVENT_INVENTORY:
        on_inventory(b);
        return;
    case EVENT_WORKER_GONE:
        on_worker_gone(b, ev);
        return;
    case EVENT_UNSENT:
        on_unsent(b, ev);
        return;
    case EVENT_BAD_MESSAGE:
        b->stats.bad_messages++;
        return;
    case EVENT_SHUTDOWN:
        on_shutdown(b);
        return;
    }
    MUST(!"an event has a known type");
}

const struct action *broker_step(struct broker *b, const struct event *event, int64_t now_us,
                                 size_t *n) {
    MUST(now_us >= b->now_us);
    b->n_actions = 0;
    b->arrived = 0;
    forgive_own_sleep(b, now_us);
    b->now_us = now_us;
    take(b, event);
    if (event->type == EVENT_TICK)
        on_tick(b);
    if (b->schedule_due)
        schedule(b);
    const struct job *arrived = jobs_find(b->jobs, b->arrived);
    if (arrived && arrived->state == JOB_QUEUED)
        due_by_job(b, arrived);
    *n = b->n_actions;
    return b->actions;
}

int64_t broker_next_us(struct broker *b) {
    return next_due_us(b);
}
