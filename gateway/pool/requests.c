/* requests.c - one request's way: sent, sent again, heard, ended.
 *
 * Callbacks may call pool_ask and pool_cancel. So a request is taken out of all tables before its
 * last callback, a cancelled one that is under way stays in memory until its last event, and loops
 * over the list begin anew after a callback. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/pool/inside.h"

/* ---- by id: ids are random, so their first bytes are a hash ---- */

static struct pool_request **slot_of(struct pool *p, const uint8_t *id) {
    uint32_t hash;
    memcpy(&hash, id, sizeof hash);
    return &p->index[hash & p->index_mask];
}

static struct pool_request *find(struct pool *p, const uint8_t *id) {
    struct pool_request *r = *slot_of(p, id);
    while (r != NULL && memcmp(r->id, id, sizeof r->id) != 0)
        r = r->same;
    return r;
}

static void index_add(struct pool *p, struct pool_request *r) {
    struct pool_request **slot = slot_of(p, r->id);
    r->same = *slot;
    *slot = r;
}

static void index_remove(struct pool *p, const struct pool_request *r) {
    struct pool_request **at = slot_of(p, r->id);
    while (*at != NULL && *at != r)
        at = &(*at)->same;
    if (*at != NULL)
        *at = r->same;
}

/* ---- ending ---- */

/* No longer counted; what is left has no listener. */
static void retire(struct pool *p, struct pool_request *r) {
    p->live -= r->state != REQUEST_DROPPED;
    p->waiting -= r->state == REQUEST_WAITING;
    r->state = REQUEST_DROPPED;
    r->request = NULL;
}

void request_forget(struct pool *p, struct pool_request *r) {
    if (r->state != REQUEST_WAITING)
        index_remove(p, r);
    retire(p, r);
    *(r->before != NULL ? &r->before->after : &p->first) = r->after;
    *(r->after != NULL ? &r->after->before : &p->last) = r->before;
    free(r);
}

static void tell_cancel(struct pool *p, struct pool_request *r) {
    r->tell = false;
    if (r->connection->client == NULL) /* it is being replaced; requests_lost goes on to this one */
        return;
    r->tell = quire_cancel(r->connection->client, r->id) != 0;
    r->due_ms = clock_ms() + POOL_FULL_MS;
    r->connection->stirred = true;
    if (r->tell && r->due_ms < p->next_ms)
        p->next_ms = r->due_ms;
}

void request_drop(struct pool *p, struct pool_request *r) {
    if (r->state == REQUEST_WAITING) {
        request_forget(p, r);
        return;
    }
    retire(p, r);
    tell_cancel(p, r);
}

void request_fail(struct pool *p, struct pool_request *r, const struct fault *fault) {
    struct pool_listener listener = r->listener;
    void *arg = r->arg;
    request_drop(p, r);
    listener.failed(arg, fault);
}

/* ---- sending again ---- */

static int64_t random_below(int64_t bound) {
    uint32_t drawn = 0;
    (void)getrandom(&drawn, sizeof drawn, GRND_NONBLOCK); /* without it all pauses are 0 */
    return bound > 0 ? drawn % bound : 0;
}

/* A queue that is full is no reason before the request was taken: its sender shall wait. After that
 * it is: those that a broker lost may come back all together. */
static bool worth_again(const struct pool_request *r, const struct quire_error *why) {
    bool taken_before = r->resends > 0 || r->passed.given.tokens > 0;
    if (r->resends >= POOL_RESENDS || why->retry_ms > POOL_AWAY_MS)
        return false;
    return why->code == ERR_IO || why->code == ERR_WORKER_LOST || why->code == ERR_SHUTTING_DOWN ||
           (why->code == ERR_BUSY && taken_before);
}

/* From SENT to WAITING. */
static void again(struct pool *p, struct pool_request *r, const struct quire_error *why) {
    int64_t now = clock_ms();
    index_remove(p, r);
    r->state = REQUEST_WAITING;
    p->waiting++;
    r->resends++;
    r->why = *why;
    r->stray = why->code == ERR_IO;
    passed_again(&r->passed);
    r->due_ms = now + (int64_t)why->retry_ms + random_below((int64_t)POOL_SPREAD_MS * r->resends);
    r->until_ms = now + POOL_AWAY_MS;
    if (p->next_ms > r->due_ms)
        p->next_ms = r->due_ms;
    log_debug("pool-again", "code=%s resends=%u tokens=%u", quire_error_name(why->code), r->resends,
              r->passed.given.tokens);
}

