/* run.h - a question to the pool in a dialect, and those who read its answer: the exchange that
 * asked and, with an Idempotency-Key, those that asked the same again. */
#ifndef QUIRE_GATEWAY_HTTP_RUN_H
#define QUIRE_GATEWAY_HTTP_RUN_H

#include "gateway/access/keys.h"
#include "gateway/http/inside.h"
#include "gateway/pool/pool.h"

#define RUN_EVENT_BYTES ((size_t)16 << 20) /* of what one event, or one whole answer, becomes */

struct run_reader {
    struct run *run;
    struct exchange *exchange;
    struct run_reader *next;
};
struct run {
    struct server *server;
    struct run *before, *after; /* all of a server */
    const struct dialect *dialect;
    struct reply reply;         /* until it has ended */
    struct pool_request *asked; /* NULL: not asked, or ended */
    struct run_reader *readers;
    struct text output; /* events not yet given to readers; with a key all there were */
    size_t flushed;     /* bytes of it that readers were given */
    size_t held_bytes;  /* of the body: until the end its pictures live on in the request */
    bool read;          /* the dialect's read went well, so its close is due */
    bool begun;         /* a stream's head was sent */
    bool ended;
    int status;      /* of the answer; 0: none yet */
    int64_t said_ms; /* when the stream said something last */
    struct key key;  /* whose limits count; with an empty name nobody's */
    struct record record;
    struct exchange_note note;

    /* idempotency.c */
    struct run *kept_before, *kept_after; /* the table's list, oldest first */
    struct run *kept_next;                /* in the same slot */
    bool kept;                            /* in the table */
    size_t kept_bytes;                    /* that the table counts for it */
    uint8_t name[32], body[32];           /* hashes of tenant, route and key; of the body */
    int64_t until_ms; /* clock_ms; ended: when it is forgotten; without readers: when cancelled */
};

/* The handler of all routes with a dialect. */
void run_start(struct exchange *x, const struct dialect *dialect);
/* Gives x the answer from its first byte on. */
void run_attach(struct run *run, struct exchange *x);
/* Ends it before its time; nobody reads it any more. */
void run_cancel(struct run *run);
/* For exchange_begin: the reader has left, or has all. */
void run_reader_gone(void *reader);
/* Frees it unless somebody reads it or it is kept. */
void run_release(struct run *run);
/* Pings for streams that were silent. */
void runs_tick(struct server *s, int64_t now_ms);
/* Ends those that are left when the gateway stops, with an error that their readers get to see. */
void runs_stop(struct server *s);

/* ---- run_events.c ---- */
extern const struct pool_listener run_listener;
/* Begins the stream, if that was not done. */
void run_begin(struct run *run);
/* Sends what is new in output. */
void run_flush(struct run *run);
void run_fail(struct run *run, const struct fault *f);

/* ---- run_end.c: the books of an ended run ---- */
/* Fills the record from the request and DONE (NULL: it failed or was cancelled). */
void run_record(struct run *run, const char *outcome, const struct quire_event *done);
json_t *run_details(const struct run *run);
/* Records, pays, logs, and frees what only a running one needs. */
void run_close_books(struct run *run);

#endif
