/* io_inside.h - the I/O thread's state, shared by io.c, io_receive.c and io_send.c only. */
#ifndef QUIRE_WORKER_IO_INSIDE_H
#define QUIRE_WORKER_IO_INSIDE_H

#include <stdbool.h>

#include "proto/wire/wire.h"
#include "worker/assignment.h"
#include "worker/io.h"
#include "worker/registration.h"

struct io {
    const struct engine *engine;
    struct runner *runner;
    struct io_options options;
    void *context, *socket;
    int signals;
    uint64_t incarnation;
    struct registration registration;
    struct assignment *assignments[ENGINE_MAX_SEQUENCES]; /* the first n, in no order */
    size_t n_assignments;
    struct wire_message incoming;
    struct wire_message outgoing; /* frames in it: they could not be sent yet */
    bool blocked;                 /* something waits for the socket */
    bool drained;                 /* the broker asked for no new work */
    bool leaving;                 /* a signal did */
    bool given_up;                /* the time to finish is over */
    bool was_up, waiting_noted;
    int64_t started_ms, leave_by_ms;
    int fatal; /* what ends the loop: 0 or a code, its sentence in *error */
    struct error *error;
};

/* ---- io_send.c ---- */

/* Ends io_run with this code and sentence; the first one counts. */
void io_fail(struct io *io, int code, const struct error *e);

/* A request at hand that somebody waits for; NULL for others. */
struct assignment *io_find(struct io *io, uint64_t ticket, uint32_t attempt);
void io_cancel(struct assignment *a);
/* The registration is over: nobody waits for the answers any more. */
void io_drop_all(struct io *io, const char *why);

/* False: not sent now. */
bool io_send_ready(struct io *io);
bool io_send_heartbeat(struct io *io);
void io_send_goodbye(struct io *io);
/* An ERROR for a request that is not at the engine, or not any more. Without memory, or with the
 * socket full, the broker hears nothing and the deadline ends the request. */
void io_refuse(struct io *io, const struct msg_work *work, const struct request_id *id, int code,
               const char *text);
/* The engine's events to the socket, as far as it takes them. */
void io_pass_events(struct io *io);
void io_push_outgoing(struct io *io); /* what waits in io->outgoing */

/* ---- io_receive.c ---- */

/* Takes what has come, IO_BURST messages at most. */
void io_receive(struct io *io);

#endif
