/* io_inside.h - the I/O thread's state, shared by the io*.c files only. */
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
    struct holdings *holdings;
    struct io_options options;
    void *context, *socket;
    int signals;
    uint64_t incarnation;
    uint64_t chain_seed; /* the broker's; 0: it wants no links */
    struct registration registration;
    struct assignment *assignments[ENGINE_MAX_SEQUENCES]; /* the first n, in no order */
    size_t n_assignments;
    struct wire_message incoming;
    struct wire_message outgoing; /* frames in it: they could not be sent yet */
    struct event *event;          /* the engine's next one, not yet passed on; NULL: none */
    struct holdings_news *news;   /* owned: the LINKS being made */
    int64_t links_due_ms;         /* not before this is the broker told of links by themselves */
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
void io_forget(struct io *io, struct assignment *a); /* the engine has done with it */
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
void io_push_outgoing(struct io *io); /* what waits in io->outgoing */
/* What all chains of this worker and broker grow from; without a tenant. */
struct chain_root io_chain_root(const struct io *io);

/* ---- io_pass.c ---- */

/* The engine's events to the socket, as far as it takes them; LINKS before a request's last one. */
void io_pass_events(struct io *io);
/* Whether the broker takes LINKS now. */
bool io_tells_links(const struct io *io);
/* Links that no request's end has sent, when it is time. */
void io_pass_links(struct io *io);

/* ---- io_receive.c ---- */

/* Takes what has come, IO_BURST messages at most. */
void io_receive(struct io *io);

#endif
