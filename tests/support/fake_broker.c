/* fake_broker.c - one ROUTER socket and a little patience. */
#include "tests/support/fake_broker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/support/process.h"

static void bind_socket(struct fake_broker *b) {
    struct error e;
    b->socket = zmq_socket(b->context, ZMQ_ROUTER);
    assert_non_null(b->socket);
    assert_int_equal(wire_socket_setup(b->socket, &e), 0);
    int few = FAKE_BACKLOG;
    assert_int_equal(zmq_setsockopt(b->socket, ZMQ_RCVHWM, &few, sizeof few), 0);
    assert_int_equal(zmq_bind(b->socket, b->endpoint), 0);
}

void fake_broker_open(struct fake_broker *b, const struct temp_dir *dir) {
    memset(b, 0, sizeof *b);
    (void)snprintf(b->endpoint, sizeof b->endpoint, "ipc://%s/workers.ipc", dir->path);
    b->dead_ms = 60000; /* a slow test is no silence */
    b->context = zmq_ctx_new();
    assert_non_null(b->context);
    wire_message_init(&b->message);
    bind_socket(b);
}

void fake_broker_close(struct fake_broker *b) {
    wire_message_close(&b->message);
    assert_int_equal(zmq_close(b->socket), 0);
    assert_int_equal(zmq_ctx_term(b->context), 0);
}

void fake_broker_restart(struct fake_broker *b) {
    assert_int_equal(zmq_close(b->socket), 0);
    b->known = false;
    bind_socket(b);
}

struct bytes fake_frame(struct fake_broker *b) {
    return wire_frame(&b->message, b->message.n_frames - 1);
}

void fake_send(struct fake_broker *b, struct wire_buffer *head, const struct bytes *frames,
               size_t n_frames) {
    struct wire_message m;
    struct error e;
    wire_message_init(&m);
    assert_int_equal(wire_add_copy(&m, (struct bytes){b->identity, b->identity_bytes}), 0);
    assert_int_equal(wire_add_buffer(&m, head), 0);
    for (size_t i = 0; i < n_frames; i++)
        assert_int_equal(wire_add_copy(&m, frames[i]), 0);
    assert_int_equal(wire_send(b->socket, &m, &e), 0);
    wire_message_close(&m);
}

static void on_heartbeat(struct fake_broker *b) {
    assert_int_equal(heartbeat_decode(&b->beat, fake_frame(b), NULL), 0);
    b->n_beats++;
    if (b->silent)
        return;
    struct msg_beat beat = {b->known};
    struct wire_buffer buffer = {NULL, 0, 0};
    assert_int_equal(beat_encode(&beat, &buffer), 0);
    fake_send(b, &buffer, NULL, 0);
}

/* One message of any type, except a READY that was sent again before its answer came. */
static enum message_type take(struct fake_broker *b) {
    struct error e;
    enum message_type type;
    int rc = wire_recv_wait(b->socket, &b->message, PROCESS_WAIT_MS, &e);
    if (rc != 0)
        fail_msg("the worker says nothing (%d)", rc);
    struct bytes identity = wire_frame(&b->message, 0);
    assert_true(identity.size <= FAKE_IDENTITY_BYTES);
    memcpy(b->identity, identity.data, identity.size);
    b->identity_bytes = identity.size;
    assert_int_equal(message_peek(wire_frame(&b->message, 1), &type, &e), 0);
    if (type == MSG_READY && b->known) {
        fake_welcome(b);
        return take(b);
    }
    if (type == MSG_HEARTBEAT)
        on_heartbeat(b);
    if (type != MSG_REPLY)
        return type;
    assert_int_equal(b->message.n_frames, 3);
    assert_int_equal(reply_decode(&b->reply, wire_frame(&b->message, 1), &e), 0);
    assert_int_equal(message_peek(wire_frame(&b->message, 2), &type, &e), 0);
    return type;
}

enum message_type fake_next(struct fake_broker *b) {
    int64_t until_ms = clock_ms() + PROCESS_WAIT_MS;
    enum message_type type;
    while ((type = take(b)) == MSG_HEARTBEAT)
        assert_true(clock_ms() < until_ms);
    return type;
}

enum message_type fake_next_answer(struct fake_broker *b) {
    enum message_type type;
    while ((type = fake_next(b)) == MSG_PROGRESS)
        ;
    return type;
}

void fake_expect_beats(struct fake_broker *b, uint32_t beats) {
    for (uint32_t i = 0; i < beats; i++)
        assert_int_equal(take(b), MSG_HEARTBEAT);
}

void fake_wait_draining(struct fake_broker *b, bool draining) {
    int64_t until_ms = clock_ms() + PROCESS_WAIT_MS;
    do {
        assert_true(clock_ms() < until_ms);
        while (take(b) != MSG_HEARTBEAT)
            ;
    } while (b->beat.draining != draining);
}

void fake_welcome(struct fake_broker *b) {
    struct msg_welcome m = {
        .version = PROTO_VERSION_MAX,
        .software = {(const uint8_t *)"test", 4},
        .heartbeat_ms = FAKE_HEARTBEAT_MS,
        .dead_ms = b->dead_ms,
        .seed = b->seed,
    };
    struct wire_buffer buffer = {NULL, 0, 0};
    assert_int_equal(welcome_encode(&m, &buffer), 0);
    b->known = true;
    fake_send(b, &buffer, NULL, 0);
}

void fake_send_work(struct fake_broker *b, uint64_t ticket, const struct request *r,
                    const struct bytes *pictures, size_t n_pictures) {
    struct msg_work work = {.ticket = ticket, .attempt = 1, .deadline_ms = r->deadline_ms};
    struct wire_buffer head = {NULL, 0, 0}, body = {NULL, 0, 0};
    assert_int_equal(work_encode(&work, &head), 0);
    assert_int_equal(request_encode(r, &body), 0);
    struct bytes frames[LIMIT_PICTURES + 1] = {wire_bytes(&body)};
    for (size_t i = 0; i < n_pictures; i++)
        frames[i + 1] = pictures[i];
    fake_send(b, &head, frames, n_pictures + 1);
    wire_buffer_clear(&body);
}

void fake_send_cancel(struct fake_broker *b, uint64_t ticket) {
    struct msg_cancel_work m = {ticket, 1};
    struct wire_buffer buffer = {NULL, 0, 0};
    assert_int_equal(cancel_work_encode(&m, &buffer), 0);
    fake_send(b, &buffer, NULL, 0);
}

void fake_send_drain(struct fake_broker *b, bool on) {
    struct msg_drain m = {on};
    struct wire_buffer buffer = {NULL, 0, 0};
    assert_int_equal(drain_encode(&m, &buffer), 0);
    fake_send(b, &buffer, NULL, 0);
}

void fake_send_inventory(struct fake_broker *b) {
    struct wire_buffer buffer = {NULL, 0, 0};
    assert_int_equal(inventory_encode(&buffer), 0);
    fake_send(b, &buffer, NULL, 0);
}

void fake_send_error(struct fake_broker *b, int code, const char *text) {
    struct msg_error m = {.code = code, .text = {(const uint8_t *)text, strlen(text)}};
    struct wire_buffer buffer = {NULL, 0, 0};
    assert_int_equal(error_encode(&m, &buffer), 0);
    fake_send(b, &buffer, NULL, 0);
}
