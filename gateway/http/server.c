/* server.c - the loop: one epoll set with everything that can happen.
 *
 * A round hands out events first, then lets MHD run. So whatever a round brought - tokens, a reader
 * who left - has reached the sockets, or the broker, before the loop waits again. */
#include "gateway/http/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/access/keys.h"
#include "gateway/http/cors.h"
#include "gateway/http/idempotency.h"
#include "gateway/http/linger.h"
#include "gateway/http/run.h"
#include "gateway/pool/observer.h"
#include "gateway/pool/pool.h"

#define EVENTS_AT_ONCE 256
#define MHD_TURNS 4 /* in a round; a stream's token takes two: one to fetch it, one to send it */
#define MHD_MEMORY_BYTES ((size_t)32 << 10) /* of one connection; also bounds a head */

static size_t leave_as_is(void *arg, struct MHD_Connection *mhd, char *text) {
    (void)arg;
    (void)mhd;
    return strlen(text); /* target.c decodes */
}

static int start_daemon(struct server *s, struct error *e) {
    unsigned flags =
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handler_request, s, MHD_OPTION_NOTIFY_CONNECTION, connection_notify,
        s, MHD_OPTION_NOTIFY_COMPLETED, handler_completed, s, MHD_OPTION_URI_LOG_CALLBACK,
        handler_target, s, MHD_OPTION_UNESCAPE_CALLBACK, leave_as_is, NULL,
        MHD_OPTION_CONNECTION_LIMIT, s->connections_max + 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        MHD_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        /* What 0.9.75 would refuse then, head.c refuses, and with one head instead of two. */
        MHD_OPTION_STRICT_FOR_CLIENT, head_measures() ? 0 : 1, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
        MHD_OPTION_END);
    return s->daemon ? 0 : error_set(e, ERR_INTERNAL, "libmicrohttpd did not start");
}

static int watch(struct server *s, int fd, struct watch *w, enum watch_kind kind, struct error *e) {
    w->kind = kind;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = w}};
    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) == 0
               ? 0
               : error_set(e, ERR_IO, "epoll: %s", strerror(errno));
}

static int open_signals(struct server *s, struct error *e) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signals >= 0 ? 0 : error_set(e, ERR_IO, "signalfd: %s", strerror(errno));
}

static int watch_all(struct server *s, struct error *e) {
    const struct gateway *g = s->gateway;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int rc = info ? 0 : error_set(e, ERR_INTERNAL, "libmicrohttpd has no epoll descriptor");
    if (rc == 0)
        rc = watch(s, info->epoll_fd, &s->watch_mhd, WATCH_MHD, e);
    if (rc == 0)
        rc = watch(s, s->listener, &s->watch_listener, WATCH_LISTENER, e);
    if (rc == 0)
        rc = watch(s, s->signals, &s->watch_signals, WATCH_SIGNALS, e);
    if (rc == 0)
        rc = watch(s, pool_fd(g->pool), &s->watch_pool, WATCH_POOL, e);
    if (rc == 0)
        rc = watch(s, observer_fd(g->observer), &s->watch_observer, WATCH_OBSERVER, e);
    return rc;
}

