/* core_life.c - a job's moves between its states.
 *
 *     QUEUED --send--> SENT --first token--> STREAMING
 *        ^              |                        |
 *        +--- bounced --+------------------------+
 *                       |      done, failed, cancelled, deadline
 *                       |                        |
 *                       v                        v
 *            LEAVING (the worker was told to stop)   or gone at once
 *
 * One that goes back to the queue from STREAMING, or has been there since, takes the tokens that
 * its client has along, and whoever gets it next goes on behind them.
 *
 * A worker's credit is taken in job_send and given back in `release`, nowhere else. A job that ends
 * while its worker still computes keeps the credit until the worker confirms with a terminal reply,
 * or is lost, or has gone on speaking for dead_ms without a word of it: only so "never more than
 * its credit" holds at the worker and not just in our books. */
#include <stdarg.h>
#include <stdio.h>

#include "broker/state.h"
#include "common/must.h"

struct needs job_needs(const struct job *j) {
    struct needs n = {.model = label_bytes(&j->model),
                      .pictures = j->pictures > 0,
                      .extended = j->extended,
                      .avoid = j->avoid};
    if (j->began) {
        n.resumes = true;
        n.given = j->tokens;
        n.context = j->context;
        memcpy(n.fingerprint, j->fingerprint, sizeof n.fingerprint);
    }
    return n;
}

struct worker *job_worker(struct broker *b, const struct job *j) {
    return j->worker >= 0 ? &b->workers.slots[j->worker] : NULL;
}

/* Books the prompt's work at the worker, and the links that will come of it. */
static void prompt_begins(struct broker *b, struct job *j, const struct candidate *c) {
    struct worker *w = c->worker;
    j->predicted_us = c->total_us > 0 ? c->total_us : 1;
    j->came_us = 0;
    j->cost = c->cost;
    j->effort = c->effort;
    j->measured =
        w->load.prefill_us_per_position > 0 && (c->cost.encode_us == 0 || w->load.tile_us > 0);
    j->reused = c->held.positions;
    j->prompts = true;
    j->prompt = prompts_add(&w->prompts, &c->cost, b->now_us);
    j->holder = w->holder;
    j->promise_from = (uint32_t)(c->held.kept + 1);
    if (j->holder >= 0)
        trail_promise(j->trail, b->affinity, j->holder, j->promise_from,
                      (uint32_t)(b->now_us / 1000000));
}

void job_prompt_over(struct broker *b, struct job *j) {
    struct worker *w = job_worker(b, j);
    if (!j->prompts)
        return;
    MUST(w);
    j->prompts = false;
    prompts_remove(&w->prompts, j->prompt);
}

static void release(struct broker *b, struct job *j) {
    struct worker *w = job_worker(b, j);
    MUST(w && w->in_flight > 0 && b->running > 0);
    job_prompt_over(b, j);
    if (j->holder >= 0)
        trail_withdraw(j->trail, b->affinity, j->holder, j->promise_from);
    j->holder = -1;
    j->worker = -1;
    w->in_flight--;
    b->running--;
    b->schedule_due = true;
    note_drained(b, w);
}

void job_send(struct broker *b, struct job *j, const struct candidate *c) {
    struct worker *w = c->worker;
    MUST(w->in_flight < w->credits && b->running < BROKER_RUNNING);
    jobs_dequeue(b->jobs, j);
    j->state = JOB_SENT;
    j->worker = workers_slot(&b->workers, w);
    j->attempt++;
    j->sent_us = j->told_us = b->now_us;
    j->progress = (struct msg_progress){.id = j->id, .stage = STAGE_QUEUED};
    j->waits_us = -1;
    j->look_us = INT64_MAX;
    if (!j->count_only)
        prompt_begins(b, j, c);
    w->in_flight++;
    b->running++;
    due_by_job(b, j);
    if (j->attempt > 1) {
        b->stats.resent++;
        emit_note(b, NOTE_REQUEST_RESENT, w, j->attempt, "ticket=%llu attempt=%u tokens=%u",
                  (unsigned long long)j->ticket, j->attempt, j->tokens);
    }
    struct action *a = emit(b, ACTION_WORK);
    a->peer = w->peer;
    a->ticket = j->ticket;
    a->attempt = j->attempt;
    a->seed = j->seed;
    a->given = j->given = j->tokens;
    a->text_bytes = j->text_bytes;
    int64_t left_us = j->deadline_us - b->now_us;
    a->deadline_ms = left_us > 1000 ? (uint32_t)(left_us / 1000) : 1;
}

