/* run_events.c - events of the pool, through the dialect, to the readers. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "gateway/http/idempotency.h"
#include "gateway/http/run.h"

#define TOKEN_TEXT_BYTES 1024 /* of one token, for its base64 */

void run_flush(struct run *run) {
    if (run->output.size == run->flushed)
        return;
    run->said_ms = clock_ms();
    for (struct run_reader *r = run->readers; r; r = r->next)
        (void)exchange_push(r->exchange, run->output.data + run->flushed,
                            run->output.size - run->flushed);
    idempotency_grown(run);
    if (!run->kept)
        run->output.size = 0;
    run->flushed = run->output.size;
}

void run_begin(struct run *run) {
    if (run->begun)
        return;
    run->begun = true;
    run->status = 200;
    for (struct run_reader *r = run->readers; r; r = r->next)
        exchange_begin(r->exchange, run_reader_gone, r);
    run->dialect->begin(&run->reply, &run->output);
}

/* ---- log-probabilities ---- */

static json_t *token_json(const struct quire_logprob *t) {
    char text[sodium_base64_ENCODED_LEN(TOKEN_TEXT_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    size_t n = t->text_bytes < TOKEN_TEXT_BYTES ? t->text_bytes : TOKEN_TEXT_BYTES;
    sodium_bin2base64(text, sizeof text, (const uint8_t *)t->text, n,
                      sodium_base64_VARIANT_ORIGINAL);
    return json_pack("{s:i, s:s, s:f}", "id", t->id, "text", text, "logprob", (double)t->logprob);
}

static void add_tokens(struct run *run, const struct quire_event *event) {
    for (uint32_t i = 0; event->tokens && run->reply.tokens && i < event->n_tokens; i++) {
        const struct quire_token *t = &event->tokens[i];
        json_t *token = token_json(&t->chosen), *top = json_array();
        for (size_t k = 0; k < t->n_others; k++)
            (void)json_array_append_new(top, token_json(&t->others[k]));
        (void)json_object_set_new(token, "top", top);
        (void)json_array_append_new(run->reply.tokens, token);
    }
}

/* ---- ends ---- */

static void hear_fault(struct run *run, const struct fault *f) {
    if (run->begun) {
        run->dialect->broken(&run->reply, f, &run->output);
        run_flush(run);
    }
    for (struct run_reader *r = run->readers; r; r = r->next) {
        exchange_note(r->exchange, &run->note);
        if (run->begun)
            exchange_end(r->exchange);
        else
            exchange_refuse(r->exchange, f);
    }
}

void run_fail(struct run *run, const struct fault *f) {
    run->asked = NULL;
    run->status = f->status;
    run_record(run, error_name(f->code), NULL);
    hear_fault(run, f);
    idempotency_failed(run);
    run_close_books(run);
    run_release(run);
}

/* The answer does not fit where it has to; nobody will get a part of it as if it were all. */
static bool too_large(struct run *run) {
    struct fault f;
    if (!run->reply.answer.failed && !run->output.failed)
        return false;
    if (run->asked)
        pool_cancel(run->server->gateway->pool, run->asked);
    run->server->pool_work = true;
    fault_set(&f, 500, ERR_LIMIT, "", "the answer is too large, or memory ran out");
    run->output.failed = false;
    run->output.size = run->flushed;
    run_fail(run, &f);
    return true;
}

/* False: it could not be written down; it has failed, and is gone. */
static bool answer_whole(struct run *run) {
    run->dialect->whole(&run->reply, &run->output);
    if (too_large(run))
        return false;
    for (struct run_reader *r = run->readers; r; r = r->next) {
        exchange_note(r->exchange, &run->note);
        exchange_reply(r->exchange, 200, "application/json", run->output.data, run->output.size);
    }
    return true;
}

static bool end_stream(struct run *run) {
    run_begin(run);
    run->dialect->end(&run->reply, &run->output);
    if (too_large(run))
        return false;
    run_flush(run);
    for (struct run_reader *r = run->readers; r; r = r->next) {
        exchange_note(r->exchange, &run->note);
        exchange_end(r->exchange);
    }
    return true;
}

/* ---- the listener ---- */

static void on_progress(void *arg, const struct quire_event *event) {
    struct run *run = arg;
    memcpy(run->record.id, event->id, sizeof run->record.id);
}

static void on_tokens(void *arg, const struct quire_event *event) {
    struct run *run = arg;
    if (run->note.first_us == 0) {
        run->note.first_us = clock_us();
        memcpy(run->record.id, event->id, sizeof run->record.id);
    }
    text_add(&run->reply.answer, event->text, event->text_bytes);
    run->reply.n_tokens += event->n_tokens;
    add_tokens(run, event);
    if (too_large(run) || !run->reply.stream)
        return;
    run_begin(run);
    run->dialect->piece(&run->reply, event, &run->output);
    if (!too_large(run))
        run_flush(run);
}

static void on_done(void *arg, const struct quire_event *event) {
    struct run *run = arg;
    run->asked = NULL;
    run->reply.done = event;
    run->status = 200;
    run_record(run, "done", event);
    if (run->reply.details)
        run->reply.details_object = run_details(run);
    if (!(run->reply.stream ? end_stream(run) : answer_whole(run)))
        return;
    run->reply.done = NULL; /* lives until we return */
    run_close_books(run);
    idempotency_done(run);
    run_release(run);
}

static void on_failed(void *arg, const struct fault *fault) {
    run_fail(arg, fault);
}

const struct pool_listener run_listener = {on_progress, on_tokens, on_done, on_failed};