int server_open(struct server **out, struct gateway *g, struct error *e) {
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out");
    s->gateway = g;
    s->started_s = (int64_t)time(NULL);
    s->listener = s->signals = s->reserve = -1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    int rc = s->epoll >= 0 ? 0 : error_set(e, ERR_IO, "epoll: %s", strerror(errno));
    if (rc == 0 &&
        (lingering_open(&s->lingering, s) < 0 || idempotency_open(&s->idempotency, s) < 0))
        rc = error_set(e, ERR_NOMEM, "memory ran out");
    if (rc == 0)
        rc = proxies_open(&s->proxies, g->options.trusted_proxies, e);
    if (rc == 0)
        rc = cors_open(&s->cors, g->options.cors_origins, e);
    if (rc == 0)
        rc = listen_open(s, g->options.http, e);
    if (rc == 0)
        rc = open_signals(s, e);
    if (rc == 0)
        rc = start_daemon(s, e);
    if (rc == 0)
        rc = watch_all(s, e);
    if (rc != 0) {
        server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

const char *server_address(const struct server *s) {
    return s->address;
}

void server_figures(const struct server *s, struct figures_http *out) {
    *out = s->figures;
    out->body_bytes = s->body_used;
}

/* ---- the loop ---- */

static void stop_listening(struct server *s) {
    if (s->listener >= 0)
        (void)close(s->listener);
    s->listener = -1;
}

static void take_signals(struct server *s) {
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        struct error e = {0};
        if (info.ssi_signo == SIGHUP && s->gateway->keys) {
            if (keys_reload(s->gateway->keys, &e) == 0)
                log_info("keys-read", "file=%s", s->gateway->options.keys);
            else
                log_error("keys-kept", "the old keys stay in force: %s", e.text);
        } else if (info.ssi_signo != SIGHUP && !s->stopping) {
            log_info("stopping", "connections=%u streams=%u", s->figures.connections,
                     s->figures.streams);
            s->stopping = true;
            s->stop_ms = clock_ms() + 1000 * STOP_SECONDS;
            s->tick_ms = 0;
            stop_listening(s);
            if (s->gateway->stopping)
                s->gateway->stopping(s->gateway);
        }
    }
}

static void hand_out(struct server *s, struct epoll_event *event) {
    struct watch *w = event->data.ptr;
    switch (w->kind) {
    case WATCH_LISTENER:
        if (s->listener >= 0)
            listen_accept(s);
        break;
    case WATCH_SOCKET:
        connection_event((struct connection *)w, event->events);
        break;
    case WATCH_LINGER:
        linger_event(s->lingering, w);
        break;
    case WATCH_POOL:
        s->pool_work = true;
        break;
    case WATCH_OBSERVER:
        observer_work(s->gateway->observer);
        break;
    case WATCH_SIGNALS:
        take_signals(s);
        break;
    case WATCH_MHD:
        break; /* it runs in every round */
    }
}

static void tick(struct server *s, int64_t now_ms) {
    s->tick_ms = now_ms + TICK_MS;
    if (s->stopping && now_ms >= s->stop_ms)
        runs_stop(s);
    connections_tick(s, now_ms);
    runs_tick(s, now_ms);
    idempotency_tick(s->idempotency, now_ms);
    linger_tick(s->lingering, now_ms);
    listen_pause(s, false);
}

static bool mhd_waits_for_nothing(struct server *s) {
    MHD_UNSIGNED_LONG_LONG ms;
    return MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms == 0;
}

static void run_mhd(struct server *s) {
    for (int i = 0; i < MHD_TURNS; i++) {
        (void)MHD_run(s->daemon);
        if (!mhd_waits_for_nothing(s))
            return;
    }
}

static void run_pool(struct server *s, int64_t now_ms) {
    struct pool *p = s->gateway->pool;
    if (!s->pool_work && now_ms < pool_next_ms(p))
        return;
    s->pool_work = false;
    pool_work(p);
}

static int wait_ms(struct server *s) {
    int64_t until = s->tick_ms, pool = pool_next_ms(s->gateway->pool), now = clock_ms();
    if (pool < until)
        until = pool;
    if (s->pool_work || until <= now || mhd_waits_for_nothing(s))
        return 0;
    return (int)(until - now);
}

static bool is_over(const struct server *s) {
    return s->stopping && (s->figures.connections == 0 || clock_ms() > s->stop_ms + 1000);
}

int server_run(struct server *s, struct error *e) {
    struct epoll_event events[EVENTS_AT_ONCE];
    while (!is_over(s)) {
        int n = epoll_wait(s->epoll, events, EVENTS_AT_ONCE, wait_ms(s));
        if (n < 0 && errno != EINTR)
            return error_set(e, ERR_IO, "epoll: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            hand_out(s, &events[i]);
        int64_t now_ms = clock_ms();
        if (now_ms >= s->tick_ms)
            tick(s, now_ms);
        run_pool(s, now_ms);
        run_mhd(s);
        if (s->pool_work) /* asked or cancelled by what MHD brought */
            run_pool(s, now_ms);
    }
    return 0;
}

void server_close(struct server *s) {
    if (s == NULL)
        return;
    stop_listening(s);
    s->stopping = true;
    for (struct connection *c = s->connections; c; c = c->after)
        if (c->exchange)
            exchange_cut(c->exchange);
    if (s->daemon) {
        (void)MHD_run(s->daemon); /* nobody sleeps when it stops */
        MHD_stop_daemon(s->daemon);
    }
    if (s->idempotency)
        idempotency_clear(s->idempotency);
    idempotency_close(s->idempotency);
    lingering_close(s->lingering);
    proxies_close(s->proxies);
    cors_close(s->cors);
    int all[] = {s->epoll, s->signals, s->reserve};
    for (size_t i = 0; i < 3; i++)
        if (all[i] >= 0)
            (void)close(all[i]);
    free(s);
}
