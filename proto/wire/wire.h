/* wire.h - whole ZeroMQ messages: received within bounds, sent without copying.
 *
 * A struct wire_message is the frames of one multipart message in a fixed array. On a ROUTER socket
 * frame 0 is the peer's routing identity; there is no empty delimiter frame anywhere in quire.
 *
 *     struct wire_message m;
 *     wire_message_init(&m);
 *     while (wire_recv(socket, &m, &e) == 0)      // 0 | WIRE_AGAIN | ERR_LIMIT | ERR_IO | ...
 *         handle(wire_frame(&m, 0), ...);
 *     wire_message_close(&m);
 *
 * Nothing here waits unless its name says so. A wire_message must not be copied or moved in memory
 * (zmq_msg_t forbids it); wire_message_move hands its frames to another one. */
#ifndef QUIRE_PROTO_WIRE_WIRE_H
#define QUIRE_PROTO_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

#include "common/bytes.h"
#include "common/error.h"
#include "proto/message.h"

/* Identity, WORK or REPLY, the map, pictures, and one to notice that there are too many. */
#define WIRE_FRAMES_MAX (LIMIT_PICTURES + 4)

/* Outcomes that are no errors; error codes are negative. */
enum {
    WIRE_AGAIN = 1, /* nothing to receive now, or the peer's pipe is full */
    WIRE_GONE = 2,  /* ROUTER_MANDATORY: no peer of that identity is connected (EHOSTUNREACH) */
};

struct wire_message {
    zmq_msg_t frames[WIRE_FRAMES_MAX]; /* the first n_frames are initialised */
    size_t n_frames;
    size_t n_bytes; /* of all frames */
};

void wire_message_init(struct wire_message *m);  /* no frames */
void wire_message_close(struct wire_message *m); /* releases all frames; ready for use again */

/* Hands all frames of `from` to `to`, whose own are released first. `from` is empty afterwards. */
void wire_message_move(struct wire_message *to, struct wire_message *from);

/* Frame i, borrowed until the message is closed, sent, moved or received into. MUST(i < n_frames).
 */
struct bytes wire_frame(struct wire_message *m, size_t i);

/* ---- building: each adds one frame at the end. 0, ERR_NOMEM, or ERR_LIMIT past WIRE_FRAMES_MAX
 * ---- */

int wire_add_copy(struct wire_message *m, struct bytes data);
/* Takes b's memory without copying and leaves *b empty, also on failure. */
int wire_add_buffer(struct wire_message *m, struct wire_buffer *b);
/* Takes the frame's content; *frame stays initialised and becomes empty. */
int wire_add_taken(struct wire_message *m, zmq_msg_t *frame);
/* Shares the frame's content (a reference, no copy), so that *frame can be sent again later. */
int wire_add_shared(struct wire_message *m, zmq_msg_t *frame);

/* ---- sockets ---- */

/* Sets what every socket of quire has: ZMQ_MAXMSGSIZE (no frame above LIMIT_PICTURE_BYTES; a peer
 * that sends a larger one is disconnected by libzmq before it is read), ZMQ_LINGER 0, IPv6 on. To
 * be called before bind or connect. ERR_IO. */
int wire_socket_setup(void *socket, struct error *e);

/* Receives one whole message without waiting; what m held before is released.
 *   0           all frames are in m
 *   WIRE_AGAIN  none is there, m is empty
 *   ERR_LIMIT   more than WIRE_FRAMES_MAX frames or more than LIMIT_REQUEST_BYTES +
 *               LIMIT_HEADER_BYTES; the rest was read and dropped, and m keeps the frames before
 * the one that passed the limit (so frame 0, the identity, is there to answer to) ERR_SHUTTING_DOWN
 * the context was terminated;  ERR_IO, ERR_NOMEM */
int wire_recv(void *socket, struct wire_message *m, struct error *e);

/* As wire_recv, waiting at most timeout_ms (>= 0) for a message; WIRE_AGAIN when none came. A
 * signal ends the wait early, also with WIRE_AGAIN. */
int wire_recv_wait(void *socket, struct wire_message *m, int timeout_ms, struct error *e);

/* Sends all frames without waiting.
 *   0                      sent; m is empty
 *   WIRE_AGAIN, WIRE_GONE  nothing was sent, m is as it was: send it again later or close it
 *   ERR_SHUTTING_DOWN, ERR_IO   m is empty */
int wire_send(void *socket, struct wire_message *m, struct error *e);

/* Sends one frame (b, whose memory is taken also on failure), to `identity` on a ROUTER;
 * identity.data is NULL on a DEALER. Same outcomes as wire_send, but nothing is kept for a second
 * try. */
int wire_send_buffer(void *socket, struct bytes identity, struct wire_buffer *b, struct error *e);

#endif
