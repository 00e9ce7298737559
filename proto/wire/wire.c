/* wire.c - frames in, frames out.
 *
 * ZeroMQ delivers a multipart message whole: once its first frame is there, the others are, so only
 * the first receive can find nothing. The same holds for sending: the first frame decides whether
 * there is a peer and room for it, and what follows goes the same way or is dropped with the peer.
 * That is why only the first frame of a send may answer "again" or "gone". */
#include "proto/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define MESSAGE_BYTES_MAX ((size_t)LIMIT_REQUEST_BYTES + LIMIT_HEADER_BYTES)

void wire_message_init(struct wire_message *m) {
    m->n_frames = 0;
    m->n_bytes = 0;
}

void wire_message_close(struct wire_message *m) {
    for (size_t i = 0; i < m->n_frames; i++)
        (void)zmq_msg_close(&m->frames[i]);
    wire_message_init(m);
}

void wire_message_move(struct wire_message *to, struct wire_message *from) {
    MUST(to != from);
    wire_message_close(to);
    for (size_t i = 0; i < from->n_frames; i++) {
        MUST(zmq_msg_init(&to->frames[i]) == 0);
        MUST(zmq_msg_move(&to->frames[i], &from->frames[i]) == 0);
    }
    to->n_frames = from->n_frames;
    to->n_bytes = from->n_bytes;
    wire_message_close(from);
}

struct bytes wire_frame(struct wire_message *m, size_t i) {
    MUST(i < m->n_frames);
    return (struct bytes){zmq_msg_data(&m->frames[i]), zmq_msg_size(&m->frames[i])};
}

/* ---- building ---- */

static void count_frame(struct wire_message *m) {
    m->n_bytes += zmq_msg_size(&m->frames[m->n_frames]);
    m->n_frames++;
}

int wire_add_copy(struct wire_message *m, struct bytes data) {
    if (m->n_frames == WIRE_FRAMES_MAX)
        return ERR_LIMIT;
    zmq_msg_t *frame = &m->frames[m->n_frames];
    if (zmq_msg_init_size(frame, data.size) != 0)
        return ERR_NOMEM;
    if (data.size > 0)
        memcpy(zmq_msg_data(frame), data.data, data.size);
    count_frame(m);
    return 0;
}

static void free_data(void *data, void *hint) {
    (void)hint;
    free(data);
}

int wire_add_buffer(struct wire_message *m, struct wire_buffer *b) {
    int rc = 0;
    if (m->n_frames == WIRE_FRAMES_MAX) {
        rc = ERR_LIMIT;
    } else if (zmq_msg_init_data(&m->frames[m->n_frames], b->data, b->size, free_data, NULL) != 0) {
        rc = ERR_NOMEM;
    } else {
        *b = (struct wire_buffer){0};
        count_frame(m);
    }
    wire_buffer_clear(b);
    return rc;
}

int wire_add_taken(struct wire_message *m, zmq_msg_t *frame) {
    if (m->n_frames == WIRE_FRAMES_MAX)
        return ERR_LIMIT;
    MUST(zmq_msg_init(&m->frames[m->n_frames]) == 0);
    MUST(zmq_msg_move(&m->frames[m->n_frames], frame) == 0);
    count_frame(m);
    return 0;
}

int wire_add_shared(struct wire_message *m, zmq_msg_t *frame) {
    if (m->n_frames == WIRE_FRAMES_MAX)
        return ERR_LIMIT;
    MUST(zmq_msg_init(&m->frames[m->n_frames]) == 0);
    MUST(zmq_msg_copy(&m->frames[m->n_frames], frame) == 0);
    count_frame(m);
    return 0;
}

/* ---- sockets ---- */

static int socket_error(struct error *e, const char *what) {
    if (errno == ETERM)
        return error_set(e, ERR_SHUTTING_DOWN, "the ZeroMQ context was closed");
    if (errno == ENOMEM)
        return error_set(e, ERR_NOMEM, "memory ran out while %s a message", what);
    return error_set(e, ERR_IO, "%s a message failed: %s", what, zmq_strerror(errno));
}

