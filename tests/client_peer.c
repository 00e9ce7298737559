/* client_peer.c - the hand-driven peer. In its thread failures abort; cmocka's jumps must not leave
 * a thread. */
#include "client_peer.h"

#include <pthread.h>
#include <stdio.h>

#include "common/must.h"

static void bind_router(struct peer *p) {
    p->router = zmq_socket(p->context, ZMQ_ROUTER);
    MUST(p->router != NULL);
    MUST(wire_socket_setup(p->router, NULL) == 0);
    MUST(zmq_bind(p->router, p->endpoint) == 0);
}

void peer_open(struct peer *p) {
    temp_dir_open(&p->dir);
    (void)snprintf(p->endpoint, sizeof p->endpoint, "ipc://%s/clients.ipc", p->dir.path);
    p->context = zmq_ctx_new();
    MUST(p->context != NULL);
    wire_message_init(&p->m);
    bind_router(p);
}

void peer_leave(struct peer *p) {
    MUST(zmq_unbind(p->router, p->endpoint) == 0);
    MUST(zmq_close(p->router) == 0);
    p->router = NULL;
}

void peer_return(struct peer *p) {
    bind_router(p);
}

void peer_close(struct peer *p) {
    wire_message_close(&p->m);
    if (p->router != NULL)
        MUST(zmq_close(p->router) == 0);
    MUST(zmq_ctx_term(p->context) == 0);
    temp_dir_close(&p->dir);
}

void peer_expect(struct peer *p, enum message_type type) {
    enum message_type got;
    MUST(wire_recv_wait(p->router, &p->m, PEER_WAIT_MS, NULL) == 0);
    MUST(message_peek(wire_frame(&p->m, 1), &got, NULL) == 0);
    MUST(got == type);
}

void peer_answer(struct peer *p, struct wire_buffer *b) {
    MUST(wire_send_buffer(p->router, wire_frame(&p->m, 0), b, NULL) == 0);
}

static pthread_t thread;
static peer_serve *serving;

static void *run(void *peer) {
    serving(peer);
    return NULL;
}

void peer_begin(struct peer *p, peer_serve *serve) {
    serving = serve;
    MUST(pthread_create(&thread, NULL, run, p) == 0);
}

void peer_end(struct peer *p) {
    (void)p;
    MUST(pthread_join(thread, NULL) == 0);
}

void peer_welcome(struct peer *p) {
    struct msg_welcome welcome = {.version = PROTO_VERSION_MAX};
    struct wire_buffer b = {0};
    peer_expect(p, MSG_HELLO);
    MUST(welcome_encode(&welcome, &b) == 0);
    peer_answer(p, &b);
}

struct quire_client *peer_client(struct peer *p) {
    struct quire_client *client;
    struct quire_error error;
    peer_begin(p, peer_welcome);
    int rc = quire_open(&client, p->endpoint, PEER_WAIT_MS, &error);
    peer_end(p);
    MUST(rc == 0);
    return client;
}
