/* client_peer.h - a peer for tests of the client library: a ROUTER that a test drives by hand, so
 * that it can say what no broker of ours ever says. */
#ifndef QUIRE_TESTS_CLIENT_PEER_H
#define QUIRE_TESTS_CLIENT_PEER_H

#include "client/quire.h"
#include "proto/wire/wire.h"
#include "support/temp.h"

#define PEER_WAIT_MS 5000 /* for what must come; never waited out when the code is right */

struct peer {
    struct temp_dir dir;
    char endpoint[TEMP_PATH_BYTES + 16];
    void *context, *router;
    struct wire_message m; /* the last message received: identity, map, pictures */
};

void peer_open(struct peer *p);
void peer_close(struct peer *p);
void peer_leave(struct peer *p);  /* closes the socket: clients are disconnected */
void peer_return(struct peer *p); /* binds it again */

/* Receives one message into p->m and fails the test when its type is another. */
void peer_expect(struct peer *p, enum message_type type);
/* Sends a map to whom p->m came from; takes b's memory. */
void peer_answer(struct peer *p, struct wire_buffer *b);

/* Runs `serve` in a thread while the test is inside a call that waits for its answer. */
typedef void peer_serve(struct peer *p);
void peer_begin(struct peer *p, peer_serve *serve);
void peer_end(struct peer *p);

void peer_welcome(struct peer *p); /* a peer_serve: HELLO -> WELCOME */
/* quire_open with peer_welcome. */
struct quire_client *peer_client(struct peer *p);

#endif
