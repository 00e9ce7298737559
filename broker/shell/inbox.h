/* inbox.h - from a message on a socket to what it means. */
#ifndef QUIRE_BROKER_SHELL_INBOX_H
#define QUIRE_BROKER_SHELL_INBOX_H

#include "broker/event.h"
#include "proto/wire/wire.h"

enum incoming_kind {
    INCOMING_EVENT, /* for the core */
    INCOMING_HELLO, /* answered by WELCOME; no state */
    INCOMING_QUERY, /* an operator's question; changes nothing */
    INCOMING_BAD,   /* breaks the protocol: why, and whose request if that could be read */
};

/* One message, read. Borrows from `message`. */
struct incoming {
    enum incoming_kind kind;
    struct wire_message *message; /* frame 0 is the peer's identity */
    struct event event;           /* its peer is set for every kind */
    struct msg_hello hello;
    struct msg_ops ops;
    struct msg_done done; /* of a REPLY with DONE */
    struct error why;
    bool has_id;
    struct request_id id;
};

/* m is not empty. Never fails: what can't be read is INCOMING_BAD. */
void inbox_read_client(struct incoming *in, struct wire_message *m);
void inbox_read_worker(struct incoming *in, struct wire_message *m);

/* Makes `in` a message that wire_recv gave up with ERR_LIMIT. */
void inbox_too_long(struct incoming *in, struct wire_message *m, const struct error *why);

#endif
