/* core_pool.c - workers as they come, beat, drain and go.
 *
 * A worker is a name; a process that bears it is an incarnation; a connection to it is a peer. All
 * three are checked, since a frozen process that thaws, a restarted one and one that reconnects
 * look alike from only one of them: same name, new incarnation    the process was restarted: what
 * it held died with it same incarnation, new peer    the connection broke: what it held may still
 * be there, but its answers were lost with the connection, so it is given up an incarnation that
 * was replaced before   two live processes share a name: refused, or they would throw each other
 * out for ever */
#include <stdio.h>

#include "broker/state.h"
#include "common/must.h"

void note_drained(struct broker *b, struct worker *w) {
    if (!w->gone && worker_state_of(w) == WORKER_DRAINED)
        emit_note(b, NOTE_WORKER_DRAINED, w, 0, "it has no requests left and takes no new ones");
}

void lose_worker(struct broker *b, struct worker *w, bool lost, bool tell) {
    w->gone = true;
    struct job *next;
    for (struct job *j = jobs_first(b->jobs); j; j = next) {
        next = jobs_next(b->jobs, j);
        if (job_worker(b, j) != w)
            continue;
        if (tell && j->state != JOB_LEAVING) {
            struct action *a = emit(b, ACTION_CANCEL_WORK);
            a->peer = w->peer;
            a->ticket = j->ticket;
            a->attempt = j->attempt;
        }
        job_bounced(b, j, lost);
    }
    holder_leaves(b, w);
    workers_remove(&b->workers, w);
    b->schedule_due = b->pool_changed = b->rates_stale = true;
}

static void refuse_worker(struct broker *b, const struct event *ev, int code, const char *text) {
    struct action *a = emit(b, ACTION_REFUSE);
    a->peer = ev->peer;
    a->code = code;
    (void)snprintf(a->text, sizeof a->text, "%s", text);
    a = emit(b, ACTION_NOTE);
    a->note = NOTE_WORKER_REFUSED;
    (void)label_set(&a->worker, ev->ready.name);
    (void)snprintf(a->text, sizeof a->text, "code=%s %s", error_name(code), text);
}

static bool ready_is_refused(struct broker *b, const struct event *ev) {
    const struct msg_ready *r = &ev->ready;
    struct error e;
    int code = 0;
    if (r->version_min > PROTO_VERSION_MAX || r->version_max < PROTO_VERSION_MIN)
        code = error_set(&e, ERR_BAD_VERSION, "the broker speaks versions %d to %d, not %u to %u",
                         PROTO_VERSION_MIN, PROTO_VERSION_MAX, r->version_min, r->version_max);
    else if (r->name.size == 0 || r->name.size > LIMIT_NAME_BYTES || r->model.size == 0 ||
             r->model.size > LIMIT_MODEL_BYTES || r->template_id.size > LIMIT_TEMPLATE_BYTES ||
             r->tools.size > LIMIT_TOOLS_BYTES)
        code =
            error_set(&e, ERR_BAD_MESSAGE,
                      "READY needs a name of 1 to %d bytes, a model of 1 to %d bytes, a "
                      "template of at most %d bytes and tools of at most %d",
                      LIMIT_NAME_BYTES, LIMIT_MODEL_BYTES, LIMIT_TEMPLATE_BYTES, LIMIT_TOOLS_BYTES);
    else if (r->credits == 0 || r->incarnation == 0)
        code = error_set(&e, ERR_BAD_MESSAGE, "READY needs credits and an incarnation above 0");
    else if (b->stopping)
        code = error_set(&e, ERR_SHUTTING_DOWN, "the broker is shutting down");
    if (code != 0)
        refuse_worker(b, ev, code, e.text);
    return code != 0;
}

