/* core_time.c - what is due because time passed.
 *
 * due_us is a bound from below: what may be due earlier than before says so (due_by), what is due
 * later or not at all any more does not. All that is due is looked through only when it is reached.
 */
#include "broker/state.h"

/* A heartbeat this late makes us poke the worker: if its process is gone the poke finds no
 * connection, and we know long before dead_ms. */
static int64_t late_us(const struct broker *b) {
    return us_of_ms(broker_heartbeat_ms(b)) * 3 / 2;
}

/* If this process stood still (stopped, suspended, starved), its workers' heartbeats lie unread in
 * the socket: the silence was ours. With workers there is a tick every late_us, so a longer gap
 * tells. The margin of half a heartbeat keeps gap and lateness together below dead_ms. */
void forgive_own_sleep(struct broker *b, int64_t now_us) {
    int64_t gap_us = now_us - b->now_us;
    if (b->workers.count == 0 || gap_us < late_us(b) + us_of_ms(broker_heartbeat_ms(b)) / 2)
        return;
    for (int i = 0; i < b->workers.end; i++) {
        struct worker *w = &b->workers.slots[i];
        if (w->used)
            w->heard_us += gap_us;
    }
    emit_note(b, NOTE_SLEPT, NULL, gap_us / 1000, "ms=%lld", (long long)(gap_us / 1000));
}

static void check_workers(struct broker *b) {
    for (int i = 0; i < b->workers.end; i++) {
        struct worker *w = &b->workers.slots[i];
        if (!w->used)
            continue;
        int64_t silent_us = b->now_us - w->heard_us;
        if (silent_us >= us_of_ms(b->settings.dead_ms)) {
            emit_note(b, NOTE_WORKER_LOST, w, silent_us / 1000,
                      "reason=silence silent_ms=%lld in_flight=%u", (long long)(silent_us / 1000),
                      w->in_flight);
            lose_worker(b, w, true, true);
        } else if (silent_us >= late_us(b) && b->now_us - w->probed_us >= late_us(b)) {
            w->probed_us = b->now_us;
            struct action *a = emit(b, ACTION_BEAT);
            a->peer = w->peer;
            a->known = true;
        }
    }
}

/* A credit is taken back without the worker's word only from one that speaks: a silent one may be
 * frozen with the cancel unread, and is dead soon if so. */
static bool speaks(struct broker *b, const struct job *j) {
    const struct worker *w = job_worker(b, j);
    return b->now_us - w->heard_us < late_us(b);
}

static bool homeless_too_long(const struct broker *b, const struct job *j) {
    return j->state == JOB_QUEUED && j->homeless_us >= 0 &&
           b->now_us - j->homeless_us >= us_of_ms(b->settings.worker_wait_ms);
}

static void fail_homeless(struct broker *b, struct job *j) {
    struct needs n = job_needs(j);
    struct error e;
    int code = why_unserved(b, &n, &e);
    if (code == 0)
        j->homeless_us = -1; /* a worker came in this very step */
    else if (j->began)
        job_fail(b, j, ERR_WORKER_LOST, 0,
                 "the worker was lost after %u tokens of the answer, and for %u ms there was no "
                 "other that could go on; ask again",
                 j->tokens, b->settings.worker_wait_ms);
    else
        job_fail(b, j, code, 0, "%s", e.text);
}

static void check_jobs(struct broker *b) {
    struct job *next;
    for (struct job *j = jobs_first(b->jobs); j; j = next) {
        next = jobs_next(b->jobs, j);
        if (j->state == JOB_LEAVING) {
            if (b->now_us >= j->leave_us && speaks(b, j))
                job_end(b, j, true);
        } else if (b->now_us >= j->deadline_us) {
            job_fail(b, j, ERR_DEADLINE, 0, "the deadline of %lld ms passed %s",
                     (long long)((j->deadline_us - j->arrival_us) / 1000),
                     j->began                 ? "in the middle of the answer"
                     : j->state == JOB_QUEUED ? "in the queue"
                                              : "before the first token");
        } else if (homeless_too_long(b, j)) {
            fail_homeless(b, j);
        }
    }
}

