/* broker_stub.c - a worker that computes nothing, so that only what lies before it is measured. */
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/must.h"
#include "proto/segments.h"
#include "proto/wire/wire.h"
#include "tests/bench/broker_traffic.h"

#define STUB_CREDITS 64
#define STUB_HEARTBEAT_MS 500
#define STUB_POSITIONS 10 /* of each segment, it says */

struct stub {
    const struct stub_options *options;
    void *socket;
    struct wire_message in, out;
    uint64_t incarnation;
    uint8_t fingerprint[16];
};

static struct bytes text_of(const char *s) {
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void send_out(struct stub *s) {
    struct error e;
    int rc;
    while ((rc = wire_send(s->socket, &s->out, &e)) == WIRE_AGAIN) {
        zmq_pollitem_t item = {.socket = s->socket, .events = ZMQ_POLLOUT};
        (void)zmq_poll(&item, 1, 100);
    }
    MUST(rc == 0);
}

static void add(struct stub *s, struct wire_buffer *b) {
    MUST(wire_add_buffer(&s->out, b) == 0);
}

static void send_ready(struct stub *s) {
    char name[16];
    (void)snprintf(name, sizeof name, "stub-%d", s->options->number);
    struct msg_ready m = {
        .version_min = PROTO_VERSION_MIN,
        .version_max = PROTO_VERSION_MAX,
        .name = text_of(name),
        .incarnation = s->incarnation,
        .model = text_of("stub"),
        .template_id = text_of("stub"),
        .software = text_of("bench"),
        .credits = STUB_CREDITS,
        .pages_total = 1000000,
        .context = 8192,
        .vision = true,
    };
    memcpy(m.fingerprint, s->fingerprint, sizeof m.fingerprint);
    struct wire_buffer b = {0};
    MUST(ready_encode(&m, &b) == 0);
    add(s, &b);
    send_out(s);
}

static void send_heartbeat(struct stub *s) {
    struct msg_heartbeat m = {
        .incarnation = s->incarnation,
        .pages_free = 1000000,
        .prefill_us_per_position = 1,
        .decode_us_per_token = 1,
        .tile_us = 1,
        .step_us = 1,
    };
    struct wire_buffer b = {0};
    MUST(heartbeat_encode(&m, &b) == 0);
    add(s, &b);
    send_out(s);
}

/* ---- the links it says it holds ---- */

struct report {
    uint8_t held[LIMIT_LINKS * LINK_HELD_BYTES];
    size_t n;
};

static void flush_report(struct stub *s, struct report *r) {
    struct msg_links m = {.incarnation = s->incarnation, .held = {r->held, r->n * LINK_HELD_BYTES}};
    struct wire_buffer b = {0};
    MUST(links_encode(&m, &b) == 0);
    add(s, &b);
    send_out(s);
    r->n = 0;
}

static void report_chain(struct stub *s, struct report *r, const struct chain *c) {
    for (size_t i = 0; i < c->count; i++) {
        uint32_t positions = (uint32_t)(i + 1) * STUB_POSITIONS;
        uint8_t *at = r->held + r->n * LINK_HELD_BYTES;
        memcpy(at, c->segments[i].link.bytes, LINK_BYTES);
        for (int k = 0; k < 4; k++)
            at[LINK_BYTES + k] = (uint8_t)(positions >> (8 * k));
        if (++r->n == LIMIT_LINKS)
            flush_report(s, r);
    }
}

static void report_links(struct stub *s, uint64_t seed) {
    static struct report report;
    struct chain_root root = {
        .seed = seed, .fingerprint = s->fingerprint, .template_id = text_of("stub")};
    uint32_t requests = s->options->links / TRAFFIC_SEGMENTS;
    for (uint32_t i = (uint32_t)s->options->number; i < requests; i += (uint32_t)s->options->of) {
        struct wire_buffer b = {0};
        struct request r;
        struct chain chain;
        struct error e;
        traffic_request(i, TRAFFIC_SEGMENTS, &b);
        MUST(request_decode(&r, wire_bytes(&b), 0, &e) == 0);
        MUST(chain_make(&chain, &root, &r, NULL, &e) == 0);
        report_chain(s, &report, &chain);
        chain_clear(&chain);
        request_clear(&r);
        wire_buffer_clear(&b);
    }
    if (report.n > 0)
        flush_report(s, &report);
}

/* ---- answers ---- */

static void begin_reply(struct stub *s, const struct bytes *client, const struct msg_work *work) {
    if (client != NULL) {
        MUST(wire_add_copy(&s->out, *client) == 0);
        return;
    }
    struct msg_reply m = {
        .incarnation = s->incarnation, .ticket = work->ticket, .attempt = work->attempt};
    struct wire_buffer b = {0};
    MUST(reply_encode(&m, &b) == 0);
    add(s, &b);
}

static void answer(struct stub *s, const struct request_id *id, const struct bytes *client,
                   const struct msg_work *work) {
    struct wire_buffer b = {0};
    struct msg_tokens tokens = {.id = *id, .n_tokens = 1, .text = text_of("yes")};
    begin_reply(s, client, work);
    MUST(tokens_encode(&tokens, &b) == 0);
    add(s, &b);
    send_out(s);
    struct msg_done done = {
        .id = *id,
        .reason = FINISH_END,
        .stop = -1,
        .usage = {.prompt_positions = TRAFFIC_SEGMENTS * STUB_POSITIONS, .answer_tokens = 1},
        .worker = text_of("stub"),
        .model = text_of("stub"),
        .attempts = 1,
    };
    begin_reply(s, client, work);
    MUST(done_encode(&done, &b) == 0);
    add(s, &b);
    send_out(s);
}

static void on_request(struct stub *s, size_t frame, const struct bytes *client,
                       const struct msg_work *work) {
    struct request r;
    struct error e;
    MUST(request_decode(&r, wire_frame(&s->in, frame), s->in.n_frames - frame - 1, &e) == 0);
    answer(s, &r.id, client, work);
    request_clear(&r);
}

static void on_broker(struct stub *s) {
    enum message_type type;
    struct error e;
    struct msg_welcome welcome;
    struct msg_work work;
    MUST(message_peek(wire_frame(&s->in, 0), &type, &e) == 0);
    if (type == MSG_WELCOME) {
        MUST(welcome_decode(&welcome, wire_frame(&s->in, 0), &e) == 0);
        report_links(s, welcome.seed);
        send_heartbeat(s);
    } else if (type == MSG_WORK) {
        MUST(work_decode(&work, wire_frame(&s->in, 0), &e) == 0);
        on_request(s, 1, NULL, &work);
    }
}

int stub_run(const struct stub_options *o) {
    struct stub s = {.options = o, .incarnation = (uint64_t)clock_us() * 64 + (uint64_t)o->number};
    memset(s.fingerprint, 7, sizeof s.fingerprint);
    void *context = zmq_ctx_new();
    s.socket = zmq_socket(context, ZMQ_DEALER);
    MUST(zmq_connect(s.socket, o->endpoint) == 0);
    wire_message_init(&s.in);
    wire_message_init(&s.out);
    if (!o->plain)
        send_ready(&s);
    int64_t beat_ms = clock_ms() + STUB_HEARTBEAT_MS;
    for (;;) {
        struct error e;
        int rc = wire_recv_wait(s.socket, &s.in, STUB_HEARTBEAT_MS / 5, &e);
        MUST(rc >= 0);
        if (rc == 0 && o->plain) {
            struct bytes client = wire_frame(&s.in, 0);
            on_request(&s, 1, &client, NULL);
        } else if (rc == 0) {
            on_broker(&s);
        }
        if (!o->plain && clock_ms() >= beat_ms) {
            send_heartbeat(&s);
            beat_ms = clock_ms() + STUB_HEARTBEAT_MS;
        }
    }
}