static void fill_worker(struct worker *w, const struct event *ev, int64_t now_us) {
    const struct msg_ready *r = &ev->ready;
    w->peer = ev->peer;
    MUST(label_set(&w->name, r->name) && label_set(&w->model, r->model) &&
         label_set(&w->template_id, r->template_id) && label_set(&w->tools, r->tools));
    w->incarnation = r->incarnation;
    memcpy(w->fingerprint, r->fingerprint, sizeof w->fingerprint);
    w->credits = r->credits < WORKER_CREDITS_MAX ? r->credits : WORKER_CREDITS_MAX;
    w->pages_total = r->pages_total;
    w->context = r->context;
    w->pid = r->pid;
    w->vision = r->vision;
    w->resumes = r->resumes;
    w->extended = r->extended;
    w->heard_us = now_us;
    w->load.pages_free = r->pages_total;
}

static void welcome(struct broker *b, struct worker *w) {
    models_see(&b->models, &w->model, w->vision);
    holder_joins(b, w);
    emit(b, ACTION_WELCOME)->peer = w->peer;
    emit(b, ACTION_INVENTORY)->peer = w->peer; /* what it told a broken connection is lost */
    if (w->drain_asked) {
        struct action *a = emit(b, ACTION_DRAIN);
        a->peer = w->peer;
        a->on = true;
    }
    due_by_worker(b, w);
    b->schedule_due = b->pool_changed = b->rates_stale = true;
}

/* The worker that has the name already, moved out of the way as the head of this file says.
 * False when it is the newcomer that must go. */
static bool make_way(struct broker *b, const struct event *ev, struct worker *w,
                     uint64_t *replaced) {
    if (w->replaced == ev->ready.incarnation) {
        refuse_worker(b, ev, ERR_BAD_REQUEST,
                      "another process of the same name took this one's place; give each worker a "
                      "name of its own");
        return false;
    }
    *replaced = w->incarnation;
    emit_note(b, NOTE_WORKER_REPLACED, w, 0, "old=%016llx new=%016llx in_flight=%u",
              (unsigned long long)w->incarnation, (unsigned long long)ev->ready.incarnation,
              w->in_flight);
    lose_worker(b, w, true, true);
    return true;
}

/* READY of an incarnation we know: nothing is new but perhaps its connection. Fewer credits than it
 * has requests would break the promise of never more than its credit, so these are given up too. */
static void renew(struct broker *b, const struct event *ev, struct worker *w) {
    struct worker old = *w;
    bool moved = !peer_equal(&w->peer, &ev->peer);
    if (moved || ev->ready.credits < w->in_flight || !label_is(&w->model, ev->ready.model)) {
        lose_worker(b, w, false, true);
        w = workers_add(&b->workers);
        MUST(w);
        w->replaced = old.replaced;
        w->drain_asked = old.drain_asked;
        w->done = old.done;
        w->failed = old.failed;
        w->load = old.load;
        w->service_us = old.service_us;
    }
    fill_worker(w, ev, b->now_us);
    emit_note(b, NOTE_WORKER_BACK, w, 0, "incarnation=%016llx moved=%d",
              (unsigned long long)w->incarnation, moved);
    welcome(b, w);
}

void on_ready(struct broker *b, const struct event *ev) {
    if (ready_is_refused(b, ev))
        return;
    struct worker *w = workers_find_name(&b->workers, ev->ready.name);
    struct worker *on_peer = workers_find_peer(&b->workers, &ev->peer);
    if (on_peer && on_peer != w)
        lose_worker(b, on_peer, false, false); /* one connection, one worker */
    if (w && w->incarnation == ev->ready.incarnation) {
        renew(b, ev, w);
        return;
    }
    uint64_t replaced = 0;
    if (w && !make_way(b, ev, w, &replaced))
        return;
    w = workers_add(&b->workers);
    if (!w) {
        char text[80];
        (void)snprintf(text, sizeof text, "the broker has its %d workers already", LIMIT_WORKERS);
        refuse_worker(b, ev, ERR_LIMIT, text);
        return;
    }
    fill_worker(w, ev, b->now_us);
    w->replaced = replaced;
    emit_note(b, NOTE_WORKER_UP, w, 0,
              "model=%s incarnation=%016llx pid=%u credits=%u pages=%u context=%u vision=%d",
              w->model.text, (unsigned long long)w->incarnation, w->pid, w->credits, w->pages_total,
              w->context, w->vision);
    welcome(b, w);
}

