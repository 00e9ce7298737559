/* server.c - the loop.
 *
 *     wait for sockets, a signal, or the core's next time
 *     take a bounded number of messages from each socket, workers first: they free credit
 *     tick, if it is due
 *
 * Each message is one step of the core; its actions are done at once, and what sending causes (a
 * client or a worker that is gone) goes back into the core before the next message is read. The
 * tick comes after the messages, so that heartbeats that lie in the socket count before silence
 * does.
 *
 * What is not bounded here: libzmq keeps the frames of a message that has not ended, and no option
 * limits their sum. A peer that sends frames for ever uses up memory until its connection ends, so
 * endpoints are for peers that are trusted that far, and a service manager sets the limit. */
#include "broker/shell/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "broker/jobs.h"
#include "broker/shell/endpoints.h"
#include "broker/shell/outbox.h"
#include "broker/shell/recorder.h"
#include "broker/shell/secret.h"
#include "common/clock.h"
#include "common/must.h"

#define WORKER_MESSAGES 256 /* taken in one turn of the loop */
#define LINKS_MESSAGES 32   /* one LINKS, of up to LIMIT_LINKS links, counts as so many */
#define CLIENT_MESSAGES 32
#define CLIENT_INBOX 16     /* whole messages libzmq reads ahead from one client */
#define WORKER_PIPE 1000    /* messages either way */
#define LISTEN_BACKLOG 1024 /* clients that connect in the same moment */
#define HANDSHAKE_MS 5000   /* for a connection to say that it speaks ZMTP */
#define TICK_US 10000       /* ticks are at least so far apart */
#define GRACE_MS 100        /* after the signal, late requests are still answered */
#define LINGER_MS 500       /* for what was sent last */
#define WAIT_MAX_MS 60000
#define INDEX_EVENTS 8     /* taken from the index in one turn; up to LIMIT_LINKS links each */
#define INDEX_LOAD_MS 2000 /* at the start, for what the index knows */

struct server {
    void *context, *clients, *workers;
    struct endpoints client_locks, worker_locks;
    int signals;
    struct broker *broker;
    struct outbox *outbox;
    struct recorder *recorder;
    struct inbox_roots roots;
    struct incoming in;
    struct wire_message message;
    int64_t ticked_us;
    struct worker_info worker_infos[LIMIT_WORKERS];
    struct request_info request_infos[JOBS_MAX];
};

/* ---- one message ---- */

static void answer_drain(struct server *s, const struct action *a) {
    struct msg_ops_reply r = {.serial = a->serial, .query = a->on ? OPS_DRAIN : OPS_UNDRAIN};
    size_t n = broker_workers(s->broker, clock_us(), s->worker_infos, LIMIT_WORKERS);
    struct bytes name = label_bytes(&a->worker);
    for (size_t i = 0; i < n; i++) {
        const struct worker_info *w = &s->worker_infos[i];
        if (w->name.size == name.size && memcmp(w->name.data, name.data, name.size) == 0) {
            r.workers = w;
            r.n_workers = 1;
        }
    }
    outbox_ops_reply(s->outbox, &a->peer, &r);
}

static void answer_unknown_worker(struct server *s, const struct incoming *in) {
    char text[ACTION_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "there is no worker named \"%.*s\"", (int)in->ops.worker.size,
                   (const char *)in->ops.worker.data);
    outbox_ops_error(s->outbox, in, ERR_NOT_FOUND, text);
}

