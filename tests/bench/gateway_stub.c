/* gateway_stub.c - the worker of the gateway's benchmark: tokens by the clock. */
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/must.h"
#include "proto/wire/wire.h"
#include "tests/bench/gateway_load.h"

#define HEARTBEAT_MS 500
#define TOKEN_TEXT " token"

struct job {
    struct request_id id;
    uint64_t ticket;
    uint32_t attempt, sent, wanted;
    int64_t due_us;
};

struct paced {
    void *socket;
    const char *name;
    int64_t interval_us;
    uint64_t incarnation;
    struct wire_message in, out;
    struct job jobs[PACED_STREAMS];
    size_t n_jobs;
};

static struct bytes text_of(const char *s) {
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void send_out(struct paced *p) {
    struct error e;
    int rc;
    while ((rc = wire_send(p->socket, &p->out, &e)) == WIRE_AGAIN) {
        zmq_pollitem_t item = {.socket = p->socket, .events = ZMQ_POLLOUT};
        (void)zmq_poll(&item, 1, 100);
    }
    MUST(rc == 0);
}

static void add(struct paced *p, struct wire_buffer *b) {
    MUST(wire_add_buffer(&p->out, b) == 0);
}

static void send_ready(struct paced *p) {
    struct wire_buffer b = {0};
    struct msg_ready m = {.version_min = PROTO_VERSION_MIN,
                          .version_max = PROTO_VERSION_MAX,
                          .name = text_of(p->name),
                          .incarnation = p->incarnation,
                          .model = text_of("paced"),
                          .template_id = text_of("paced"),
                          .software = text_of("bench"),
                          .fingerprint = {7},
                          .credits = PACED_STREAMS,
                          .pages_total = 1000000,
                          .context = 8192,
                          .vision = true};
    MUST(ready_encode(&m, &b) == 0);
    add(p, &b);
    send_out(p);
}

static void send_heartbeat(struct paced *p) {
    struct wire_buffer b = {0};
    struct msg_heartbeat m = {.incarnation = p->incarnation,
                              .active = (uint32_t)p->n_jobs,
                              .pages_free = 1000000,
                              .prefill_us_per_position = 1,
                              .decode_us_per_token = 1,
                              .tile_us = 1,
                              .step_us = 1};
    MUST(heartbeat_encode(&m, &b) == 0);
    add(p, &b);
    send_out(p);
}

static void begin_reply(struct paced *p, const struct job *j) {
    struct wire_buffer b = {0};
    struct msg_reply m = {
        .incarnation = p->incarnation, .ticket = j->ticket, .attempt = j->attempt};
    MUST(reply_encode(&m, &b) == 0);
    add(p, &b);
}

static void send_token(struct paced *p, struct job *j) {
    struct wire_buffer b = {0};
    struct msg_tokens m = {
        .id = j->id, .index = j->sent, .n_tokens = 1, .text = text_of(TOKEN_TEXT)};
    begin_reply(p, j);
    MUST(tokens_encode(&m, &b) == 0);
    add(p, &b);
    send_out(p);
    j->sent++;
    j->due_us += p->interval_us;
}

static void send_done(struct paced *p, const struct job *j) {
    struct wire_buffer b = {0};
    struct msg_done m = {.id = j->id,
                         .reason = FINISH_LENGTH,
                         .stop = -1,
                         .usage = {.prompt_positions = 10, .answer_tokens = j->sent},
                         .worker = text_of(p->name),
                         .model = text_of("paced"),
                         .attempts = 1};
    begin_reply(p, j);
    MUST(done_encode(&m, &b) == 0);
    add(p, &b);
    send_out(p);
}

static void send_cancelled(struct paced *p, const struct job *j) {
    struct wire_buffer b = {0};
    struct msg_error m = {.has_id = true, .id = j->id, .code = ERR_CANCELLED};
    begin_reply(p, j);
    MUST(error_encode(&m, &b) == 0);
    add(p, &b);
    send_out(p);
}

static void take_work(struct paced *p) {
    struct msg_work work;
    struct request r;
    struct error e;
    MUST(work_decode(&work, wire_frame(&p->in, 0), &e) == 0);
    MUST(request_decode(&r, wire_frame(&p->in, 1), p->in.n_frames - 2, &e) == 0);
    MUST(p->n_jobs < PACED_STREAMS);
    p->jobs[p->n_jobs++] = (struct job){.id = r.id,
                                        .ticket = work.ticket,
                                        .attempt = work.attempt,
                                        .wanted = r.max_tokens,
                                        .due_us = clock_us()};
    request_clear(&r);
}

static void take_cancel(struct paced *p) {
    struct msg_cancel_work m;
    struct error e;
    MUST(cancel_work_decode(&m, wire_frame(&p->in, 0), &e) == 0);
    for (size_t i = 0; i < p->n_jobs; i++)
        if (p->jobs[i].ticket == m.ticket) {
            send_cancelled(p, &p->jobs[i]);
            p->jobs[i] = p->jobs[--p->n_jobs];
            return;
        }
}

static void take_messages(struct paced *p, int wait_ms) {
    enum message_type type;
    struct error e;
    while (wire_recv_wait(p->socket, &p->in, wait_ms, &e) == 0) {
        MUST(message_peek(wire_frame(&p->in, 0), &type, &e) == 0);
        if (type == MSG_WELCOME)
            send_heartbeat(p);
        else if (type == MSG_WORK)
            take_work(p);
        else if (type == MSG_CANCEL_WORK)
            take_cancel(p);
        wait_ms = 0;
    }
}

/* Sends what is due. Returns when the next token is. */
static int64_t send_due(struct paced *p, int64_t now_us) {
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < p->n_jobs;) {
        struct job *j = &p->jobs[i];
        if (j->due_us <= now_us)
            send_token(p, j);
        if (j->sent == j->wanted) {
            send_done(p, j);
            *j = p->jobs[--p->n_jobs];
            continue;
        }
        soonest = j->due_us < soonest ? j->due_us : soonest;
        i++;
    }
    return soonest;
}

int paced_run(const struct paced_options *o) {
    static struct paced p;
    p.name = o->name;
    p.interval_us = o->interval_us;
    p.incarnation = (uint64_t)clock_us() * 64 + (uint64_t)o->name[strlen(o->name) - 1];
    void *context = zmq_ctx_new();
    p.socket = zmq_socket(context, ZMQ_DEALER);
    MUST(zmq_connect(p.socket, o->endpoint) == 0);
    wire_message_init(&p.in);
    wire_message_init(&p.out);
    send_ready(&p);
    int64_t beat_ms = clock_ms() + HEARTBEAT_MS;
    for (;;) {
        int64_t soonest = send_due(&p, clock_us());
        int64_t wait_us = soonest - clock_us();
        take_messages(&p, wait_us < 1000 ? 0 : wait_us < 50000 ? (int)(wait_us / 1000) : 50);
        if (clock_ms() >= beat_ms) {
            send_heartbeat(&p);
            beat_ms = clock_ms() + HEARTBEAT_MS;
        }
    }
}
