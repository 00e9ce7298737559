/* run.c - from a body to a request at the pool, and who reads what comes of it.
 *
 * A run is freed when it has ended, nobody reads it, and it is not kept for a retry. One without a
 * key ends with its reader; one with a key goes on for a while, so that a retry finds it. */
#include "gateway/http/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "gateway/access/limits.h"
#include "gateway/http/idempotency.h"
#include "gateway/http/input.h"
#include "gateway/pool/observer.h"

#define DEADLINE_MAX_MS 3600000

/* ---- readers ---- */

void run_reader_gone(void *arg) {
    struct run_reader *gone = arg;
    struct run *run = gone->run;
    struct run_reader **p = &run->readers;
    while (*p != gone)
        p = &(*p)->next;
    *p = gone->next;
    if (!run->ended) { /* what it got until now */
        run->note.tokens = run->reply.n_tokens;
        exchange_note(gone->exchange, &run->note);
    }
    free(gone);
    if (run->readers == NULL && !run->ended) {
        if (run->kept)
            idempotency_abandoned(run);
        else if (run->asked)
            run_cancel(run);
    }
    run_release(run);
}

static struct run_reader *add_reader(struct run *run, struct exchange *x) {
    struct run_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    *r = (struct run_reader){run, x, run->readers};
    run->readers = r;
    exchange_note(x, &run->note);
    exchange_on_gone(x, run_reader_gone, r);
    if (x->connection->left) /* before there was anybody to tell */
        exchange_cut(x);
    return r;
}

void run_attach(struct run *run, struct exchange *x) {
    struct run_reader *r = add_reader(run, x);
    struct fault f;
    if (r == NULL) {
        fault_set(&f, 503, ERR_NOMEM, "", "memory ran out");
        exchange_refuse(x, &f);
        return;
    }
    exchange_add_header(x, "Idempotent-Replayed", "true");
    if (run->begun) {
        /* Nothing lies unflushed between two events. */
        exchange_allow(x, run->output.size);
        exchange_begin(x, run_reader_gone, r);
        (void)exchange_push(x, run->output.data, run->output.size);
        if (run->ended)
            exchange_end(x);
    } else if (run->ended) {
        exchange_reply(x, run->status, "application/json", run->output.data, run->output.size);
    }
}

/* ---- the life of a run ---- */

static struct run *run_new(struct exchange *x, const struct dialect *dialect, size_t body_bytes) {
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return NULL;
    struct server *s = x->server;
    run->server = s;
    run->held_bytes = body_bytes;
    s->body_used += body_bytes;
    run->dialect = dialect;
    run->said_ms = clock_ms();
    text_init(&run->output, RUN_EVENT_BYTES);
    text_init(&run->reply.answer, DIALECT_ANSWER_BYTES);
    memcpy(run->reply.id, x->id, sizeof run->reply.id);
    run->reply.created_s = (int64_t)time(NULL);
    const char *details = exchange_header(x, "Quire-Details");
    run->reply.details = details && strcmp(details, "1") == 0;
    struct record *r = &run->record;
    memcpy(r->request_id, x->id, sizeof r->request_id);
    (void)snprintf(r->tenant, sizeof r->tenant, "%s", x->caller.tenant);
    (void)snprintf(r->dialect, sizeof r->dialect, "%s", dialect->name);
    r->started_s = run->reply.created_s;
    r->arrived_us = x->arrived_us;
    run->note.dialect = dialect->name;
    run->after = s->runs;
    if (run->after)
        run->after->before = run;
    s->runs = run;
    return run;
}

void run_release(struct run *run) {
    if (run == NULL || run->readers || run->kept || !run->ended)
        return;
    if (run->before)
        run->before->after = run->after;
    else
        run->server->runs = run->after;
    if (run->after)
        run->after->before = run->before;
    text_close(&run->output);
    free(run);
}

void run_cancel(struct run *run) {
    if (run->asked)
        pool_cancel(run->server->gateway->pool, run->asked);
    run->asked = NULL;
    run->server->pool_work = true;
    run_record(run, "cancelled", NULL);
    run_close_books(run);
}

void runs_stop(struct server *s) {
    struct fault f;
    fault_set(&f, 503, ERR_SHUTTING_DOWN, "", "the gateway is shutting down");
    for (struct run *run = s->runs, *after; run; run = after) {
        after = run->after;
        if (run->ended)
            continue;
        if (run->asked)
            pool_cancel(s->gateway->pool, run->asked);
        s->pool_work = true;
        run_fail(run, &f);
    }
}

void runs_tick(struct server *s, int64_t now_ms) {
    int64_t silence_ms = 1000 * s->gateway->options.ping_seconds;
    for (struct run *run = s->runs; run; run = run->after) {
        if (run->ended || !run->reply.stream || now_ms - run->said_ms < silence_ms)
            continue;
        run_begin(run);
        run->dialect->ping(&run->reply, &run->output);
        run_flush(run);
    }
}