/* SENT, and the client library knows it no longer: again, or it ends. The library's sentence about
 * a lost connection names the endpoint, a path of this machine, which is nobody's business. */
static void again_or_fail(struct pool *p, struct pool_request *r, const struct quire_error *said) {
    struct quire_error why = *said;
    struct fault fault;
    if (why.code == ERR_IO)
        (void)snprintf(why.text, sizeof why.text, "the broker went away during the request");
    if (worth_again(r, &why)) {
        again(p, r, &why);
        return;
    }
    (void)fault_from_pool(&fault, why.code, why.text, why.retry_ms);
    struct pool_listener listener = r->listener;
    void *arg = r->arg;
    request_forget(p, r);
    listener.failed(arg, &fault);
}

void requests_lost(struct pool *p, struct connection *c, const struct quire_error *why) {
    struct quire_error lost = *why;
    lost.code = ERR_IO;
    for (struct pool_request *r = p->first; r != NULL;) {
        struct pool_request *after = r->after;
        bool hit = r->state != REQUEST_WAITING && r->connection == c;
        bool live = hit && r->state == REQUEST_SENT;
        if (hit && !live)
            request_forget(p, r);
        if (live)
            again_or_fail(p, r, &lost);
        r = live ? p->first : after; /* a listener may have changed the list */
    }
}

void requests_spread(struct pool *p, int64_t now_ms) {
    for (struct pool_request *r = p->first; r != NULL; r = r->after) {
        int64_t due = now_ms + random_below((int64_t)POOL_SPREAD_MS * (r->resends + 1));
        if (r->state == REQUEST_WAITING && r->due_ms < now_ms)
            r->due_ms = due < r->until_ms ? due : now_ms;
    }
    p->next_ms = now_ms;
}

/* ---- sending ---- */

/* A sending that was lost with its connection may lie in libzmq still, and then reaches the broker
 * that came back, for nobody. CANCEL comes behind it. */
static void cancel_stray(struct pool_request *r) {
    if (r->stray && r->connection->client != NULL && quire_connected(r->connection->client)) {
        (void)quire_cancel(r->connection->client, r->id);
        r->connection->stirred = true;
    }
    r->stray = false;
}

static void sent(struct pool *p, struct pool_request *r, struct connection *c) {
    r->state = REQUEST_SENT;
    r->connection = c;
    c->in_flight++;
    p->waiting--;
    p->sent_again += r->resends > 0;
    index_add(p, r);
    if (p->next_ms > r->end_ms + POOL_GRACE_MS)
        p->next_ms = r->end_ms + POOL_GRACE_MS;
}

int request_try(struct pool *p, struct pool_request *r, int64_t now_ms, struct fault *fault) {
    struct quire_error error = {0};
    uint8_t id[QUIRE_ID_BYTES];
    struct connection *c = connections_choose(p);
    if (c == NULL)
        return 0;
    cancel_stray(r);
    struct quire_options options = r->options;
    options.deadline_ms =
        r->end_ms > now_ms ? (uint32_t)(r->end_ms - now_ms) : 1; /* that is left */
    quire_request_options(r->request, &options);
    c->stirred = true;
    int rc = quire_send(c->client, r->request, id, &error);
    if (rc == 0) {
        memcpy(r->id, id, sizeof r->id);
        sent(p, r, c);
        return 1;
    }
    if (rc != ERR_IO && rc != ERR_BUSY)
        return fault_from_pool(fault, rc, error.text, 0);
    r->due_ms = now_ms + POOL_FULL_MS;
    return 0;
}

/* ---- hearing ---- */

static void another_answer(struct pool *p, struct pool_request *r) {
    struct fault fault;
    (void)fault_set(&fault, 502, ERR_WORKER_LOST, "",
                    "the answer was interrupted after %u tokens, and asked again the pool gave "
                    "another one; ask again",
                    r->passed.given.tokens);
    log_warn("pool-another-answer", "tokens=%u resends=%u", r->passed.given.tokens, r->resends);
    request_fail(p, r, &fault);
}

static void take_tokens(struct pool *p, struct pool_request *r, struct quire_event *event) {
    int rc = passed_cut(&r->passed, event);
    if (rc < 0)
        another_answer(p, r);
    if (rc <= 0)
        return;
    if (r->first_us == 0)
        r->first_us = clock_us();
    r->listener.tokens(r->arg, event);
}