static void answer_query(struct server *s, const struct incoming *in) {
    struct msg_ops_reply r = {.serial = in->ops.serial, .query = in->ops.query};
    int64_t now_us = clock_us();
    if (in->ops.query == OPS_WORKERS) {
        r.workers = s->worker_infos;
        r.n_workers = broker_workers(s->broker, now_us, s->worker_infos, LIMIT_WORKERS);
    } else if (in->ops.query == OPS_REQUESTS) {
        r.requests = s->request_infos;
        r.n_requests = broker_requests(s->broker, now_us, s->request_infos, JOBS_MAX);
    } else if (in->ops.query == OPS_EXPLAIN) {
        broker_explain(s->broker, &in->explain, now_us, &r.explanation);
    } else if (in->ops.query == OPS_LOSSES) {
        if (!broker_losses(s->broker, in->ops.worker, &r.loss)) {
            answer_unknown_worker(s, in);
            return;
        }
    } else {
        broker_stats(s->broker, now_us, &r.stats);
        recorder_stats(s->recorder, &r.stats, now_us);
    }
    outbox_ops_reply(s->outbox, &in->event.peer, &r);
}

/* What the index is told of an action. */
static void record(struct server *s, const struct action *a, const struct event *ev,
                   struct incoming *in, int64_t now_us) {
    if (a->type == ACTION_RECORD) {
        recorder_links(s->recorder, &ev->links.told, now_us);
    } else if (a->type == ACTION_VOID) {
        recorder_void(s->recorder, a->incarnation);
    } else if (a->type == ACTION_WELCOME && in) {
        const char *from = zmq_msg_gets(&in->message->frames[0], "Peer-Address");
        struct bytes address = {(const uint8_t *)from, from ? strlen(from) : 0};
        recorder_worker(s->recorder, &ev->ready, address);
    }
}

static void step(struct server *s, const struct event *ev, struct incoming *in) {
    size_t n;
    int64_t now_us = clock_us();
    const struct action *actions = broker_step(s->broker, ev, now_us, &n);
    for (size_t i = 0; i < n; i++) {
        outbox_do(s->outbox, &actions[i], in, now_us);
        if (actions[i].type == ACTION_DRAIN_OK)
            answer_drain(s, &actions[i]);
        record(s, &actions[i], ev, in, now_us);
    }
}

/* Whatever sending has caused, and what follows from that. */
static void settle_caused(struct server *s) {
    struct event caused;
    while (outbox_failure(s->outbox, &caused))
        step(s, &caused, NULL);
}

static void settle(struct server *s, const struct event *ev, struct incoming *in) {
    step(s, ev, in);
    settle_caused(s);
}

static void handle(struct server *s, bool from_worker) {
    struct incoming *in = &s->in;
    switch (in->kind) {
    case INCOMING_HELLO:
        outbox_welcome_client(s->outbox, in);
        settle_caused(s);
        return;
    case INCOMING_QUERY:
        answer_query(s, in);
        settle_caused(s);
        return;
    case INCOMING_BAD:
        log_debug("bad-message", "from=%s code=%s %s", from_worker ? "worker" : "client",
                  error_name(in->why.code), in->why.text);
        outbox_refuse(s->outbox, in, from_worker);
        break;
    case INCOMING_EVENT:
        break;
    }
    settle(s, &in->event, in);
}

/* Takes up to `most` messages. 0, or ERR_IO. */
static int drain_socket(struct server *s, void *socket, int most, struct error *e) {
    bool from_worker = socket == s->workers;
    for (int i = 0; i < most; i++) {
        struct error why = {0};
        int rc = wire_recv(socket, &s->message, &why);
        if (rc == WIRE_AGAIN)
            return 0;
        if (rc != 0 && (rc != ERR_LIMIT || s->message.n_frames == 0)) {
            if (rc == ERR_LIMIT || rc == ERR_NOMEM)
                continue; /* that message is lost; the next one may do */
            return error_set(e, rc, "%s", why.text);
        }
        if (rc == ERR_LIMIT)
            inbox_too_long(&s->in, &s->message, &why);
        else if (from_worker)
            inbox_read_worker(&s->in, &s->message);
        else
            inbox_read_client(&s->in, &s->message, &s->roots);
        handle(s, from_worker);
        if (s->in.event.type == EVENT_LINKS)
            i += LINKS_MESSAGES - 1;
        inbox_clear(&s->in);
        wire_message_close(&s->message);
    }
    return 0;
}

