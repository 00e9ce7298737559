/* relay.c - see relay.h. */
#include "tests/support/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/must.h"
#include "proto/wire/wire.h"
#include "tests/support/process.h"

#define POLL_MS 20
#define RETRY_MS 1

struct ends {
    void *context, *worker, *broker;
    struct wire_message message;
};

/* An answer that must not pass any more. */
static bool is_past(struct relay *r, struct wire_message *m) {
    enum message_type type;
    struct msg_tokens tokens;
    if (m->n_frames != 2 || message_peek(wire_frame(m, 1), &type, NULL) != 0)
        return false;
    if (type == MSG_DONE || type == MSG_ERROR)
        return true;
    if (type != MSG_TOKENS || tokens_decode(&tokens, wire_frame(m, 1), NULL) != 0)
        return false;
    uint32_t n = tokens.n_tokens;
    tokens_clear(&tokens);
    if (r->passed + n > r->tokens)
        return true;
    r->passed += n;
    return false;
}

static void send_on(struct relay *r, void *socket, struct wire_message *m) {
    while (wire_send(socket, m, NULL) == WIRE_AGAIN && !atomic_load(&r->stop))
        nanosleep(&(struct timespec){0, RETRY_MS * 1000000}, NULL);
    wire_message_close(m);
}

/* True when the wire is to be cut. */
static bool pass_all(struct relay *r, struct ends *e) {
    while (wire_recv(e->broker, &e->message, NULL) == 0)
        send_on(r, e->worker, &e->message);
    while (wire_recv(e->worker, &e->message, NULL) == 0) {
        if (is_past(r, &e->message))
            return true;
        send_on(r, e->broker, &e->message);
    }
    return false;
}

static void *open_end(struct ends *e) {
    void *socket = zmq_socket(e->context, ZMQ_DEALER);
    MUST(socket != NULL && wire_socket_setup(socket, NULL) == 0);
    return socket;
}

static void *run(void *arg) {
    struct relay *r = arg;
    struct ends e = {.context = zmq_ctx_new()};
    int linger = PROCESS_WAIT_MS; /* what was passed on before the cut must arrive */
    MUST(e.context != NULL);
    e.worker = open_end(&e);
    e.broker = open_end(&e);
    wire_message_init(&e.message);
    MUST(zmq_setsockopt(e.broker, ZMQ_LINGER, &linger, sizeof linger) == 0);
    MUST(zmq_bind(e.worker, r->worker_end) == 0 && zmq_connect(e.broker, r->broker_end) == 0);
    zmq_pollitem_t items[] = {{e.worker, 0, ZMQ_POLLIN, 0}, {e.broker, 0, ZMQ_POLLIN, 0}};
    bool cut = false;
    while (!cut && !atomic_load(&r->stop)) {
        (void)zmq_poll(items, 2, POLL_MS);
        cut = pass_all(r, &e);
    }
    wire_message_close(&e.message);
    (void)zmq_close(e.worker);
    (void)zmq_close(e.broker);
    (void)zmq_ctx_term(e.context);
    atomic_store(&r->cut, cut);
    return NULL;
}

void relay_open(struct relay *r, const char *worker_end, const char *broker_end, uint32_t tokens) {
    r->worker_end = worker_end;
    r->broker_end = broker_end;
    r->tokens = tokens;
    r->passed = 0;
    atomic_init(&r->stop, false);
    atomic_init(&r->cut, false);
    assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
}

void relay_wait_cut(struct relay *r) {
    int64_t end_ms = clock_ms() + PROCESS_WAIT_MS;
    while (!atomic_load(&r->cut)) {
        assert_true(clock_ms() < end_ms);
        nanosleep(&(struct timespec){0, RETRY_MS * 1000000}, NULL);
    }
}

void relay_close(struct relay *r) {
    atomic_store(&r->stop, true);
    assert_int_equal(pthread_join(r->thread, NULL), 0);
}