/* ---- asking ---- */

static void fill_world(struct server *s, const struct exchange *x, const json_t *body,
                       struct dialect_world *world) {
    struct observer *o = s->gateway->observer;
    const struct snapshot *snapshot = observer_snapshot(o);
    const char *first[1] = {""};
    size_t n = observer_models(o, first, 1);
    *world = (struct dialect_world){.default_model = n > 0 ? first[0] : "",
                                    .tenant = x->caller.tenant,
                                    .now_s = (int64_t)time(NULL)};
    const char *model = json_string_value(json_object_get(body, "model"));
    if (model == NULL || model[0] == '\0')
        model = world->default_model;
    for (size_t i = 0; i < snapshot->n_workers; i++) {
        const struct quire_worker *w = &snapshot->workers[i];
        if (strcmp(w->model, model) == 0 && strcmp(w->tools, "hermes") == 0)
            world->tools = TOOLS_HERMES;
    }
}

/* Lets the caller's key pay for it. */
static int enter(struct run *run, const struct exchange *x, struct fault *f) {
    const struct gateway *g = run->server->gateway;
    if (x->caller.key < 0)
        return 0;
    const struct key *key = keys_get(g->keys, x->caller.key);
    if (key == NULL) /* the key file was read again while the body came */
        return fault_set(f, 401, ERR_BAD_REQUEST, "", "this key is not valid any more");
    run->key = *key;
    if (limits_enter(g->limits, &run->key, clock_ms(), f) == 0)
        return 0;
    run->key.name[0] = '\0';
    return -1;
}

static int ask(struct run *run, const struct exchange *x, struct fault *f) {
    struct gateway *g = run->server->gateway;
    struct reply *reply = &run->reply;
    int64_t deadline_ms = 1000 * g->options.deadline_seconds;
    if (deadline_ms > DEADLINE_MAX_MS)
        deadline_ms = DEADLINE_MAX_MS;
    if (reply->options.deadline_ms == 0 || reply->options.deadline_ms > deadline_ms)
        reply->options.deadline_ms = (uint32_t)deadline_ms;
    if ((x->caller.tenant[0] && quire_request_tenant(reply->request, x->caller.tenant) < 0) ||
        (reply->logprobs && (reply->tokens = json_array()) == NULL))
        return fault_set(f, 503, ERR_NOMEM, "", "memory ran out");
    quire_request_priority(reply->request, (enum quire_priority)x->caller.priority);
    run->record.stream = reply->stream;
    if (pool_ask(g->pool, reply->request, &reply->options, &run_listener, run, &run->asked, f) < 0)
        return -1;
    memcpy(run->record.id, pool_request_id(run->asked), sizeof run->record.id);
    run->server->pool_work = true;
    return 0;
}

/* Everything from a parsed body to a request under way; with -1 the books are closed. */
static int launch(struct run *run, struct exchange *x, const json_t *body, struct fault *f) {
    struct dialect_world world;
    fill_world(run->server, x, body, &world);
    int rc = enter(run, x, f);
    if (rc == 0) {
        rc = run->dialect->read(&run->reply, body, &world, f);
        run->read = rc == 0;
    }
    if (rc == 0)
        rc = ask(run, x, f);
    if (rc == 0 && add_reader(run, x) == NULL)
        rc = fault_set(f, 503, ERR_NOMEM, "", "memory ran out");
    if (rc == 0)
        return 0;
    if (run->asked)
        pool_cancel(run->server->gateway->pool, run->asked);
    run->asked = NULL;
    run->status = f->status;
    run_record(run, error_name(f->code), NULL);
    run_close_books(run);
    return -1;
}

void run_start(struct exchange *x, const struct dialect *dialect) {
    struct fault f = {0};
    struct idempotency_name name;
    x->note.dialect = dialect->name;
    int named = idempotency_name(x, &name, &f);
    if (named < 0 || (named > 0 && idempotency_answer(x, &name, &f) != 0)) {
        if (x->state == EXCHANGE_HANDLED && f.status != 0)
            exchange_refuse(x, &f);
        return;
    }
    json_t *body = input_read(x->body.data, x->body.size, &f);
    size_t body_bytes = x->body.size;
    body_drop(&x->body, &x->server->body_used);
    struct run *run = body ? run_new(x, dialect, body_bytes) : NULL;
    if (body && run == NULL)
        fault_set(&f, 503, ERR_NOMEM, "", "memory ran out");
    if (run && launch(run, x, body, &f) == 0) {
        if (named > 0)
            idempotency_keep(run, &name);
        f.status = 0;
    }
    json_decref(body);
    if (f.status != 0 || run == NULL)
        exchange_refuse(x, &f);
    run_release(run);
}
