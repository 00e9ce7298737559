/* pool.c - the promises of pool.h; requests.c and connections.c keep them. */
#include "gateway/pool/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"
#include "gateway/pool/inside.h"

#define SEED_BITS 53 /* of drawn ones: a number that JSON carries whole */

static int make_tables(struct pool *p, const char *endpoint) {
    size_t slots = 64;
    while (slots < (size_t)p->max_requests * 2)
        slots *= 2;
    p->index_mask = slots - 1;
    p->index = calloc(slots, sizeof(struct pool_request *));
    p->n_connections = (p->max_requests + CONNECTION_AIM - 1) / CONNECTION_AIM;
    p->connections = calloc(p->n_connections, sizeof *p->connections);
    p->endpoint = endpoint != NULL ? strdup(endpoint) : NULL;
    bool whole = p->index != NULL && p->connections != NULL;
    return whole && (endpoint == NULL || p->endpoint != NULL) ? 0 : ERR_NOMEM;
}

int pool_open(struct pool **out, const char *endpoint, uint32_t max_requests, struct error *e) {
    struct quire_error error = {0};
    MUST(max_requests > 0);
    *out = NULL;
    struct pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out");
    p->max_requests = max_requests;
    p->next_ms = INT64_MAX;
    p->away_ms = clock_ms();
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    int rc = make_tables(p, endpoint);
    if (rc != 0)
        (void)error_set(e, rc, "memory ran out");
    else if (p->epoll < 0)
        rc = error_set(e, ERR_IO, "no epoll descriptor: %s", strerror(errno));
    else if (connection_open(p, &p->connections[0], &error) != 0)
        rc = error_set(e, error.code, "%s", error.text);
    if (rc != 0) {
        pool_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pool_close(struct pool *p) {
    if (p == NULL)
        return;
    while (p->first != NULL)
        request_forget(p, p->first);
    for (uint32_t i = 0; i < p->n_connections && p->connections != NULL; i++)
        quire_close(p->connections[i].client); /* which cancels what is in flight */
    if (p->epoll >= 0)
        (void)close(p->epoll);
    free(p->connections);
    free(p->index);
    free(p->endpoint);
    free(p);
}

/* ---- requests ---- */

static int refuse(const struct pool *p, struct fault *fault) {
    if (p->live >= p->max_requests) {
        (void)fault_set(fault, 429, ERR_BUSY, "", "this gateway has %u requests under way already",
                        p->live);
        fault->retry_ms = POOL_RETRY_MS;
        return -1;
    }
    if (p->away_ms != 0 && clock_ms() - p->away_ms >= POOL_AWAY_MS)
        return fault_from_pool(fault, ERR_IO, "the broker is away", POOL_RETRY_MS);
    return 0;
}

static int draw_seed(struct quire_options *options) {
    if (options->has_seed)
        return 0;
    if (getrandom(&options->seed, sizeof options->seed, 0) != (ssize_t)sizeof options->seed)
        return ERR_IO;
    options->seed >>= 64 - SEED_BITS;
    options->has_seed = true;
    return 0;
}

static struct pool_request *add(struct pool *p, struct quire_request *request,
                                const struct quire_options *options) {
    struct pool_request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    int64_t now = clock_ms();
    r->state = REQUEST_WAITING;
    r->request = request;
    r->options = *options;
    r->asked_us = clock_us();
    r->due_ms = now;
    r->until_ms = (p->away_ms != 0 ? p->away_ms : now) + POOL_AWAY_MS;
    r->end_ms = now + options->deadline_ms;
    passed_init(&r->passed);
    r->before = p->last;
    *(p->last != NULL ? &p->last->after : &p->first) = r;
    p->last = r;
    p->live++;
    p->waiting++;
    if (p->next_ms > r->until_ms)
        p->next_ms = r->until_ms;
    if (p->next_ms > r->end_ms)
        p->next_ms = r->end_ms;
    return r;
}

int pool_ask(struct pool *p, struct quire_request *request, const struct quire_options *options,
             const struct pool_listener *listener, void *arg, struct pool_request **out,
             struct fault *fault) {
    struct quire_options own = *options;
    *out = NULL;
    if (refuse(p, fault) != 0)
        return -1;
    if (own.deadline_ms == 0)
        return fault_from_pool(fault, ERR_BAD_REQUEST, "a deadline is at least 1 ms", 0);
    if (draw_seed(&own) != 0)
        return fault_from_pool(fault, ERR_INTERNAL, "no random bytes for a seed", 0);
    struct pool_request *r = add(p, request, &own);
    if (r == NULL)
        return fault_from_pool(fault, ERR_NOMEM, "memory ran out", 0);
    r->listener = *listener;
    r->arg = arg;
    if (request_try(p, r, clock_ms(), fault) < 0) {
        request_forget(p, r);
        return -1;
    }
    *out = r;
    return 0;
}

void pool_cancel(struct pool *p, struct pool_request *r) {
    request_drop(p, r);
}

const uint8_t *pool_request_id(const struct pool_request *r) {
    return r->id;
}

/* ---- the loop ---- */

int pool_fd(const struct pool *p) {
    return p->epoll;
}

void pool_work(struct pool *p) {
    connections_turn(p);
    int64_t now = clock_ms();
    if (p->waiting > 0 || now >= p->next_ms)
        requests_mind(p, now);
}

int64_t pool_next_ms(const struct pool *p) {
    int64_t next = p->next_ms;
    for (uint32_t i = 0; i < p->n_connections; i++) {
        const struct connection *c = &p->connections[i];
        if (c->client != NULL && c->stirred)
            return 0;
        if (c->used && c->client == NULL && c->retry_ms < next)
            next = c->retry_ms;
    }
    return next;
}

void pool_counts(const struct pool *p, struct pool_counts *out) {
    *out = (struct pool_counts){
        .sent_again = p->sent_again, .in_flight = p->live, .connected = p->connected};
    for (uint32_t i = 0; i < p->n_connections; i++)
        out->connections += p->connections[i].used;
}
