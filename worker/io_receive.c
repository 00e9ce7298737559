/* io_receive.c - what the broker says, and what is done about it.
 *
 * A message that can't be read is logged and dropped; when it was a WORK of which the ticket could
 * be read, the broker is told. */
#include "common/clock.h"
#include "common/log.h"
#include "common/must.h"
#include "worker/io_inside.h"

static void on_work(struct io *io) {
    struct assignment *a = NULL;
    struct msg_work work;
    struct request_id id;
    bool named;
    struct error e;
    struct chain_root root = io_chain_root(io);
    int rc = assignment_open(&a, &io->incoming, clock_us(), &root, &work, &named, &id, &e);
    if (rc == 0 && (io->leaving || io->registration.state != REGISTRATION_UP))
        rc = error_set(&e, ERR_SHUTTING_DOWN, "worker \"%s\" takes no more requests",
                       io->options.name);
    if (rc == 0 && io_find(io, work.ticket, work.attempt) != NULL) {
        log_warn("work-twice", "ticket=%llu attempt=%u", (unsigned long long)work.ticket,
                 work.attempt);
        assignment_close(a);
        return;
    }
    if (rc == 0 && !runner_submit(io->runner, &a->job))
        rc = error_set(&e, ERR_BUSY, "worker \"%s\" has %zu requests already", io->options.name,
                       io->n_assignments);
    if (rc == 0) {
        MUST(io->n_assignments < ENGINE_MAX_SEQUENCES);
        io->assignments[io->n_assignments++] = a;
        return;
    }
    assignment_close(a);
    if (named)
        io_refuse(io, &work, &id, rc, e.text);
    else
        log_warn("bad-message", "type=WORK %s", e.text);
}

static int on_cancel_work(struct io *io, struct bytes frame, struct error *e) {
    struct msg_cancel_work m;
    int rc = cancel_work_decode(&m, frame, e);
    struct assignment *a = rc == 0 ? io_find(io, m.ticket, m.attempt) : NULL;
    if (a != NULL)
        io_cancel(a); /* else it ended while this was on its way */
    return rc;
}

static int on_welcome(struct io *io, struct bytes frame, struct error *e) {
    struct msg_welcome m;
    int rc = welcome_decode(&m, frame, e);
    if (rc < 0)
        return rc;
    if (m.version < PROTO_VERSION_MIN || m.version > PROTO_VERSION_MAX)
        return error_set(e, ERR_BAD_VERSION, "the broker chose version %u", m.version);
    bool new = io->registration.state != REGISTRATION_UP;
    registration_welcomed(&io->registration, m.heartbeat_ms, m.dead_ms, clock_ms());
    io->chain_seed = m.seed;
    holdings_seed(io->holdings, m.seed);
    if (new)
        holdings_resync(io->holdings);
    if (new)
        log_info("registered", "endpoint=%s name=%s model=%s heartbeat_ms=%u dead_ms=%u",
                 io->options.endpoint, io->options.name, io->engine->text.name, m.heartbeat_ms,
                 m.dead_ms);
    io->was_up = true;
    return 0;
}

static int on_inventory(struct io *io, struct bytes frame, struct error *e) {
    int rc = inventory_decode(frame, e);
    if (rc == 0)
        holdings_resync(io->holdings);
    return rc;
}

static int on_drain(struct io *io, struct bytes frame, struct error *e) {
    struct msg_drain m;
    int rc = drain_decode(&m, frame, e);
    if (rc < 0)
        return rc;
    log_info(m.on ? "drain" : "undrain", "requests=%zu", io->n_assignments);
    io->drained = m.on;
    registration_hurry(&io->registration, clock_ms());
    return 0;
}

static int on_beat(struct io *io, struct bytes frame, struct error *e) {
    struct msg_beat m;
    int rc = beat_decode(&m, frame, e);
    if (rc < 0 || m.known || io->registration.state != REGISTRATION_UP)
        return rc;
    log_warn("broker-forgot", "name=%s", io->options.name);
    io_drop_all(io, "broker-forgot");
    registration_unknown(&io->registration, clock_ms());
    return 0;
}

/* An ERROR of the broker's own: about READY, unless we are registered. */
static int on_error(struct io *io, struct bytes frame, struct error *e) {
    struct msg_error m;
    int rc = error_decode(&m, frame, e);
    if (rc < 0)
        return rc;
    log_warn("broker-error", "code=%s %.*s", error_name(m.code), (int)m.text.size,
             (const char *)m.text.data);
    if (io->registration.state == REGISTRATION_UP)
        return 0;
    bool final =
        m.code == ERR_BAD_VERSION || m.code == ERR_BAD_MESSAGE || m.code == ERR_BAD_REQUEST;
    if (final) {
        struct error said;
        (void)error_set(&said, m.code, "the broker at %s refuses this worker: %.*s",
                        io->options.endpoint, (int)m.text.size, (const char *)m.text.data);
        io_fail(io, m.code, &said);
    }
    registration_refused(&io->registration, clock_ms());
    return 0;
}

static int dispatch(struct io *io, struct error *e) {
    struct bytes frame = wire_frame(&io->incoming, 0);
    enum message_type type;
    int rc = message_peek(frame, &type, e);
    if (rc < 0)
        return rc;
    registration_heard(&io->registration, clock_ms());
    switch (type) {
    case MSG_WORK:
        on_work(io);
        return 0;
    case MSG_CANCEL_WORK:
        return on_cancel_work(io, frame, e);
    case MSG_WELCOME:
        return on_welcome(io, frame, e);
    case MSG_DRAIN:
        return on_drain(io, frame, e);
    case MSG_BEAT:
        return on_beat(io, frame, e);
    case MSG_INVENTORY:
        return on_inventory(io, frame, e);
    case MSG_ERROR:
        return on_error(io, frame, e);
    default:
        return error_set(e, ERR_BAD_MESSAGE, "a broker sends no such message to a worker");
    }
}

/* WORK beyond the limits of the wire: what was kept of it tells whose it is. */
static void on_oversize(struct io *io, const struct error *why) {
    struct msg_work work;
    struct request_id id = {{0}};
    struct error e;
    if (io->incoming.n_frames > 0 && work_decode(&work, wire_frame(&io->incoming, 0), &e) == 0)
        io_refuse(io, &work, &id, ERR_LIMIT, why->text);
    else
        log_warn("bad-message", "%s", why->text);
}

void io_receive(struct io *io) {
    for (int i = 0; i < IO_BURST; i++) {
        struct error e;
        int rc = wire_recv(io->socket, &io->incoming, &e);
        if (rc == WIRE_AGAIN)
            return;
        if (rc == ERR_LIMIT) {
            on_oversize(io, &e);
        } else if (rc < 0) {
            io_fail(io, rc, &e);
            return;
        } else if (dispatch(io, &e) < 0) {
            log_warn("bad-message", "%s", e.text);
        }
    }
}