/* ---- the index ---- */

static void hear_index(struct server *s, int most) {
    struct event ev;
    for (int i = 0; i < most && recorder_next(s->recorder, &ev, clock_us()); i++)
        settle(s, &ev, NULL);
}

/* Before the first message is read, so that the first request after a restart finds its owner. */
static void load_index(struct server *s) {
    int64_t end_us = clock_us() + (int64_t)INDEX_LOAD_MS * 1000;
    (void)recorder_turn(s->recorder, clock_us());
    while (recorder_await(s->recorder, end_us))
        hear_index(s, INDEX_EVENTS);
}

/* ---- the loop ---- */

static int64_t tick_due_us(const struct server *s) {
    int64_t due_us = broker_next_us(s->broker);
    int64_t earliest_us = s->ticked_us + TICK_US;
    return due_us > earliest_us ? due_us : earliest_us;
}

static void tick(struct server *s) {
    if (clock_us() < tick_due_us(s))
        return;
    s->ticked_us = clock_us();
    settle(s, &(struct event){.type = EVENT_TICK}, NULL);
}

static long wait_ms(const struct server *s, int64_t others_due_us) {
    int64_t due_us = tick_due_us(s);
    if (others_due_us < due_us)
        due_us = others_due_us;
    int64_t now_us = clock_us();
    if (due_us <= now_us)
        return 0;
    int64_t ms = due_us == INT64_MAX ? WAIT_MAX_MS : (due_us - now_us + 999) / 1000;
    return ms < WAIT_MAX_MS ? (long)ms : WAIT_MAX_MS;
}

/* One turn. *stop is set by a signal; longest_ms bounds the wait. */
static int turn(struct server *s, long longest_ms, bool *stop, struct error *e) {
    int64_t owed_us = outbox_settle(s->outbox, clock_us());
    int64_t index_us = recorder_turn(s->recorder, clock_us());
    long ms = wait_ms(s, owed_us < index_us ? owed_us : index_us);
    int index = recorder_fd(s->recorder);
    short index_events =
        recorder_waits_to_send(s->recorder) ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN;
    zmq_pollitem_t items[] = {{.socket = s->workers, .events = ZMQ_POLLIN},
                              {.socket = s->clients, .events = ZMQ_POLLIN},
                              {.fd = s->signals, .events = ZMQ_POLLIN},
                              {.fd = index, .events = index_events}};
    if (zmq_poll(items, index >= 0 ? 4 : 3, ms < longest_ms ? ms : longest_ms) < 0 &&
        errno != EINTR)
        return error_set(e, ERR_IO, "waiting for messages failed: %s", zmq_strerror(errno));
    int rc = drain_socket(s, s->workers, WORKER_MESSAGES, e);
    if (rc == 0)
        rc = drain_socket(s, s->clients, CLIENT_MESSAGES, e);
    if (rc != 0)
        return rc;
    if (index >= 0 && (items[3].revents & (ZMQ_POLLIN | ZMQ_POLLERR)) != 0)
        recorder_heard(s->recorder);
    hear_index(s, INDEX_EVENTS);
    tick(s);
    struct signalfd_siginfo signal_info;
    if ((items[2].revents & ZMQ_POLLIN) != 0 &&
        read(s->signals, &signal_info, sizeof signal_info) == sizeof signal_info) {
        log_info("stopping", "signal=%u", signal_info.ssi_signo);
        *stop = true;
    }
    return 0;
}

int server_run(struct server *s, struct error *e) {
    bool stop = false;
    int rc = 0;
    load_index(s);
    while (rc == 0 && !stop)
        rc = turn(s, WAIT_MAX_MS, &stop, e);
    if (rc != 0)
        return rc;
    settle(s, &(struct event){.type = EVENT_SHUTDOWN}, NULL);
    int64_t end_us = clock_us() + (int64_t)GRACE_MS * 1000;
    while (rc == 0 && clock_us() < end_us)
        rc = turn(s, GRACE_MS, &stop, e);
    log_info("stopped", "%s", "every request was ended");
    return rc;
}

