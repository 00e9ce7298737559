/* liar.c - see liar.h. */
#include "tests/scenarios/liar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/must.h"
#include "proto/segments.h"
#include "tests/support/process.h"

#define INCARNATION 0x11a11a11a

static struct bytes named(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void send_one(struct liar *l, struct wire_buffer *b) {
    assert_int_equal(wire_send_buffer(l->socket, (struct bytes){NULL, 0}, b, NULL), 0);
}

static void send_beat(struct liar *l) {
    struct msg_heartbeat beat = {.incarnation = INCARNATION,
                                 .pages_free = 1000,
                                 .prefill_us_per_position = 50,
                                 .decode_us_per_token = 500,
                                 .tile_us = 2000};
    struct wire_buffer b = {0};
    assert_int_equal(heartbeat_encode(&beat, &b), 0);
    send_one(l, &b);
}

struct liar *liar_open(const char *workers_endpoint, const struct engine *g) {
    struct liar *l = calloc(1, sizeof *l);
    MUST(l != NULL);
    struct msg_ready ready = {.version_min = PROTO_VERSION_MIN,
                              .version_max = PROTO_VERSION_MAX,
                              .name = named(LIAR_NAME),
                              .incarnation = INCARNATION,
                              .model = named(g->text.name),
                              .template_id = named(template_name(g->template)),
                              .credits = 4,
                              .pages_total = 1000,
                              .context = g->context,
                              .vision = true};
    struct wire_buffer b = {0};
    struct msg_welcome welcome;
    l->engine = g;
    l->context = zmq_ctx_new();
    l->socket = zmq_socket(l->context, ZMQ_DEALER);
    MUST(l->socket != NULL);
    assert_int_equal(wire_socket_setup(l->socket, NULL), 0);
    assert_int_equal(zmq_connect(l->socket, workers_endpoint), 0);
    wire_message_init(&l->message);
    memcpy(ready.fingerprint, g->fingerprint, sizeof ready.fingerprint);
    assert_int_equal(ready_encode(&ready, &b), 0);
    send_one(l, &b);
    assert_int_equal(wire_recv_wait(l->socket, &l->message, PROCESS_WAIT_MS, NULL), 0);
    assert_int_equal(welcome_decode(&welcome, wire_frame(&l->message, 0), NULL), 0);
    l->seed = welcome.seed;
    send_beat(l);
    return l;
}

void liar_close(struct liar *l) {
    struct msg_goodbye bye = {INCARNATION};
    struct wire_buffer b = {0};
    assert_int_equal(goodbye_encode(&bye, &b), 0);
    send_one(l, &b);
    wire_message_close(&l->message);
    int linger_ms = PROCESS_WAIT_MS;
    zmq_setsockopt(l->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    zmq_close(l->socket);
    zmq_ctx_term(l->context);
    free(l);
}

/* A conversation as the broker sees it. */
struct told {
    struct request request;
    struct request_message messages[TALK_PARTS];
    struct request_part parts[TALK_PARTS];
    struct bytes pictures[TALK_PARTS];
};

static void tell(struct told *out, const struct talk *t) {
    struct request *r = &out->request;
    memset(out, 0, sizeof *out);
    request_init(r);
    r->tenant = named(t->tenant);
    r->messages = out->messages;
    for (size_t i = 0; i < t->n_parts; i++) {
        const struct talk_part *from = &t->parts[i];
        struct request_part *to = &out->parts[i];
        if (i == 0 || from->message != t->parts[i - 1].message)
            r->messages[r->n_messages++] = (struct request_message){(enum role)from->role, to, 0};
        r->messages[r->n_messages - 1].n_parts++;
        to->kind = from->picture.data != NULL ? PART_PICTURE : PART_TEXT;
        to->detail = from->overview ? DETAIL_LOW : DETAIL_HIGH;
        to->max_pixels = from->max_pixels;
        if (to->kind == PART_PICTURE) {
            to->picture = r->n_pictures;
            out->pictures[r->n_pictures++] = from->picture;
        } else {
            to->text = (struct bytes){(const uint8_t *)t->texts + from->text, from->text_bytes};
        }
    }
}

#define CLAIMED 100 /* positions of each segment */

void liar_claim(struct liar *l, const struct talk *t) {
    struct told *told = malloc(sizeof *told);
    MUST(told != NULL);
    tell(told, t);
    const struct chain_root root = {.seed = l->seed,
                                    .fingerprint = l->engine->fingerprint,
                                    .template_id = named(template_name(l->engine->template)),
                                    .tenant = told->request.tenant};
    struct chain chain;
    assert_int_equal(chain_make(&chain, &root, &told->request, told->pictures, NULL), 0);
    uint8_t *held = malloc(chain.count * LINK_HELD_BYTES);
    MUST(held != NULL && chain.count <= LIMIT_LINKS);
    for (size_t i = 0; i < chain.count; i++) {
        uint32_t positions = (uint32_t)(i + 1) * CLAIMED;
        uint8_t *at = held + i * LINK_HELD_BYTES;
        memcpy(at, chain.segments[i].link.bytes, LINK_BYTES);
        for (int k = 0; k < 4; k++)
            at[LINK_BYTES + k] = (uint8_t)(positions >> 8 * k);
    }
    struct msg_links links = {.incarnation = INCARNATION,
                              .held = {held, chain.count * LINK_HELD_BYTES}};
    struct wire_buffer b = {0};
    assert_int_equal(links_encode(&links, &b), 0);
    send_one(l, &b);
    free(held);
    chain_clear(&chain);
    free(told);
}

static void hand_back(struct liar *l) {
    struct msg_work work;
    struct request r;
    struct error e;
    assert_int_equal(work_decode(&work, wire_frame(&l->message, 0), &e), 0);
    assert_int_equal(request_decode(&r, wire_frame(&l->message, 1), l->message.n_frames - 2, &e),
                     0);
    struct msg_reply reply = {
        .incarnation = INCARNATION, .ticket = work.ticket, .attempt = work.attempt};
    struct msg_error error = {.has_id = true, .id = r.id, .code = ERR_BUSY};
    struct wire_buffer head = {0}, body = {0};
    request_clear(&r);
    assert_int_equal(reply_encode(&reply, &head), 0);
    assert_int_equal(error_encode(&error, &body), 0);
    struct wire_message out;
    wire_message_init(&out);
    assert_int_equal(wire_add_buffer(&out, &head), 0);
    assert_int_equal(wire_add_buffer(&out, &body), 0);
    assert_int_equal(wire_send(l->socket, &out, NULL), 0);
    wire_message_close(&out);
    l->refused++;
}

void liar_serve(struct liar *l, int wait_ms) {
    send_beat(l);
    while (wire_recv_wait(l->socket, &l->message, wait_ms, NULL) == 0) {
        enum message_type type;
        assert_int_equal(message_peek(wire_frame(&l->message, 0), &type, NULL), 0);
        if (type == MSG_WORK)
            hand_back(l);
        else if (type == MSG_BEAT)
            return;
    }
}