/* For its first token. */
static bool waits(const struct job *j) {
    return !j->began && (j->state == JOB_QUEUED || j->state == JOB_SENT);
}

static bool wants_news(const struct broker *b, const struct job *j) {
    return waits(j) && b->now_us - j->told_us >= us_of_ms(b->settings.progress_ms);
}

/* A client that waits hears from us now and then. That keeps it patient, and finds it gone. */
static void tell_waiting(struct broker *b) {
    uint32_t before = 0;
    for (struct job *j = jobs_queue_first(b->jobs); j; j = jobs_queue_next(b->jobs, j), before++) {
        if (!wants_news(b, j))
            continue;
        struct action *a = emit(b, ACTION_PROGRESS);
        a->peer = j->client;
        a->progress = (struct msg_progress){.id = j->id, .stage = STAGE_QUEUED, .done = before};
        j->told_us = b->now_us;
    }
    for (struct job *j = jobs_first(b->jobs); j; j = jobs_next(b->jobs, j)) {
        if (j->state != JOB_SENT || !wants_news(b, j))
            continue;
        struct action *a = emit(b, ACTION_PROGRESS);
        a->peer = j->client;
        a->progress = j->progress;
        j->told_us = b->now_us;
    }
}

void on_tick(struct broker *b) {
    check_workers(b);
    check_jobs(b);
    void_stale_holders(b);
    schedule(b); /* a pause may be over */
    tell_waiting(b);
}

void heard(struct broker *b, struct worker *w) {
    if (b->now_us - w->heard_us >= late_us(b))
        due_by(b, b->now_us); /* credits were not taken back while it was silent */
    w->heard_us = b->now_us;
}

static void sooner(int64_t *due_us, int64_t candidate_us) {
    if (candidate_us < *due_us)
        *due_us = candidate_us;
}

static void worker_due(const struct broker *b, const struct worker *w, int64_t *due_us) {
    sooner(due_us, w->heard_us + us_of_ms(b->settings.dead_ms));
    int64_t quiet_us = w->heard_us > w->probed_us ? w->heard_us : w->probed_us;
    sooner(due_us, quiet_us + late_us(b));
    if (w->paused_until_us > b->now_us)
        sooner(due_us, w->paused_until_us);
}

static void job_due(struct broker *b, const struct job *j, int64_t *due_us) {
    if (j->state == JOB_LEAVING) {
        if (j->leave_us > b->now_us || speaks(b, j)) /* else its worker's own time comes first */
            sooner(due_us, j->leave_us);
        return;
    }
    sooner(due_us, j->deadline_us);
    if (j->state == JOB_QUEUED && j->homeless_us >= 0)
        sooner(due_us, j->homeless_us + us_of_ms(b->settings.worker_wait_ms));
    if (j->state == JOB_QUEUED && j->look_us > b->now_us)
        sooner(due_us, j->look_us);
    if (waits(j))
        sooner(due_us, j->told_us + us_of_ms(b->settings.progress_ms));
}

void due_by(struct broker *b, int64_t us) {
    sooner(&b->due_us, us);
}

void due_by_job(struct broker *b, const struct job *j) {
    job_due(b, j, &b->due_us);
}

void due_by_worker(struct broker *b, const struct worker *w) {
    worker_due(b, w, &b->due_us);
}

int64_t next_due_us(struct broker *b) {
    if (b->due_us > b->now_us)
        return b->due_us;
    b->due_us = INT64_MAX;
    for (int i = 0; i < b->workers.end; i++)
        if (b->workers.slots[i].used)
            worker_due(b, &b->workers.slots[i], &b->due_us);
    for (struct job *j = jobs_first(b->jobs); j; j = jobs_next(b->jobs, j))
        job_due(b, j, &b->due_us);
    return b->due_us;
}