static struct worker *known_worker(struct broker *b, const struct event *ev, uint64_t incarnation) {
    struct worker *w = workers_find_peer(&b->workers, &ev->peer);
    return w && w->incarnation == incarnation ? w : NULL;
}

void on_heartbeat(struct broker *b, const struct event *ev) {
    struct worker *w = known_worker(b, ev, ev->heartbeat.incarnation);
    struct action *a = emit(b, ACTION_BEAT);
    a->peer = ev->peer;
    a->known = w != NULL;
    if (!w)
        return;
    enum worker_state before = worker_state_of(w);
    heard(b, w);
    w->load = ev->heartbeat;
    b->rates_stale = true;
    w->drain_self = ev->heartbeat.draining;
    enum worker_state after = worker_state_of(w);
    if (before == after)
        return;
    b->schedule_due = b->pool_changed = true;
    if (after == WORKER_UP)
        emit_note(b, NOTE_WORKER_UNDRAINED, w, 0, "by=worker");
    else
        emit_note(b, NOTE_WORKER_DRAINING, w, w->in_flight, "by=worker in_flight=%u", w->in_flight);
    note_drained(b, w);
}

void on_goodbye(struct broker *b, const struct event *ev) {
    struct worker *w = known_worker(b, ev, ev->goodbye.incarnation);
    if (!w)
        return;
    emit_note(b, NOTE_WORKER_LEFT, w, w->in_flight, "in_flight=%u", w->in_flight);
    int holder = w->holder;
    lose_worker(b, w, false, false);
    if (holder >= 0)
        holder_void(b, holder);
}

void on_worker_gone(struct broker *b, const struct event *ev) {
    struct worker *w = workers_find_peer(&b->workers, &ev->peer);
    if (!w)
        return;
    emit_note(b, NOTE_WORKER_LOST, w, (b->now_us - w->heard_us) / 1000,
              "reason=connection silent_ms=%lld in_flight=%u",
              (long long)((b->now_us - w->heard_us) / 1000), w->in_flight);
    lose_worker(b, w, true, false);
}

void on_unsent(struct broker *b, const struct event *ev) {
    struct worker *w = workers_find_peer(&b->workers, &ev->peer);
    if (!w)
        return;
    w->paused_until_us = b->now_us + us_of_ms(BROKER_PAUSE_MS);
    due_by(b, w->paused_until_us);
    struct job *j = jobs_find(b->jobs, ev->unsent.ticket);
    if (j && j->state == JOB_SENT && j->attempt == ev->unsent.attempt && job_worker(b, j) == w)
        job_unsend(b, j);
    else if (j && j->state == JOB_LEAVING && j->attempt == ev->unsent.attempt &&
             job_worker(b, j) == w)
        job_end(b, j, true); /* it ended while the news was on its way */
}

void on_drain(struct broker *b, const struct event *ev) {
    struct worker *w = workers_find_name(&b->workers, ev->drain.worker);
    if (!w) {
        struct action *a = emit(b, ACTION_ERROR);
        a->peer = ev->peer;
        a->code = ERR_NOT_FOUND;
        (void)snprintf(a->text, sizeof a->text, "there is no worker named \"%.*s\"",
                       (int)ev->drain.worker.size, (const char *)ev->drain.worker.data);
        return;
    }
    enum worker_state before = worker_state_of(w);
    w->drain_asked = ev->drain.on;
    if (!ev->drain.on)
        w->drain_self = false; /* until its next heartbeat says otherwise */
    struct action *a = emit(b, ACTION_DRAIN);
    a->peer = w->peer;
    a->on = ev->drain.on;
    a = emit(b, ACTION_DRAIN_OK);
    a->peer = ev->peer;
    a->on = ev->drain.on;
    a->serial = ev->drain.serial;
    a->worker = w->name;
    if (before == worker_state_of(w))
        return;
    b->schedule_due = b->pool_changed = true;
    if (!ev->drain.on) {
        emit_note(b, NOTE_WORKER_UNDRAINED, w, 0, "by=operator");
        return;
    }
    emit_note(b, NOTE_WORKER_DRAINING, w, w->in_flight, "by=operator in_flight=%u", w->in_flight);
    note_drained(b, w);
}
