/* core_reply.c - what workers answer.
 *
 * A reply counts only if it comes from the connection and the incarnation that hold the ticket, for
 * the attempt under way. Everything else is late: from a worker that was frozen and thawed, or
 * about a request that ended meanwhile. It is dropped; and unless it was the last word of that
 * attempt, the sender is told (once more) to stop, so that a lost CANCEL_WORK does not cost a whole
 * answer. */
#include "broker/state.h"

static bool is_terminal(enum message_type t) {
    return t == MSG_DONE || t == MSG_ERROR;
}

static void tell_to_stop(struct broker *b, const struct event *ev) {
    struct action *a = emit(b, ACTION_CANCEL_WORK);
    a->peer = ev->peer;
    a->ticket = ev->reply.reply.ticket;
    a->attempt = ev->reply.reply.attempt;
}

static void pass(struct broker *b, struct job *j) {
    emit(b, ACTION_PASS)->peer = j->client;
    j->told_us = b->now_us;
}

/* The first word of the attempt's answer, or its end. */
static void answer_moves(struct broker *b, struct job *j) {
    first_token(b, j);
    if (j->began)
        b->stats.resumed++;
}

static void answer_begins(struct broker *b, struct job *j, const struct worker *w) {
    j->began = true;
    j->first_us = b->now_us;
    j->queue_us = j->sent_us - j->arrival_us;
    j->foreseen_us = j->predicted_us;
    j->context = w->context;
    memcpy(j->fingerprint, w->fingerprint, sizeof j->fingerprint);
    b->stats.first_token_ms_sum += (uint64_t)((b->now_us - j->arrival_us) / 1000);
    b->stats.first_token_count++;
}

/* Keeps what another worker must know to go on; if it can't, the frames are of no use either. */
static void remember(struct broker *b, struct job *j, const struct worker *w,
                     const struct event *ev) {
    struct bytes ids = ev->reply.reply.ids;
    bool told = w->resumes && ids.size == (size_t)ev->reply.n_tokens * TOKEN_ID_BYTES;
    if (j->held_bytes > 0 && !(told && replays_add(b->replays, &j->replay, ids)))
        job_drop_frames(b, j);
}

static void on_tokens(struct broker *b, struct job *j, struct worker *w, const struct event *ev) {
    if (ev->reply.index != j->tokens || ev->reply.n_tokens > LIMIT_MAX_TOKENS - j->tokens) {
        job_fail(b, j, ERR_INTERNAL, 0, "worker \"%s\" sent token %u after %u tokens", w->name.text,
                 ev->reply.index, j->tokens);
        return;
    }
    if (j->state == JOB_SENT) {
        answer_moves(b, j);
        j->state = JOB_STREAMING;
    }
    if (!j->began)
        answer_begins(b, j, w);
    remember(b, j, w, ev);
    j->tokens += ev->reply.n_tokens;
    j->text_bytes += ev->reply.text_bytes;
    pass(b, j);
}

static int64_t average(int64_t old_us, int64_t new_us) {
    return old_us == 0 ? new_us : (7 * old_us + new_us) / 8;
}

static void count_done(struct broker *b, const struct job *j, struct worker *w,
                       const struct usage *u) {
    b->stats.prompt_positions += u->prompt_positions;
    b->stats.reused_positions += u->reused_positions;
    b->stats.answer_tokens += u->answer_tokens;
    b->stats.pictures += u->pictures;
    b->stats.pictures_encoded += u->pictures_encoded;
    int64_t service_us = b->now_us - j->sent_us;
    b->service_us = average(b->service_us, service_us);
    w->service_us = average(w->service_us, service_us);
    averages_learn(&b->averages, j->trail, u);
}

static void on_done(struct broker *b, struct job *j, struct worker *w, const struct event *ev) {
    if (j->state == JOB_SENT && !j->count_only)
        answer_moves(b, j);
    struct action *a = emit(b, ACTION_DONE);
    a->peer = j->client;
    a->id = j->id;
    a->ticket = j->ticket;
    a->attempt = j->attempt;
    a->queue_us = (uint64_t)(j->began ? j->queue_us : j->sent_us - j->arrival_us);
    a->predicted_us = (uint64_t)(j->began ? j->foreseen_us : j->predicted_us);
    a->resumed = j->given > 0;
    a->first_token_us = (uint64_t)(j->first_us - j->arrival_us);
    a->total_us = (uint64_t)(b->now_us - j->arrival_us);
    w->done++;
    b->stats.done++;
    if (!j->count_only) { /* else nothing was computed that could be learned from */
        count_done(b, j, w, &ev->reply.usage);
        prompt_took(b, j, w, &ev->reply.usage, &ev->reply.timings);
    }
    job_end(b, j, true);
}

