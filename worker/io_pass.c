/* io_pass.c - what comes from the engine: answers, and links.
 *
 * What a request computed is known to the holdings before its last event is in the queue, so links
 * told when that event is at hand come before it. New ones are told first; a burst is bounded, so
 * that an inventory of thousands holds up nobody's tokens. Links are hints: what can't be made for
 * want of memory is made up for by telling everything anew. */
#include "common/clock.h"
#include "common/log.h"
#include "worker/io_inside.h"

/* ---- links ---- */

bool io_tells_links(const struct io *io) {
    return io->registration.state == REGISTRATION_UP && io->chain_seed != 0;
}

static int links_message(const struct io *io, struct wire_message *out) {
    const struct holdings_news *news = io->news;
    struct msg_links links = {
        .incarnation = io->incarnation,
        .reset = news->reset,
        .held = {news->held, news->n_held * LINK_HELD_BYTES},
        .dropped = {news->dropped, news->n_dropped * LINK_BYTES},
    };
    struct wire_buffer b = {NULL, 0, 0};
    int rc = links_encode(&links, &b);
    if (rc == 0)
        rc = wire_add_buffer(out, &b);
    wire_buffer_clear(&b);
    return rc;
}

/* Tells what is new, up to a burst, as far as the socket takes it. */
static void tell_links(struct io *io) {
    for (int i = 0; i < IO_LINKS_BURST && io->fatal == 0 && io->outgoing.n_frames == 0; i++) {
        if (!io_tells_links(io) || !holdings_take(io->holdings, io->news))
            return;
        if (links_message(io, &io->outgoing) < 0) {
            log_warn("links-lost", "no memory for a message");
            holdings_resync(io->holdings);
            return;
        }
        io_push_outgoing(io);
    }
}

void io_pass_links(struct io *io) {
    int64_t now_ms = clock_ms();
    if (now_ms < io->links_due_ms || io->outgoing.n_frames > 0)
        return;
    tell_links(io);
    io->links_due_ms = now_ms + IO_LINKS_MS;
}

/* ---- answers ---- */

static void pass_event(struct io *io, struct event *event) {
    struct assignment *a = assignment_of(event->job);
    int rc = 0;
    if (!a->silenced && !event->failed)
        rc = assignment_reply(&a->work, io->incarnation,
                              (struct bytes){event->ids, event->ids_bytes},
                              wire_bytes(&event->message), &io->outgoing);
    if (!a->silenced && (event->failed || rc < 0)) {
        a->silenced = true; /* a stream with a gap must not go on */
        io_cancel(a);
        io_refuse(io, &a->work, &a->request.id, ERR_NOMEM,
                  "the worker has no memory for the answer");
    }
    bool last = event->last;
    runner_return(io->runner, event);
    if (last)
        io_forget(io, a);
    if (io->outgoing.n_frames > 0)
        io_push_outgoing(io);
}

void io_pass_events(struct io *io) {
    while (io->fatal == 0 && io->outgoing.n_frames == 0) {
        if (io->event == NULL)
            io->event = runner_next(io->runner);
        if (io->event == NULL)
            return;
        if (io->event->last)
            tell_links(io);
        if (io->fatal != 0 || io->outgoing.n_frames > 0)
            return; /* its turn is after what waits for the socket */
        struct event *event = io->event;
        io->event = NULL;
        pass_event(io, event);
    }
}
