/* broker_rig.c - see broker_rig.h. */
#include "tests/broker_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/clock.h"

static struct bytes text_bytes(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void rig_open(struct rig *r, const char *const *flags) {
    memset(r, 0, sizeof *r);
    wire_message_init(&r->message);
    temp_dir_open(&r->dir);
    (void)snprintf(r->clients, sizeof r->clients, "ipc://%s/c", r->dir.path);
    (void)snprintf(r->workers, sizeof r->workers, "ipc://%s/w", r->dir.path);
    (void)snprintf(r->log, sizeof r->log, "%s/log", r->dir.path);
    assert_int_equal(setenv("QUIRE_RUNTIME_DIR", r->dir.path, 1), 0);
    for (size_t i = 0; flags && flags[i]; i++)
        r->flags[i] = flags[i];
    rig_start_broker(r);
    r->context = zmq_ctx_new();
    assert_non_null(r->context);
    r->incarnation = 100;
}

void rig_start_broker(struct rig *r) {
    const char *argv[8 + RIG_FLAGS] = {QUIRE_BIN_DIR "/quire-broker",
                                       "--clients",
                                       r->clients,
                                       "--workers",
                                       r->workers,
                                       "--dead-ms",
                                       "60000"};
    size_t n = 7;
    for (size_t i = 0; r->flags[i]; i++)
        argv[n++] = r->flags[i];
    process_start(&r->broker, argv, NULL, r->log);
}

void rig_close(struct rig *r) {
    wire_message_close(&r->message);
    for (size_t i = 0; i < r->n_sockets; i++)
        if (r->sockets[i])
            (void)zmq_close(r->sockets[i]);
    (void)zmq_ctx_term(r->context);
    if (r->broker.pid > 0) {
        process_signal(&r->broker, SIGTERM);
        int status = process_wait(&r->broker, RIG_WAIT_MS);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    temp_dir_close(&r->dir);
}

static void *dealer(struct rig *r, const char *endpoint, int receive) {
    void *socket = zmq_socket(r->context, ZMQ_DEALER);
    assert_non_null(socket);
    assert_int_equal(wire_socket_setup(socket, NULL), 0);
    int64_t unlimited = -1; /* the broker's limit is what is tested */
    assert_int_equal(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &unlimited, sizeof unlimited), 0);
    if (receive > 0)
        assert_int_equal(zmq_setsockopt(socket, ZMQ_RCVHWM, &receive, sizeof receive), 0);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    assert_true(r->n_sockets < RIG_PEERS);
    r->sockets[r->n_sockets++] = socket;
    return socket;
}

void *rig_client(struct rig *r) {
    return dealer(r, r->clients, 0);
}

void *rig_client_hwm(struct rig *r, int receive) {
    return dealer(r, r->clients, receive);
}

void rig_leave(struct rig *r, void *socket) {
    for (size_t i = 0; i < r->n_sockets; i++)
        if (r->sockets[i] == socket)
            r->sockets[i] = NULL;
    assert_int_equal(zmq_close(socket), 0);
}

void *rig_worker(struct rig *r, const char *name, uint32_t credits) {
    void *socket = dealer(r, r->workers, 0);
    struct msg_ready ready = {
        .version_min = PROTO_VERSION_MIN,
        .version_max = PROTO_VERSION_MAX,
        .name = text_bytes(name),
        .incarnation = ++r->incarnation,
        .model = text_bytes("fake"),
        .credits = credits,
        .pages_total = 10,
        .context = 100,
        .vision = true,
    };
    struct wire_buffer b = {0};
    assert_int_equal(ready_encode(&ready, &b), 0);
    rig_send(socket, &b);
    rig_expect(r, socket, MSG_WELCOME);
    return socket;
}

void rig_send(void *socket, struct wire_buffer *map) {
    rig_send_frames(socket, map, 0, NULL, 0);
}

void rig_send_frames(void *socket, struct wire_buffer *map, size_t n, const void *data,
                     size_t size) {
    assert_int_equal(zmq_send(socket, map->data, map->size, n > 0 ? ZMQ_SNDMORE : 0), map->size);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(zmq_send(socket, data, size, i + 1 < n ? ZMQ_SNDMORE : 0), size);
    wire_buffer_clear(map);
}

bool rig_await(struct rig *r, void *socket, enum message_type type, int wait_ms) {
    int64_t end_ms = clock_ms() + wait_ms;
    for (int64_t left = wait_ms; left >= 0; left = end_ms - clock_ms()) {
        struct error e = {0};
        int rc = wire_recv_wait(socket, &r->message, (int)left, &e);
        assert_true(rc == 0 || rc == WIRE_AGAIN);
        enum message_type got;
        if (rc == 0 && message_peek(wire_frame(&r->message, 0), &got, &e) == 0 && got == type)
            return true;
    }
    return false;
}

void rig_expect(struct rig *r, void *socket, enum message_type type) {
    if (!rig_await(r, socket, type, RIG_WAIT_MS))
        fail_msg("no %s came", message_name(type));
}

struct msg_work rig_expect_work(struct rig *r, void *socket) {
    struct msg_work work;
    struct error e;
    rig_expect(r, socket, MSG_WORK);
    assert_int_equal(work_decode(&work, wire_frame(&r->message, 0), &e), 0);
    return work;
}

struct msg_error rig_expect_error(struct rig *r, void *socket) {
    struct msg_error m;
    struct error e;
    rig_expect(r, socket, MSG_ERROR);
    assert_int_equal(error_decode(&m, wire_frame(&r->message, 0), &e), 0);
    return m;
}

struct request_id rig_id(uint8_t n) {
    struct request_id id = {{n}};
    return id;
}

void rig_ask(void *socket, uint8_t id, size_t n, const void *picture, size_t size) {
    struct request_part parts[1 + LIMIT_PICTURES] = {
        {.kind = PART_TEXT, .text = text_bytes("what is this?")}};
    for (size_t i = 0; i < n; i++)
        parts[1 + i] = (struct request_part){.kind = PART_PICTURE, .picture = (uint32_t)i};
    struct request_message message = {.role = ROLE_USER, .parts = parts, .n_parts = 1 + n};
    struct request q;
    request_init(&q);
    q.id = rig_id(id);
    q.messages = &message;
    q.n_messages = 1;
    q.n_pictures = (uint32_t)n;
    struct wire_buffer b = {0};
    assert_int_equal(request_encode(&q, &b), 0);
    rig_send_frames(socket, &b, n, picture, size);
}

void rig_reply(struct rig *r, void *socket, const struct msg_work *work,
               struct wire_buffer *answer) {
    struct msg_reply reply = {
        .incarnation = r->incarnation, .ticket = work->ticket, .attempt = work->attempt};
    struct wire_buffer b = {0};
    assert_int_equal(reply_encode(&reply, &b), 0);
    rig_send_frames(socket, &b, 1, answer->data, answer->size);
    wire_buffer_clear(answer);
}

void rig_reply_tokens(struct rig *r, void *socket, const struct msg_work *work, uint8_t id,
                      uint32_t index, const char *text, size_t size) {
    struct msg_tokens tokens = {
        .id = rig_id(id), .index = index, .n_tokens = 1, .text = {(const uint8_t *)text, size}};
    struct wire_buffer b = {0};
    assert_int_equal(tokens_encode(&tokens, &b), 0);
    rig_reply(r, socket, work, &b);
}

void rig_reply_done(struct rig *r, void *socket, const struct msg_work *work, uint8_t id) {
    struct msg_done done = {.id = rig_id(id),
                            .reason = FINISH_END,
                            .stop = -1,
                            .usage = {.prompt_positions = 30, .answer_tokens = 1},
                            .timings = {.first_token_us = 1000, .total_us = 2000},
                            .worker = text_bytes("fake"),
                            .model = text_bytes("fake"),
                            .attempts = 1};
    struct wire_buffer b = {0};
    assert_int_equal(done_encode(&done, &b), 0);
    rig_reply(r, socket, work, &b);
}

void rig_query(struct rig *r, void *socket, enum ops_query query, const char *worker,
               struct msg_ops_reply *out) {
    struct msg_ops ops = {.serial = 77, .query = query, .worker = text_bytes(worker)};
    struct wire_buffer b = {0};
    struct error e;
    assert_int_equal(ops_encode(&ops, &b), 0);
    rig_send(socket, &b);
    rig_expect(r, socket, MSG_OPS_REPLY);
    assert_int_equal(ops_reply_decode(out, wire_frame(&r->message, 0), &e), 0);
    assert_int_equal(out->serial, 77);
    assert_int_equal(out->query, query);
}

struct pool_stats rig_stats(struct rig *r, void *socket) {
    struct msg_ops_reply reply;
    rig_query(r, socket, OPS_STATS, "", &reply);
    struct pool_stats stats = reply.stats;
    ops_reply_clear(&reply);
    return stats;
}

void rig_serve_one(struct rig *r, void *worker) {
    void *client = rig_client(r);
    rig_ask(client, 200, 0, NULL, 0);
    struct msg_work work = rig_expect_work(r, worker);
    rig_reply_tokens(r, worker, &work, 200, 0, "yes", 3);
    rig_reply_done(r, worker, &work, 200);
    rig_expect(r, client, MSG_TOKENS);
    rig_expect(r, client, MSG_DONE);
    rig_leave(r, client);
}
