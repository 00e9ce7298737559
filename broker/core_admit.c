/* core_admit.c - requests as they arrive, and everything else that clients say or do.
 *
 * A request that can't be served is told so now if waiting would not help (its model is unknown,
 * the queue is full), and waits if it might: a model's workers may be restarting, and after the
 * broker's own start they may still be on their way, which is why nothing is unknown for the first
 * worker_wait_ms. */
#include <stdarg.h>
#include <stdio.h>

#include "broker/state.h"
#include "common/must.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 30000
#define RETRY_GUESS_MS 1000 /* before any request has ended */

uint32_t busy_retry_ms(struct broker *b) {
    uint64_t credits = 0;
    for (int i = 0; i < b->workers.end; i++)
        if (b->workers.slots[i].used && worker_takes_new(&b->workers.slots[i]))
            credits += b->workers.slots[i].credits;
    if (b->service_us == 0 || credits == 0)
        return RETRY_GUESS_MS;
    uint64_t rounds_us = (uint64_t)b->service_us * (jobs_queued(b->jobs) + 1);
    uint64_t ms = rounds_us / credits / 1000;
    if (ms < RETRY_MIN_MS)
        return RETRY_MIN_MS;
    return ms > RETRY_MAX_MS ? RETRY_MAX_MS : (uint32_t)ms;
}

static bool any_worker_has_model(struct broker *b, struct bytes model) {
    for (int i = 0; i < b->workers.end; i++) {
        const struct worker *w = &b->workers.slots[i];
        if (w->used && (model.size == 0 || label_is(&w->model, model)))
            return true;
    }
    return false;
}

int why_unserved(struct broker *b, const struct needs *n, struct error *e) {
    if (router_serves(&b->workers, n))
        return 0;
    struct needs blind = *n;
    blind.pictures = false;
    int size = (int)n->model.size;
    const char *model = (const char *)n->model.data;
    bool vision = false;
    bool known = models_know(&b->models, n->model, &vision);
    if (n->pictures && !vision && router_serves(&b->workers, &blind))
        return n->model.size > 0
                   ? error_set(
                         e, ERR_BAD_REQUEST,
                         "model \"%.*s\" reads no pictures here: no worker that serves it has "
                         "a vision tower",
                         size, model)
                   : error_set(e, ERR_BAD_REQUEST,
                               "no worker here reads pictures: none has a vision tower");
    struct needs plain = *n;
    plain.extended = false;
    if (n->extended && router_serves(&b->workers, &plain))
        return error_set(e, ERR_UNSUPPORTED,
                         "no worker here knows schemas, counting or raw prompts; they are older "
                         "than the broker");
    if (any_worker_has_model(b, n->model))
        return error_set(e, ERR_NO_WORKERS,
                         "every worker that could serve the request is draining "
                         "or was just lost");
    if (n->model.size == 0 || b->models.count == 0)
        return error_set(e, ERR_NO_WORKERS, "no worker is connected to the broker");
    if (known)
        return error_set(e, ERR_NO_WORKERS, "no worker that serves model \"%.*s\" is up", size,
                         model);
    char list[160];
    models_list(&b->models, list, sizeof list);
    return error_set(e, ERR_UNKNOWN_MODEL, "no worker ever announced model \"%.*s\"; known: %s",
                     size, model, list);
}

