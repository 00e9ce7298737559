/* client.h - what the files of the client library share. Private: applications see quire.h only.
 *
 * A client has a ZeroMQ context of its own with one DEALER for requests, a monitor that tells when
 * the broker's side is gone, and, once an operator's query was asked, a second DEALER for those:
 * with a socket of its own a query never has to put events of requests aside. */
#ifndef QUIRE_CLIENT_CLIENT_H
#define QUIRE_CLIENT_CLIENT_H

#include "client/quire.h"
#include "common/error.h"
#include "proto/message.h"
#include "proto/wire/wire.h"

#define CLIENT_IN_FLIGHT_MAX 1024 /* requests of one client that have not ended */
#define CLIENT_LINGER_MS 200      /* how long quire_close may take to get CANCELs out */
#define CLIENT_RECEIVE_MAX 10000  /* messages libzmq keeps for an application that does not read */
#define CLIENT_ENDPOINT_BYTES 256

/* A request that was sent and has not ended. */
struct flight {
    struct request_id id;
    uint32_t next; /* index of the token that must come next */
    bool lost;     /* the connection it was sent over is gone */
};

struct quire_client {
    char endpoint[CLIENT_ENDPOINT_BYTES];
    void *context, *socket, *monitor;
    int epoll;      /* over the descriptors of socket and monitor; -1 until quire_open is through */
    bool connected; /* from WELCOME on, as far as the monitor has told */
    struct flight flights[CLIENT_IN_FLIGHT_MAX];
    size_t n_flights;
    /* The event that quire_next gave last: */
    struct wire_message incoming;
    struct msg_tokens tokens;
    void *token_block; /* quire_token and quire_logprob of `tokens`, when it has entries */
    uint32_t segment_ends[LIMIT_SEGMENT_ENDS];
    /* Operators' queries: */
    void *ops_socket; /* NULL until the first */
    uint32_t serial;
};

/* Copies e into an application's error, which may be NULL; returns e->code. */
int client_report(struct quire_error *out, const struct error *e);

/* A DEALER connected to the client's endpoint. ERR_USAGE for a string that is no endpoint, ERR_IO.
 */
int client_connect(struct quire_client *c, void **socket, struct error *e);

/* Sends what `encode` wrote; takes b's memory. */
int client_send(struct quire_client *c, void *socket, struct wire_buffer *b, struct error *e);

/* The text of a decoded message as a string; out has room for `limit` of SPEC.md and a NUL. */
void client_copy_text(char *out, size_t capacity, struct bytes text);

/* Builds REQUEST and its pictures. `id` is already drawn. */
int request_to_wire(const struct quire_request *request, struct request_id id,
                    struct wire_message *out, struct error *e);

/* Sends an operator's query, with the request that it is about (or NULL), and waits for its reply.
 * The reply borrows from *m, which the caller closes after clearing the reply. Sets the serial. */
int ops_ask(struct quire_client *c, int timeout_ms, struct msg_ops query,
            const struct quire_request *request, struct wire_message *m,
            struct msg_ops_reply *reply, struct error *e);

/* A worker's name as a query wants it; ERR_USAGE for one that none can have. */
int ops_worker_name(const char *worker, struct bytes *out, struct error *e);

/* Releases what the last event borrowed from. */
void events_release(struct quire_client *c);

/* Reads what the monitor has to say: a lost connection marks all requests in flight as lost. */
void events_note_connection(struct quire_client *c);

/* "the broker at ENDPOINT went away". */
int client_lost(const struct quire_client *c, struct error *e);

#endif