/* BUSY and SHUTTING_DOWN before the attempt's first token say "not here", and so does SHUTTING_DOWN
 * after it if another can go on; any other ERROR is the answer. */
static bool hands_back(const struct job *j, int code) {
    bool leaves = code == ERR_SHUTTING_DOWN;
    return j->state == JOB_SENT ? leaves || code == ERR_BUSY : leaves && j->held_bytes > 0;
}

static void on_error(struct broker *b, struct job *j, struct worker *w, const struct event *ev) {
    int code = ev->reply.code;
    if (hands_back(j, code)) {
        w->paused_until_us = b->now_us + us_of_ms(BROKER_PAUSE_MS);
        w->drain_self |= code == ERR_SHUTTING_DOWN;
        b->pool_changed |= w->drain_self;
        due_by(b, w->paused_until_us);
        job_bounced(b, j, false);
        return;
    }
    pass(b, j);
    w->failed++;
    if (code == ERR_DEADLINE)
        b->stats.expired++;
    else if (code == ERR_CANCELLED)
        b->stats.cancelled++;
    else
        b->stats.failed++;
    emit_note(b, NOTE_REQUEST_FAILED, w, 0, "ticket=%llu code=%s attempts=%u by=worker",
              (unsigned long long)j->ticket, error_name(code), j->attempt);
    job_end(b, j, true);
}

/* What is left of a prompt by what its worker says of it. Tiles that it finds done already are told
 * as done, so the whole of them says nothing. */
static void prompt_goes_on(struct job *j, struct worker *w, int64_t now_us) {
    const struct msg_progress *p = &j->progress;
    if (p->done > p->total || (p->stage != STAGE_PICTURE && p->stage != STAGE_PREFILL))
        return;
    uint32_t undone = p->total - p->done;
    int64_t left_us = j->cost.encode_us + j->cost.prefill_us;
    if (p->stage == STAGE_PICTURE) {
        double encode_us = (double)undone * (double)j->cost.tile_us;
        if (encode_us < (double)j->cost.encode_us)
            left_us = j->cost.prefill_us + (int64_t)encode_us;
    } else if (p->total > j->reused && undone < p->total - j->reused) {
        left_us = (int64_t)((double)j->cost.prefill_us * undone / (p->total - j->reused));
    }
    enum prompt_stage stage = p->stage == STAGE_PICTURE ? PROMPT_ENCODES : PROMPT_COMPUTES;
    prompts_tell(&w->prompts, j->prompt, stage, left_us, now_us);
}

static void on_live_reply(struct broker *b, struct job *j, struct worker *w,
                          const struct event *ev) {
    enum message_type t = ev->reply.inner;
    bool same = memcmp(ev->reply.id.bytes, j->id.bytes, sizeof j->id.bytes) == 0;
    if (t == MSG_TYPES || !same) {
        b->stats.bad_messages++;
        job_fail(b, j, ERR_INTERNAL, 0, "worker \"%s\" sent an answer that %s", w->name.text,
                 same ? "can't be read" : "is about another request");
    } else if (t == MSG_TOKENS) {
        on_tokens(b, j, w, ev);
    } else if (t == MSG_DONE) {
        on_done(b, j, w, ev);
    } else if (t == MSG_ERROR) {
        on_error(b, j, w, ev);
    } else {
        j->progress = ev->reply.progress;
        if (j->prompts)
            prompt_goes_on(j, w, b->now_us);
        if (!j->began) /* a client hears of progress before the first token only */
            pass(b, j);
    }
}

void on_reply(struct broker *b, const struct event *ev) {
    const struct msg_reply *r = &ev->reply.reply;
    bool terminal = is_terminal(ev->reply.inner);
    struct worker *w = workers_find_peer(&b->workers, &ev->peer);
    if (w && w->incarnation == r->incarnation)
        heard(b, w);
    struct job *j = jobs_find(b->jobs, r->ticket);
    bool current = w && w->incarnation == r->incarnation && j && j->attempt == r->attempt &&
                   job_worker(b, j) == w;
    if (current && j->state == JOB_LEAVING) {
        if (terminal)
            job_end(b, j, true);
        return; /* it was told to stop; these crossed with that */
    }
    if (current)
        on_live_reply(b, j, w, ev);
    else if (!terminal)
        tell_to_stop(b, ev);
}