/* Everything that turns a request away before it is kept. */
static void refuse(struct broker *b, const struct event *ev, int code, uint32_t retry_ms,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
static void refuse(struct broker *b, const struct event *ev, int code, uint32_t retry_ms,
                   const char *format, ...) {
    struct action *a = emit(b, ACTION_ERROR);
    a->peer = ev->peer;
    a->id = ev->request.id;
    a->has_id = true;
    a->code = code;
    a->retry_ms = retry_ms;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(a->text, sizeof a->text, format, args);
    va_end(args);
    if (code == ERR_BUSY)
        b->stats.busy++;
    else
        b->stats.failed++;
}

/* Answered without the id: one with it would end the request that is under way. */
static void refuse_twin(struct broker *b, const struct event *ev) {
    refuse(b, ev, ERR_BAD_REQUEST, 0,
           "a request with this id is already under way; each needs an id of its own");
    b->actions[b->n_actions - 1].has_id = false;
}

/* The largest of the frames that are kept only for the loss of a worker; NULL. */
static struct job *largest_reserve(struct broker *b, uint64_t *all_bytes) {
    struct job *largest = NULL;
    *all_bytes = 0;
    for (struct job *j = jobs_first(b->jobs); j; j = jobs_next(b->jobs, j)) {
        if (j->state != JOB_STREAMING)
            continue;
        *all_bytes += j->held_bytes;
        if (j->held_bytes > 0 && (!largest || j->held_bytes > largest->held_bytes))
            largest = j;
    }
    return largest;
}

/* Lets frames of answers under way go, if need be, until all that are kept have `bytes` at most.
 * False, and none went, when that is not enough. */
static bool make_room(struct broker *b, uint64_t bytes) {
    uint64_t reserve;
    if (b->held_bytes <= bytes)
        return true;
    (void)largest_reserve(b, &reserve);
    if (b->held_bytes - reserve > bytes)
        return false;
    while (b->held_bytes > bytes)
        job_drop_frames(b, largest_reserve(b, &reserve));
    return true;
}

/* True, and answered, when the request is turned away for what the pool is like now. */
static bool refused_by_pool(struct broker *b, const struct event *ev, const struct needs *n,
                            int *unserved) {
    struct error e;
    *unserved = why_unserved(b, n, &e);
    bool young = b->now_us - b->start_us < us_of_ms(b->settings.worker_wait_ms);
    bool may_come = *unserved == ERR_NO_WORKERS ||
                    (young && (*unserved == ERR_UNKNOWN_MODEL || n->model.size == 0));
    if (*unserved != 0 && !may_come) {
        refuse(b, ev, *unserved, 0, "%s", e.text);
        return true;
    }
    bool room = jobs_queued(b->jobs) < b->settings.queue_requests;
    if (!room && *unserved == 0)
        room = b->running < BROKER_RUNNING && router_has_credit(&b->workers, n, b->now_us);
    if (!room) {
        refuse(b, ev, ERR_BUSY, busy_retry_ms(b), "the queue is full with %zu requests",
               jobs_queued(b->jobs));
        return true;
    }
    if (ev->request.held_bytes > b->settings.queue_bytes) {
        refuse(b, ev, ERR_LIMIT, 0, "the request has %zu bytes; this broker keeps %llu at most",
               ev->request.held_bytes, (unsigned long long)b->settings.queue_bytes);
        return true;
    }
    if (!make_room(b, b->settings.queue_bytes - ev->request.held_bytes)) {
        refuse(b, ev, ERR_BUSY, busy_retry_ms(b),
               "the requests that wait hold %zu bytes; %zu more are over the bound of %llu",
               b->held_bytes, ev->request.held_bytes, (unsigned long long)b->settings.queue_bytes);
        return true;
    }
    return false;
}

static bool refused_by_rule(struct broker *b, const struct event *ev) {
    if (b->stopping) {
        refuse(b, ev, ERR_SHUTTING_DOWN, RETRY_GUESS_MS, "the broker is shutting down");
        return true;
    }
    if (jobs_find_open(b->jobs, &ev->peer, &ev->request.id)) {
        refuse_twin(b, ev);
        return true;
    }
    if (jobs_open_of(b->jobs, &ev->peer) >= b->settings.client_requests) {
        refuse(b, ev, ERR_BUSY, busy_retry_ms(b), "this client already has %u requests under way",
               b->settings.client_requests);
        return true;
    }
    int64_t left_us = refusals_left_us(&b->refusals, ev->request.content_hash, b->now_us);
    if (left_us > 0) {
        refuse(b, ev, ERR_WORKER_LOST, (uint32_t)(left_us / 1000) + 1,
               "a request like this was lost with %d workers; it is refused for %lld s more",
               BROKER_LOSSES, (long long)(left_us / 1000000) + 1);
        return true;
    }
    return false;
}

void on_request(struct broker *b, const struct event *ev) {
    b->stats.requests++;
    struct needs n = {.model = ev->request.model,
                      .pictures = ev->request.pictures > 0,
                      .extended = ev->request.extended};
    int unserved;
    if (refused_by_rule(b, ev) || refused_by_pool(b, ev, &n, &unserved))
        return;
    struct job *j = jobs_add(b->jobs);
    if (!j) { /* jobs that are leaving fill the rest of the table */
        refuse(b, ev, ERR_BUSY, busy_retry_ms(b), "the table of requests is full");
        return;
    }
    MUST(label_set(&j->model, ev->request.model));
    j->client = ev->peer;
    j->id = ev->request.id;
    j->pictures = ev->request.pictures;
    j->content_hash = ev->request.content_hash;
    j->held_bytes = ev->request.held_bytes;
    j->seed = ev->request.seed;
    j->count_only = ev->request.count_only;
    j->extended = ev->request.extended;
    j->arrival_us = b->now_us;
    j->turn_us = b->now_us - us_of_ms(BROKER_PRIORITY_MS) * ev->request.priority;
    j->deadline_us = b->now_us + us_of_ms(ev->request.deadline_ms);
    j->homeless_us = unserved ? b->now_us : -1;
    j->told_us = b->now_us - us_of_ms(b->settings.progress_ms); /* told at once if it must wait */
    b->held_bytes += j->held_bytes;
    struct sizes sizes = averages_sizes(&b->averages, ev->request.chain.fingerprint);
    if (!j->count_only) /* it reuses nothing, so it needs not go to who holds its prefix */
        trail_keep(j->trail, &ev->request.chain, &sizes);
    jobs_open_job(b->jobs, j);
    jobs_enqueue(b->jobs, j);
    emit(b, ACTION_KEEP)->ticket = b->arrived = j->ticket;
    b->schedule_due = true;
}

void on_cancel(struct broker *b, const struct event *ev) {
    struct job *j = jobs_find_open(b->jobs, &ev->peer, &ev->cancel.id);
    if (j) /* else it crossed with the end of its request */
        job_fail(b, j, ERR_CANCELLED, 0, "cancelled by the client");
}

void on_client_gone(struct broker *b, const struct event *ev) {
    int64_t n = 0;
    struct job *next;
    for (struct job *j = jobs_first(b->jobs); j; j = next) {
        next = jobs_next(b->jobs, j);
        if (j->state == JOB_LEAVING || !peer_equal(&j->client, &ev->peer))
            continue;
        b->stats.cancelled++;
        job_end(b, j, false);
        n++;
    }
    if (n > 0)
        emit_note(b, NOTE_CLIENT_GONE, NULL, n, "requests=%lld", (long long)n);
}

void on_client_stuck(struct broker *b, const struct event *ev) {
    int64_t n = 0;
    struct job *next;
    for (struct job *j = jobs_first(b->jobs); j; j = next) {
        next = jobs_next(b->jobs, j);
        if (j->state == JOB_LEAVING || !peer_equal(&j->client, &ev->peer))
            continue;
        job_fail(b, j, ERR_LIMIT, 0, "cut off: the client does not read its answers");
        n++;
    }
    if (n > 0)
        emit_note(b, NOTE_CLIENT_CUT, NULL, n, "requests=%lld", (long long)n);
}

void on_shutdown(struct broker *b) {
    b->stopping = true;
    struct job *next;
    for (struct job *j = jobs_first(b->jobs); j; j = next) {
        next = jobs_next(b->jobs, j);
        if (j->state != JOB_LEAVING)
            job_fail(b, j, ERR_SHUTTING_DOWN, RETRY_GUESS_MS, "the broker is shutting down");
    }
}