int wire_socket_setup(void *socket, struct error *e) {
    int64_t frame_bytes = LIMIT_PICTURE_BYTES;
    int linger_ms = 0, ipv6 = 1;
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_bytes, sizeof frame_bytes) != 0 ||
        zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms) != 0 ||
        zmq_setsockopt(socket, ZMQ_IPV6, &ipv6, sizeof ipv6) != 0)
        return error_set(e, ERR_IO, "a socket option was refused: %s", zmq_strerror(errno));
    return 0;
}

/* One frame into an initialised message; interrupted calls are repeated. -1 with errno. */
static int recv_frame(void *socket, zmq_msg_t *frame) {
    int rc;
    do
        rc = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* Reads the rest of the message that `frame` belongs to, and forgets it. */
static int drop_rest(void *socket, zmq_msg_t *frame, struct error *e) {
    while (zmq_msg_more(frame)) {
        if (recv_frame(socket, frame) < 0)
            return socket_error(e, "receiving");
    }
    return 0;
}

/* The frame that passes a limit goes nowhere, and neither does what follows it. */
static int refuse_rest(void *socket, zmq_msg_t *frame, struct error *e) {
    int rc = drop_rest(socket, frame, e);
    (void)zmq_msg_close(frame);
    if (rc != 0)
        return rc;
    return error_set(e, ERR_LIMIT, "a message may have %d frames and %zu bytes", WIRE_FRAMES_MAX,
                     MESSAGE_BYTES_MAX);
}

int wire_recv(void *socket, struct wire_message *m, struct error *e) {
    wire_message_close(m);
    for (;;) {
        zmq_msg_t frame;
        MUST(zmq_msg_init(&frame) == 0);
        if (recv_frame(socket, &frame) < 0) {
            int saved = errno;
            (void)zmq_msg_close(&frame);
            errno = saved;
            if (saved == EAGAIN && m->n_frames == 0)
                return WIRE_AGAIN;
            return socket_error(e, "receiving");
        }
        if (m->n_frames == WIRE_FRAMES_MAX || zmq_msg_size(&frame) > MESSAGE_BYTES_MAX - m->n_bytes)
            return refuse_rest(socket, &frame, e);
        bool more = zmq_msg_more(&frame);
        MUST(wire_add_taken(m, &frame) == 0);
        (void)zmq_msg_close(&frame);
        if (!more)
            return 0;
    }
}

int wire_recv_wait(void *socket, struct wire_message *m, int timeout_ms, struct error *e) {
    MUST(timeout_ms >= 0);
    int rc = wire_recv(socket, m, e);
    if (rc != WIRE_AGAIN)
        return rc;
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, timeout_ms) < 0 && errno != EINTR)
        return socket_error(e, "waiting for");
    return wire_recv(socket, m, e);
}

static int send_frame(void *socket, zmq_msg_t *frame, bool more) {
    int rc;
    do
        rc = zmq_msg_send(frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    while (rc < 0 && errno == EINTR);
    return rc;
}

int wire_send(void *socket, struct wire_message *m, struct error *e) {
    MUST(m->n_frames > 0);
    for (size_t i = 0; i < m->n_frames; i++) {
        if (send_frame(socket, &m->frames[i], i + 1 < m->n_frames) >= 0)
            continue;
        if (i == 0 && errno == EAGAIN)
            return WIRE_AGAIN;
        if (i == 0 && errno == EHOSTUNREACH)
            return WIRE_GONE;
        int rc = socket_error(e, "sending");
        wire_message_close(m);
        return rc;
    }
    wire_message_close(m);
    return 0;
}

int wire_send_buffer(void *socket, struct bytes identity, struct wire_buffer *b, struct error *e) {
    struct wire_message m;
    wire_message_init(&m);
    int rc = identity.data != NULL ? wire_add_copy(&m, identity) : 0;
    if (rc == 0)
        rc = wire_add_buffer(&m, b);
    else
        wire_buffer_clear(b);
    if (rc != 0)
        rc = error_set(e, rc, "memory ran out while sending a message");
    else
        rc = wire_send(socket, &m, e);
    wire_message_close(&m);
    return rc;
}