void job_unsend(struct broker *b, struct job *j) {
    MUST(j->state == JOB_SENT && j->attempt > 0);
    if (j->attempt > 1)
        b->stats.resent--;
    j->attempt--;
    release(b, j);
    jobs_enqueue(b->jobs, j);
    due_by_job(b, j);
}

void job_drop_frames(struct broker *b, struct job *j) {
    if (j->held_bytes == 0)
        return;
    MUST(b->held_bytes >= j->held_bytes);
    b->held_bytes -= j->held_bytes;
    j->held_bytes = 0;
    replays_drop(b->replays, &j->replay);
    emit(b, ACTION_DROP)->ticket = j->ticket;
}

void job_end(struct broker *b, struct job *j, bool worker_knows) {
    job_drop_frames(b, j);
    b->schedule_due = true;
    struct worker *w = job_worker(b, j);
    if (w && !worker_knows) {
        struct action *a = emit(b, ACTION_CANCEL_WORK);
        a->peer = w->peer;
        a->ticket = j->ticket;
        a->attempt = j->attempt;
        j->state = JOB_LEAVING;
        j->leave_us = b->now_us + us_of_ms(b->settings.dead_ms);
        jobs_close_job(b->jobs, j);
        job_prompt_over(b, j);
        due_by_job(b, j);
        return;
    }
    if (w)
        release(b, j);
    jobs_remove(b->jobs, j);
}

static void count_failure(struct broker *b, int code) {
    if (code == ERR_CANCELLED)
        b->stats.cancelled++;
    else if (code == ERR_DEADLINE)
        b->stats.expired++;
    else
        b->stats.failed++;
}

void job_fail(struct broker *b, struct job *j, int code, uint32_t retry_ms, const char *format,
              ...) {
    struct worker *w = job_worker(b, j);
    struct action *a = emit(b, ACTION_ERROR);
    a->peer = j->client;
    a->id = j->id;
    a->has_id = true;
    a->code = code;
    a->retry_ms = retry_ms;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(a->text, sizeof a->text, format, args);
    va_end(args);
    count_failure(b, code);
    if (w)
        w->failed++;
    if (code != ERR_CANCELLED)
        emit_note(b, NOTE_REQUEST_FAILED, w, 0, "ticket=%llu code=%s attempts=%u age_ms=%lld",
                  (unsigned long long)j->ticket, error_name(code), j->attempt,
                  (long long)((b->now_us - j->arrival_us) / 1000));
    job_end(b, j, false);
}

static void refuse_content(struct broker *b, const struct job *j) {
    refusals_add(&b->refusals, j->content_hash, b->now_us + us_of_ms(b->settings.refuse_ms));
    emit_note(b, NOTE_CONTENT_REFUSED, NULL, b->settings.refuse_ms,
              "content=%016llx for_ms=%u workers_lost=%u", (unsigned long long)j->content_hash,
              b->settings.refuse_ms, j->losses);
}

void job_bounced(struct broker *b, struct job *j, bool lost) {
    struct worker *w = job_worker(b, j);
    struct label name = w->name;
    enum job_state state = j->state;
    if (lost)
        j->losses++;
    else
        j->returns++;
    j->avoid = w->incarnation;
    w->failed += state != JOB_LEAVING;
    release(b, j);
    if (state == JOB_LEAVING)
        jobs_remove(b->jobs, j);
    else if (j->losses >= BROKER_LOSSES) {
        refuse_content(b, j);
        job_fail(b, j, ERR_WORKER_LOST, 0,
                 "this request was lost with %u workers, \"%s\" the last; it is not sent to "
                 "another, and its like is refused for %u s",
                 j->losses, name.text, b->settings.refuse_ms / 1000);
    } else if (j->began && j->held_bytes == 0)
        job_fail(b, j, ERR_WORKER_LOST, 0,
                 "worker \"%s\" was lost after %u tokens of the answer; ask again", name.text,
                 j->tokens);
    else if (j->losses + j->returns > BROKER_RESENDS)
        job_fail(b, j, j->losses > 0 || j->began ? ERR_WORKER_LOST : ERR_BUSY, busy_retry_ms(b),
                 "%u workers in turn did not keep this request, \"%s\" the last; try again later",
                 j->losses + j->returns, name.text);
    else {
        jobs_enqueue(b->jobs, j);
        due_by_job(b, j);
    }
}
