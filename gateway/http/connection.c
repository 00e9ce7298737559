/* connection.c - what we wait for on each connection, and how long.
 *
 * MHD's own time limit is one on silence, which a peer that sends a byte now and then never meets.
 * Ours are for whole steps: the head, the body, the reading of an answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/http/inside.h"
#include "gateway/http/linger.h"

#define STOP_READ_MS 500 /* for the last error to be read when the gateway stops */
#define LEFT_MS 2000     /* for what came before the peer's end to be read */

static int64_t seconds_for(const struct connection *c, enum connection_state state) {
    const struct options *o = &c->server->gateway->options;
    switch (state) {
    case CONNECTION_NEW:
    case CONNECTION_HEAD:
        return o->header_seconds;
    case CONNECTION_KEPT:
        return o->idle_seconds;
    case CONNECTION_BODY:
        return o->body_seconds;
    case CONNECTION_ANSWER:
        return ANSWER_SECONDS;
    case CONNECTION_WORK:
        break;
    }
    return 0;
}

/* What a peer sent before it left may still have to be read; but it will not send more. */
static void hurry(struct connection *c) {
    int64_t until_ms = clock_ms() + LEFT_MS;
    bool reads = c->state != CONNECTION_WORK && c->state != CONNECTION_ANSWER;
    if (c->left && reads && c->deadline_ms > until_ms)
        c->deadline_ms = until_ms;
}

void connection_set(struct connection *c, enum connection_state state) {
    c->state = state;
    int64_t seconds = seconds_for(c, state);
    c->deadline_ms = seconds ? clock_ms() + 1000 * seconds : INT64_MAX;
    hurry(c);
}

static void start(struct server *s, struct MHD_Connection *mhd, void **out) {
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *c = fd ? calloc(1, sizeof *c) : NULL;
    *out = c;
    if (c == NULL)
        return; /* its first request will be refused */
    c->watch.kind = WATCH_SOCKET;
    c->server = s;
    c->mhd = mhd;
    c->fd = fd->connect_fd;
    socklen_t bytes = sizeof c->peer;
    (void)getpeername(c->fd, (struct sockaddr *)&c->peer, &bytes);
    c->after = s->connections;
    if (c->after)
        c->after->before = c;
    s->connections = c;
    s->figures.connections++;
    s->figures.connections_total++;
    connection_set(c, CONNECTION_NEW);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.ptr = c}};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        log_warn("unwatched-connection", "%s", strerror(errno));
}

static void finish(struct server *s, struct connection *c) {
    if (c == NULL)
        return;
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    int fd = c->linger ? fcntl(c->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (fd >= 0)
        linger_add(s->lingering, fd);
    if (c->before)
        c->before->after = c->after;
    else
        s->connections = c->after;
    if (c->after)
        c->after->before = c->before;
    s->figures.connections--;
    free(c);
    listen_pause(s, false);
}

void connection_notify(void *server, struct MHD_Connection *mhd, void **connection,
                       enum MHD_ConnectionNotificationCode what) {
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        start(server, mhd, connection);
    } else {
        finish(server, *connection);
        *connection = NULL;
    }
}

/* Whether the answer is one that takes work, so that nobody should do it for a reader who left. An
 * answer that is there already may as well be sent: half a close is also how some clients say that
 * they have asked all they wanted. */
static bool is_at_work(const struct connection *c) {
    const struct exchange *x = c->exchange;
    return x && (x->state == EXCHANGE_HANDLED || (x->streams && !x->ended));
}

void connection_event(struct connection *c, uint32_t events) {
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        c->left = true;
        if (is_at_work(c))
            exchange_cut(c->exchange);
        else
            hurry(c);
    } else if (c->state == CONNECTION_KEPT) {
        connection_set(c, CONNECTION_HEAD);
    } else if (c->state == CONNECTION_NEW) {
        c->state = CONNECTION_HEAD; /* its time has begun when it was made */
    }
}

static void end_late(struct connection *c) {
    struct fault f;
    bool head = c->state == CONNECTION_HEAD;
    if (!c->left && (head || c->state == CONNECTION_BODY)) {
        fault_set(&f, 408, ERR_TIMEOUT, "", "the %s of the request did not come in time",
                  head ? "head" : "body");
        linger_write(c->fd, &f);
        c->server->figures.bad_requests++;
        if (c->exchange) {
            c->exchange->status = f.status;
            (void)snprintf(c->exchange->note.outcome, sizeof c->exchange->note.outcome, "%s",
                           error_name(f.code));
        }
    }
    if (c->state == CONNECTION_ANSWER)
        c->server->figures.slow_readers_cut++;
    c->deadline_ms = INT64_MAX;
    (void)shutdown(c->fd, SHUT_RDWR);
    if (c->exchange)
        exchange_cut(c->exchange);
}

void connections_tick(struct server *s, int64_t now_ms) {
    for (struct connection *c = s->connections, *after; c; c = after) {
        after = c->after;
        if (now_ms >= c->deadline_ms)
            end_late(c);
        else if (s->stopping && c->exchange == NULL)
            (void)shutdown(c->fd, SHUT_RDWR);
        else if (s->stopping && now_ms >= s->stop_ms + STOP_READ_MS)
            exchange_cut(c->exchange);
    }
}
