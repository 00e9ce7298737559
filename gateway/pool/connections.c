/* connections.c - clients of the broker, as many as the requests need.
 *
 * quire_open waits for a handshake, which a loop can't; quire_open_later does not. A broker that is
 * busy answers a handshake late, so a short timeout with repetitions would fail just when it is
 * needed, and a thread for it would be one more thing to shut down. A client that exists reaches
 * the broker by itself, again and again, in the background (libzmq waits 100..200 ms between
 * attempts, at random), so one client is enough while the broker is away. */
#include <string.h>
#include <sys/epoll.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/pool/inside.h"

#define EPOLL_EVENTS 32 /* descriptors learned of in one turn; the rest come in the next */

int connection_open(struct pool *p, struct connection *c, struct quire_error *error) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = c}};
    int rc = quire_open_later(&c->client, p->endpoint, error);
    if (rc == 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, quire_fd(c->client), &event) != 0) {
        quire_close(c->client);
        c->client = NULL;
        error->code = rc = ERR_IO;
        (void)strcpy(error->text, "the connection to the broker can't be polled");
    }
    c->used = true;
    c->stirred = rc == 0;
    c->retry_ms = rc == 0 ? INT64_MAX : clock_ms() + CONNECTION_RETRY_MS;
    return rc;
}

static void open_or_later(struct pool *p, struct connection *c) {
    struct quire_error error;
    if (connection_open(p, c, &error) != 0)
        log_warn("pool-connection", "why=\"%s\"", error.text);
}

struct connection *connections_choose(struct pool *p) {
    struct connection *best = NULL, *next = NULL;
    uint32_t used = 0;
    for (uint32_t i = 0; i < p->n_connections; i++) {
        struct connection *c = &p->connections[i];
        used += c->used;
        if (!c->used && next == NULL)
            next = c;
        if (c->client == NULL || !quire_connected(c->client) || c->in_flight >= CONNECTION_ROOM)
            continue;
        if (best == NULL || c->in_flight < best->in_flight)
            best = c;
    }
    if (best != NULL && next != NULL && p->live * 4 > used * CONNECTION_AIM * 3)
        open_or_later(p, next); /* in time: it takes a moment to be there */
    return best;
}

/* The client is of no more use: another one takes its place. */
static void replace(struct pool *p, struct connection *c, const struct quire_error *why) {
    log_warn("pool-connection-lost", "code=%s why=\"%s\"", quire_error_name(why->code), why->text);
    quire_close(c->client);
    c->client = NULL;
    requests_lost(p, c, why);
    c->in_flight = 0;
    open_or_later(p, c);
}

static void take_events(struct pool *p, struct connection *c) {
    struct quire_event event;
    struct quire_error error;
    c->stirred = false;
    for (int i = 0; i < POOL_EVENTS; i++) {
        int rc = quire_next(c->client, 0, &event, &error);
        if (rc == 0)
            return;
        if (rc < 0) {
            replace(p, c, &error);
            return;
        }
        if (event.last && c->in_flight > 0)
            c->in_flight--;
        request_take(p, c, &event);
    }
    c->stirred = true; /* there may be more, of which the descriptor says nothing */
}

/* Notices when the broker goes and comes. */
static void note_connected(struct pool *p) {
    int64_t now = clock_ms();
    p->connected = 0;
    for (uint32_t i = 0; i < p->n_connections; i++) {
        const struct connection *c = &p->connections[i];
        p->connected += c->client != NULL && quire_connected(c->client);
    }
    if (p->connected == 0 && p->away_ms == 0) {
        log_warn("pool-away", "requests=%u", p->live);
        p->away_ms = now;
    }
    if (p->connected > 0 && p->away_ms != 0) {
        log_info("pool-here", "away_ms=%lld waiting=%u", (long long)(now - p->away_ms), p->waiting);
        if (now - p->away_ms > POOL_SPREAD_MS)
            requests_spread(p, now);
        p->away_ms = 0;
    }
}

void connections_turn(struct pool *p) {
    struct epoll_event events[EPOLL_EVENTS];
    int64_t now = clock_ms();
    int n = epoll_wait(p->epoll, events, EPOLL_EVENTS, 0);
    for (int i = 0; i < n; i++)
        ((struct connection *)events[i].data.ptr)->stirred = true;
    for (uint32_t i = 0; i < p->n_connections; i++) {
        struct connection *c = &p->connections[i];
        if (c->used && c->client == NULL && now >= c->retry_ms)
            open_or_later(p, c);
        if (c->client != NULL && c->stirred)
            take_events(p, c);
    }
    note_connected(p);
}