/* ---- open and close ---- */

static int open_router(struct server *s, void **out, int receive, int send, struct error *e) {
    *out = zmq_socket(s->context, ZMQ_ROUTER);
    if (!*out)
        return error_set(e, ERR_IO, "a socket can't be made: %s", zmq_strerror(errno));
    int rc = wire_socket_setup(*out, e);
    if (rc != 0)
        return rc;
    const struct {
        int option, value;
    } options[] = {{ZMQ_ROUTER_MANDATORY, 1},
                   {ZMQ_RCVHWM, receive},
                   {ZMQ_SNDHWM, send},
                   {ZMQ_BACKLOG, LISTEN_BACKLOG},
                   {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
                   {ZMQ_TCP_KEEPALIVE, 1}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (zmq_setsockopt(*out, options[i].option, &options[i].value, sizeof(int)) != 0)
            return error_set(e, ERR_IO, "socket option %d: %s", options[i].option,
                             zmq_strerror(errno));
    return 0;
}

/* Before the context's threads start, so that they inherit the mask and only we get the signals. A
 * log that nobody reads any more must not end the broker, hence SIGPIPE. */
static int open_signals(struct server *s, struct error *e) {
    sigset_t set;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        return error_set(e, ERR_IO, "signals can't be received: %s", strerror(errno));
    return 0;
}

static int open_parts(struct server *s, const struct options *options, struct error *e) {
    const struct recorder_settings recorder = {.dir = options->index,
                                               .links = options->index_links,
                                               .seed = s->roots.seed,
                                               .log_level = options->log_level};
    if (broker_open(&s->broker, &options->broker, clock_us()) != 0 ||
        outbox_open(&s->outbox, s->clients, s->workers, s->broker, &options->broker,
                    s->roots.seed) != 0 ||
        recorder_open(&s->recorder, &recorder) != 0)
        return error_set(e, ERR_NOMEM, "memory ran out for a queue of %u requests and %zu links",
                         options->broker.queue_requests, options->broker.links);
    s->roots.broker = s->broker;
    return 0;
}

int server_open(struct server **out, const struct options *options, struct error *e) {
    *out = NULL;
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, ERR_NOMEM, "memory ran out");
    s->signals = -1;
    wire_message_init(&s->message);
    int rc = open_signals(s, e);
    if (rc == 0 && !(s->context = zmq_ctx_new()))
        rc = error_set(e, ERR_IO, "ZeroMQ can't start: %s", zmq_strerror(errno));
    if (rc == 0)
        rc = open_router(s, &s->clients, CLIENT_INBOX, (int)options->client_backlog, e);
    if (rc == 0)
        rc = open_router(s, &s->workers, WORKER_PIPE, WORKER_PIPE, e);
    if (rc == 0)
        rc = secret_seed(options->secret, &s->roots.seed, e);
    if (rc == 0)
        rc = open_parts(s, options, e);
    if (rc == 0)
        rc = endpoints_bind(&s->worker_locks, s->workers, options->workers, "workers", e);
    if (rc == 0)
        rc = endpoints_bind(&s->client_locks, s->clients, options->clients, "clients", e);
    if (rc != 0) {
        server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

static void close_socket(void *socket) {
    int linger_ms = LINGER_MS;
    if (!socket)
        return;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_close(socket);
}

void server_close(struct server *s) {
    if (!s)
        return;
    inbox_clear(&s->in);
    wire_message_close(&s->message);
    recorder_close(s->recorder);
    outbox_close(s->outbox);
    broker_close(s->broker);
    close_socket(s->clients);
    close_socket(s->workers);
    if (s->context)
        (void)zmq_ctx_term(s->context);
    endpoints_close(&s->client_locks);
    endpoints_close(&s->worker_locks);
    if (s->signals >= 0)
        (void)close(s->signals);
    free(s);
}
