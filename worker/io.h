/* io.h - the I/O thread's loop: the broker's socket on one side, the engine's queues on the other.
 *
 * It never computes, so handshake, heartbeats and cancels go on while the engine is deep in a long
 * prompt. */
#ifndef QUIRE_WORKER_IO_H
#define QUIRE_WORKER_IO_H

#include <stdint.h>

#include "worker/engine/engine.h"
#include "worker/holdings.h"
#include "worker/runner.h"

#define IO_LINGER_MS 500 /* at exit: how long the last messages may take to leave */
#define IO_BURST 64      /* messages received before the engine's events have their turn again */
#define IO_WAIT_NOTE_MS                                                                            \
    2000 /* silence at start after which a line in the log says who is awaited */

#define IO_LINKS_MS 50   /* between LINKS that no request's end asks for */
#define IO_LINKS_BURST 8 /* LINKS messages in a row before tokens have their turn again */

struct io_options {
    const char *endpoint; /* of the broker's worker socket */
    const char *name;     /* 1..LIMIT_NAME_BYTES */
    uint32_t drain_ms;    /* after a first SIGTERM or SIGINT: time for requests to finish */
};

struct io;

/* Connects. Borrows g, r, h and the texts of o. ERR_USAGE (endpoint), ERR_IO, ERR_NOMEM. */
int io_open(struct io **out, const struct engine *g, struct runner *r, struct holdings *h,
            const struct io_options *o, struct error *e);

/* Serves until SIGTERM or SIGINT, which must be blocked in all threads: then takes no more work,
 * lets requests finish for drain_ms, says GOODBYE and returns 0; a second signal ends the process
 * at once with 128 + its number. Otherwise returns why the worker can't go on: ERR_IO, or what the
 * broker said to READY. */
int io_run(struct io *io, struct error *e);

/* Frees also the requests that were given up, so the runner must be closed before. NULL is fine. */
void io_close(struct io *io);

#endif
