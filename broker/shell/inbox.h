/* inbox.h - from a message on a socket to what it means. */
#ifndef QUIRE_BROKER_SHELL_INBOX_H
#define QUIRE_BROKER_SHELL_INBOX_H

#include "broker/core.h"
#include "proto/wire/wire.h"

enum incoming_kind {
    INCOMING_EVENT, /* for the core */
    INCOMING_HELLO, /* answered by WELCOME; no state */
    INCOMING_QUERY, /* an operator's question; changes nothing */
    INCOMING_BAD,   /* breaks the protocol: why, and whose request if that could be read */
};

/* What chains of segments grow from. */
struct inbox_roots {
    const struct broker *broker;
    uint64_t seed;
};

/* One message, read. Borrows from `message`; given back with inbox_clear. */
struct incoming {
    enum incoming_kind kind;
    struct wire_message *message; /* frame 0 is the peer's identity */
    struct event event;           /* its peer is set for every kind */
    struct msg_hello hello;
    struct msg_ops ops;
    struct explain_query explain; /* of OPS_EXPLAIN; its id lies in `id` */
    struct chain chain;           /* of a REQUEST, or of one that is to be explained */
    struct msg_done done;         /* of a REPLY with DONE */
    struct error why;
    bool has_id, has_serial; /* has_serial: of an OPS, that of `ops` */
    struct request_id id;
};

/* m is not empty. Never fails: what can't be read is INCOMING_BAD. */
void inbox_read_client(struct incoming *in, struct wire_message *m,
                       const struct inbox_roots *roots);
void inbox_read_worker(struct incoming *in, struct wire_message *m);

void inbox_clear(struct incoming *in); /* a zeroed one is fine */

/* Makes `in` a message that wire_recv gave up with ERR_LIMIT. */
void inbox_too_long(struct incoming *in, struct wire_message *m, const struct error *why);

#endif
