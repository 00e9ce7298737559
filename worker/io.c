/* io.c - one socket, one queue, one signal descriptor, and timers.
 *
 * Everything that came from a broker belongs to one registration with it. When the registration is
 * over (the broker forgot us, or fell silent for long), its requests are cancelled and their
 * answers dropped, and the next READY goes out only when the engine has let go of all of them: then
 * the credits it announces are really free.
 *
 * Answers wait in the runner's queue while the socket takes nothing; when that is full, the engine
 * stops. It goes on when the socket does, or when the silence ended the registration. ZMQ_IMMEDIATE
 * keeps messages from piling up for a connection that is not there.
 *
 * What the worker holds is told in LINKS: before a request ends, since the next turn of the
 * conversation may come at once, and in between now and then. A broker that has just taken the
 * worker in is told everything from the start. */
#include "worker/io.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/io_inside.h"

/* ---- connection ---- */

static int connect_socket(struct io *io, struct error *e) {
    io->socket = zmq_socket(io->context, ZMQ_DEALER);
    if (io->socket == NULL)
        return error_set(e, ERR_IO, "can't make a socket: %s", zmq_strerror(zmq_errno()));
    int rc = wire_socket_setup(io->socket, e);
    if (rc < 0)
        return rc;
    static const struct {
        int option, value;
    } settings[] = {
        {ZMQ_IMMEDIATE, 1},       /* nothing is queued for a connection that is not there */
        {ZMQ_RECONNECT_IVL, 100}, /* ms; jittered by the library */
        {ZMQ_RECONNECT_IVL_MAX, 2000},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (zmq_setsockopt(io->socket, settings[i].option, &settings[i].value,
                           sizeof settings[i].value) != 0)
            return error_set(e, ERR_IO, "can't set up a socket: %s", zmq_strerror(zmq_errno()));
    if (zmq_connect(io->socket, io->options.endpoint) != 0)
        return error_set(e, ERR_USAGE, "can't connect to \"%s\": %s", io->options.endpoint,
                         zmq_strerror(zmq_errno()));
    return 0;
}

static void reconnect(struct io *io) {
    if (io->registration.state == REGISTRATION_UP) {
        log_warn("broker-silent", "endpoint=%s ms=%lld", io->options.endpoint,
                 (long long)(clock_ms() - io->registration.heard_ms));
        io_drop_all(io, "broker-silent");
    }
    (void)zmq_close(io->socket);
    io->socket = NULL;
    io->blocked = false;
    struct error e;
    int rc = connect_socket(io, &e);
    if (rc < 0)
        io_fail(io, rc, &e);
    registration_reconnected(&io->registration, clock_ms());
}

static void note_waiting(struct io *io, int64_t now_ms) {
    if (io->was_up || io->waiting_noted || now_ms - io->started_ms < IO_WAIT_NOTE_MS)
        return;
    io->waiting_noted = true;
    log_info("broker-awaited", "endpoint=%s", io->options.endpoint);
}

static void serve_registration(struct io *io) {
    int64_t now_ms = clock_ms();
    enum registration_action action = registration_next(&io->registration, now_ms);
    bool sent;
    switch (action) {
    case REGISTRATION_REST:
        break;
    case REGISTRATION_RECONNECT:
        reconnect(io);
        break;
    case REGISTRATION_SEND_READY:
        if (io->n_assignments > 0) { /* of the last registration; gone within one step */
            registration_blocked(&io->registration, now_ms);
            break;
        }
        sent = io_send_ready(io);
        if (sent)
            registration_sent(&io->registration, action, now_ms);
        else
            registration_blocked(&io->registration, now_ms);
        break;
    case REGISTRATION_SEND_HEARTBEAT:
        if (io_send_heartbeat(io))
            registration_sent(&io->registration, action, now_ms);
        else
            registration_blocked(&io->registration, now_ms);
        break;
    }
    if (io->registration.state == REGISTRATION_DOWN)
        note_waiting(io, now_ms);
}

/* ---- leaving ---- */

static void on_signal(struct io *io) {
    struct signalfd_siginfo info;
    if (read(io->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (io->leaving) {
        log_warn("killed", "signal=%u requests=%zu", info.ssi_signo, io->n_assignments);
        _exit(128 + (int)info.ssi_signo);
    }
    log_info("leaving", "signal=%u requests=%zu drain_ms=%u", info.ssi_signo, io->n_assignments,
             io->options.drain_ms);
    io->leaving = true;
    io->leave_by_ms = clock_ms() + io->options.drain_ms;
    registration_hurry(&io->registration, clock_ms());
}

static void give_up(struct io *io) {
    io->given_up = true;
    for (size_t i = 0; i < io->n_assignments; i++) {
        struct assignment *a = io->assignments[i];
        if (!a->silenced)
            io_refuse(io, &a->work, &a->request.id, ERR_SHUTTING_DOWN,
                      "the worker was shut down before the answer was complete");
    }
    io_drop_all(io, "shutdown");
}

/* True when nothing is left to do. */
static bool may_leave(struct io *io) {
    if (!io->leaving)
        return false;
    if (!io->given_up && io->n_assignments > 0 && clock_ms() >= io->leave_by_ms)
        give_up(io);
    return io->given_up || (io->n_assignments == 0 && io->outgoing.n_frames == 0);
}

/* ---- the loop ---- */

static int open_signals(struct io *io, struct error *e) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    io->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (io->signals < 0)
        return error_set(e, ERR_IO, "can't watch signals: %s", strerror(errno));
    return 0;
}

int io_open(struct io **out, const struct engine *g, struct runner *r, struct holdings *h,
            const struct io_options *o, struct error *e) {
    *out = NULL;
    struct io *io = calloc(1, sizeof *io);
    struct holdings_news *news = malloc(sizeof *news);
    if (io == NULL || news == NULL) {
        free(io);
        free(news);
        return error_set(e, ERR_NOMEM, "no memory for the I/O thread");
    }
    io->news = news;
    io->engine = g;
    io->runner = r;
    io->holdings = h;
    io->options = *o;
    io->signals = -1;
    wire_message_init(&io->incoming);
    wire_message_init(&io->outgoing);
    uint64_t noise[2];
    int rc = 0;
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        rc = error_set(e, ERR_IO, "the system gave no random numbers: %s", strerror(errno));
    if (rc == 0)
        rc = open_signals(io, e);
    if (rc == 0 && (io->context = zmq_ctx_new()) == NULL)
        rc = error_set(e, ERR_IO, "can't start ZeroMQ: %s", zmq_strerror(zmq_errno()));
    if (rc == 0)
        rc = connect_socket(io, e);
    if (rc < 0) {
        io_close(io);
        return rc;
    }
    io->incarnation = noise[0] | 1; /* 0 is no incarnation */
    io->started_ms = clock_ms();
    registration_init(&io->registration, noise[1], io->started_ms);
    *out = io;
    return 0;
}

void io_close(struct io *io) {
    if (io == NULL)
        return;
    wire_message_close(&io->incoming);
    wire_message_close(&io->outgoing);
    while (io->n_assignments > 0)
        assignment_close(io->assignments[--io->n_assignments]);
    if (io->socket != NULL)
        (void)zmq_close(io->socket);
    if (io->context != NULL)
        (void)zmq_ctx_term(io->context);
    if (io->signals >= 0)
        (void)close(io->signals);
    free(io->news);
    free(io);
}

/* How long nothing has to be done by itself. */
static int rest_ms(struct io *io) {
    int64_t now_ms = clock_ms();
    if (io->event != NULL && io->outgoing.n_frames == 0)
        return 0; /* what it waited for was dropped */
    int rest = registration_wait_ms(&io->registration, now_ms);
    int64_t links_ms = io->links_due_ms - now_ms;
    if (links_ms >= rest || io->outgoing.n_frames > 0 || !io_tells_links(io) ||
        !holdings_pending(io->holdings))
        return rest;
    return links_ms > 0 ? (int)links_ms : 0;
}

static void wait(struct io *io) {
    zmq_pollitem_t items[] = {
        {io->socket, 0, (short)(ZMQ_POLLIN | (io->blocked ? ZMQ_POLLOUT : 0)), 0},
        {NULL, io->signals, ZMQ_POLLIN, 0},
        {NULL, runner_fd(io->runner), ZMQ_POLLIN, 0},
    };
    /* While an answer waits for the socket, the engine's events stay where they are. */
    int n = io->outgoing.n_frames > 0 ? 2 : 3;
    if (zmq_poll(items, n, rest_ms(io)) < 0)
        return; /* a signal: the next round finds it */
    if ((items[1].revents & ZMQ_POLLIN) != 0)
        on_signal(io);
    if ((items[0].revents & ZMQ_POLLOUT) != 0) {
        io->blocked = false;
        registration_unblocked(&io->registration, clock_ms());
        if (io->outgoing.n_frames > 0)
            io_push_outgoing(io);
    }
    if ((items[0].revents & ZMQ_POLLIN) != 0)
        io_receive(io);
}

int io_run(struct io *io, struct error *e) {
    io->error = e;
    while (io->fatal == 0 && !may_leave(io)) {
        serve_registration(io);
        if (io->fatal == 0)
            wait(io);
        if (io->fatal == 0)
            io_pass_events(io);
        if (io->fatal == 0)
            io_pass_links(io);
    }
    if (io->fatal != 0)
        return io->fatal;
    int linger = IO_LINGER_MS;
    (void)zmq_setsockopt(io->socket, ZMQ_LINGER, &linger, sizeof linger);
    io_send_goodbye(io);
    log_info("left", "name=%s", io->options.name);
    return 0;
}