/* Of an answer that was sent again, what the caller saw; as the broker does with its own resending.
 */
static void count_resends(const struct pool_request *r, struct quire_event *event) {
    struct quire_timings *t = &event->timings;
    event->attempts += r->resends;
    t->total_us = (uint64_t)(clock_us() - r->asked_us);
    if (r->first_us == 0)
        return;
    t->first_token_us = (uint64_t)(r->first_us - r->asked_us);
    t->decode_us = t->total_us - t->first_token_us;
}

/* The last event: the client library has forgotten the request. */
static void take_last(struct pool *p, struct pool_request *r, struct quire_event *event) {
    struct fault fault;
    struct pool_listener listener = r->listener;
    void *arg = r->arg;
    if (event->kind == QUIRE_FAILED) {
        again_or_fail(p, r, &event->error);
        return;
    }
    bool whole = passed_whole(&r->passed);
    if (r->resends > 0)
        count_resends(r, event);
    uint32_t given = r->passed.given.tokens;
    request_forget(p, r);
    if (whole) {
        listener.done(arg, event);
        return;
    }
    (void)fault_set(&fault, 502, ERR_WORKER_LOST, "",
                    "the answer was interrupted after %u tokens, and asked again the pool gave a "
                    "shorter one; ask again",
                    given);
    listener.failed(arg, &fault);
}

void request_take(struct pool *p, const struct connection *c, struct quire_event *event) {
    struct pool_request *r = find(p, event->id);
    if (r == NULL || r->connection != c)
        return;
    if (r->state == REQUEST_DROPPED) {
        if (event->last)
            request_forget(p, r);
    } else if (event->last)
        take_last(p, r, event);
    else if (event->kind == QUIRE_TOKENS)
        take_tokens(p, r, event);
    else if (event->kind == QUIRE_PROGRESS && r->passed.given.tokens == 0)
        r->listener.progress(r->arg, event);
}

/* ---- time ---- */

static void earlier(struct pool *p, int64_t when_ms) {
    if (when_ms < p->next_ms)
        p->next_ms = when_ms;
}

/* True when *fault says why the request ends now. */
static bool overdue(const struct pool *p, const struct pool_request *r, int64_t now_ms,
                    struct fault *fault) {
    bool waits = r->state == REQUEST_WAITING;
    if (now_ms >= r->end_ms + (waits ? 0 : POOL_GRACE_MS)) {
        (void)fault_from_pool(fault, ERR_DEADLINE, "the request's deadline passed", 0);
        return true;
    }
    if (!waits || now_ms < r->until_ms)
        return false;
    if (p->away_ms != 0)
        (void)fault_from_pool(fault, ERR_IO, "the broker is away", POOL_RETRY_MS);
    else if (r->why.code != 0)
        (void)fault_from_pool(fault, r->why.code, r->why.text, r->why.retry_ms);
    else
        (void)fault_from_pool(fault, ERR_IO, "the broker takes no requests", POOL_RETRY_MS);
    return true;
}

/* One request; true when a listener was called. */
static bool mind(struct pool *p, struct pool_request *r, int64_t now_ms) {
    struct fault fault;
    if (r->state == REQUEST_DROPPED) {
        if (r->tell && now_ms >= r->due_ms)
            tell_cancel(p, r);
        if (r->tell)
            earlier(p, r->due_ms);
        return false;
    }
    bool ends = overdue(p, r, now_ms, &fault);
    if (!ends && r->state == REQUEST_WAITING && now_ms >= r->due_ms)
        ends = request_try(p, r, now_ms, &fault) < 0;
    if (ends) {
        request_fail(p, r, &fault);
        return true;
    }
    if (r->state == REQUEST_SENT) {
        earlier(p, r->end_ms + POOL_GRACE_MS);
        return false;
    }
    earlier(p, r->until_ms);
    earlier(p, r->end_ms);
    if (r->due_ms > now_ms)
        earlier(p, r->due_ms);
    return false;
}

void requests_mind(struct pool *p, int64_t now_ms) {
    p->next_ms = INT64_MAX;
    for (struct pool_request *r = p->first; r != NULL;)
        r = mind(p, r, now_ms) ? p->first : r->after;
}
