/* outbox.c - sending.
 *
 * To a client: a token that finds the client's pipe full means that it does not read; the core is
 * told and cuts it off. Progress in that case is skipped. A last word (DONE, ERROR) is owed: it is
 * small, and without it the client would wait for its whole deadline, so it is tried again for a
 * while. To a worker: WORK that can't be sent goes back to the queue; everything else is repeated
 * by the protocol itself (heartbeats, late replies).
 *
 * Pictures are never copied: WORK shares the frames that came with the REQUEST, by reference. */
#include "broker/shell/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/jobs.h"
#include "broker/shell/caused.h"
#include "broker/shell/notes.h"
#include "common/log.h"
#include "common/must.h"

static const char software[] = "quire " QUIRE_VERSION;

struct kept {
    uint64_t ticket; /* 0: none */
    struct wire_message message;
};

struct owed {
    struct peer client;
    struct wire_buffer frame;
    int64_t since_us;
};

struct outbox {
    const struct broker *broker;
    void *clients, *workers;
    uint32_t heartbeat_ms, dead_ms;
    uint64_t seed;
    int64_t now_us;
    struct owed owed[OWED_MAX];
    size_t n_owed;
    int64_t settled_us;
    struct caused caused;
    size_t n_kept;
    struct kept kept[]; /* by jobs_slot */
};

int outbox_open(struct outbox **out, void *clients, void *workers, const struct broker *b,
                const struct broker_settings *s, uint64_t seed) {
    size_t slots = broker_slots(b);
    *out = NULL;
    struct outbox *o = calloc(1, sizeof *o + slots * sizeof o->kept[0]);
    if (!o)
        return ERR_NOMEM;
    o->broker = b;
    o->clients = clients;
    o->workers = workers;
    o->heartbeat_ms = broker_heartbeat_ms(b);
    o->dead_ms = s->dead_ms;
    o->seed = seed;
    o->n_kept = slots;
    if (!caused_open(&o->caused, slots)) {
        outbox_close(o);
        return ERR_NOMEM;
    }
    *out = o;
    return 0;
}

void outbox_close(struct outbox *o) {
    if (!o)
        return;
    for (size_t i = 0; i < o->n_kept; i++)
        wire_message_close(&o->kept[i].message);
    for (size_t i = 0; i < o->n_owed; i++)
        wire_buffer_clear(&o->owed[i].frame);
    caused_close(&o->caused);
    free(o);
}

bool outbox_failure(struct outbox *o, struct event *out) {
    return caused_next(&o->caused, out);
}

/* ---- one message ---- */

static struct bytes id_of(const struct peer *p) {
    return (struct bytes){p->id, p->size};
}

/* Sends identity and one frame, which is taken; on WIRE_AGAIN and WIRE_GONE the frame is given back
 * in *frame. rc_encode is what encoding it returned. */
static int send_map(void *socket, const struct peer *peer, int rc_encode,
                    struct wire_buffer *frame) {
    struct error e = {0};
    struct wire_message m;
    wire_message_init(&m);
    int rc = rc_encode;
    if (rc == 0)
        rc = wire_add_copy(&m, id_of(peer));
    if (rc == 0)
        rc = wire_add_copy(&m, wire_bytes(frame));
    if (rc == 0)
        rc = wire_send(socket, &m, &e);
    if (rc < 0)
        log_error("send-failed", "code=%s %s", error_name(rc), e.text);
    wire_message_close(&m);
    return rc;
}

static void owe(struct outbox *o, const struct peer *client, struct wire_buffer *frame) {
    if (o->n_owed == OWED_MAX) {
        log_warn("last-word-dropped", "owed=%d", OWED_MAX);
        return;
    }
    struct owed *w = &o->owed[o->n_owed++];
    w->client = *client;
    w->frame = *frame;
    w->since_us = o->now_us;
    *frame = (struct wire_buffer){0};
}

/* last: the client's last message about its request. */
static void to_client(struct outbox *o, const struct peer *client, int rc_encode,
                      struct wire_buffer *frame, bool last) {
    int rc = send_map(o->clients, client, rc_encode, frame);
    if (rc == WIRE_GONE)
        caused_by_peer(&o->caused, EVENT_CLIENT_GONE, client);
    else if (rc == WIRE_AGAIN && last)
        owe(o, client, frame);
    wire_buffer_clear(frame);
}

static void to_worker(struct outbox *o, const struct peer *worker, int rc_encode,
                      struct wire_buffer *frame) {
    if (send_map(o->workers, worker, rc_encode, frame) == WIRE_GONE)
        caused_by_peer(&o->caused, EVENT_WORKER_GONE, worker);
    wire_buffer_clear(frame);
}

int64_t outbox_settle(struct outbox *o, int64_t now_us) {
    o->now_us = now_us;
    if (o->n_owed == 0)
        return INT64_MAX;
    if (now_us - o->settled_us < (int64_t)OWED_RETRY_MS * 1000)
        return o->settled_us + (int64_t)OWED_RETRY_MS * 1000;
    o->settled_us = now_us;
    size_t n = 0;
    for (size_t i = 0; i < o->n_owed; i++) {
        struct owed *w = &o->owed[i];
        bool too_old = now_us - w->since_us > (int64_t)OWED_KEEP_MS * 1000;
        if (!too_old && send_map(o->clients, &w->client, 0, &w->frame) == WIRE_AGAIN)
            o->owed[n++] = *w;
        else
            wire_buffer_clear(&w->frame);
    }
    o->n_owed = n;
    return n == 0 ? INT64_MAX : now_us + (int64_t)OWED_RETRY_MS * 1000;
}

/* ---- actions ---- */

static struct kept *kept_for(struct outbox *o, uint64_t ticket) {
    struct kept *k = &o->kept[jobs_slot(ticket)];
    MUST(jobs_slot(ticket) < o->n_kept);
    return k;
}

static void keep(struct outbox *o, uint64_t ticket, struct incoming *in) {
    struct kept *k = kept_for(o, ticket);
    wire_message_move(&k->message, in->message);
    k->ticket = ticket;
}

static void drop(struct outbox *o, uint64_t ticket) {
    struct kept *k = kept_for(o, ticket);
    MUST(k->ticket == ticket);
    wire_message_close(&k->message);
    k->ticket = 0;
}

/* The map of WORK, with the tokens that the client has. */
static int encode_work(const struct outbox *o, const struct action *a, struct wire_buffer *map) {
    struct msg_work work = {
        .ticket = a->ticket,
        .attempt = a->attempt,
        .deadline_ms = a->deadline_ms,
        .seed = a->seed,
        .replay_bytes = a->text_bytes,
    };
    if (a->given == 0)
        return work_encode(&work, map);
    size_t size = (size_t)a->given * TOKEN_ID_BYTES;
    uint8_t *ids = malloc(size);
    if (!ids)
        return ERR_NOMEM;
    MUST(broker_replay(o->broker, a->ticket, a->given, ids));
    work.replay = (struct bytes){ids, size};
    int rc = work_encode(&work, map);
    free(ids);
    return rc;
}

static int build_work(struct outbox *o, const struct action *a, struct wire_message *m) {
    struct kept *k = kept_for(o, a->ticket);
    MUST(k->ticket == a->ticket);
    struct wire_buffer map = {0};
    int rc = encode_work(o, a, &map);
    if (rc == 0)
        rc = wire_add_copy(m, id_of(&a->peer));
    if (rc == 0)
        rc = wire_add_buffer(m, &map);
    for (size_t i = 1; rc == 0 && i < k->message.n_frames; i++)
        rc = wire_add_shared(m, &k->message.frames[i]);
    wire_buffer_clear(&map);
    return rc;
}

static void send_work(struct outbox *o, const struct action *a) {
    struct error e = {0};
    struct wire_message m;
    wire_message_init(&m);
    int rc = build_work(o, a, &m);
    if (rc == 0)
        rc = wire_send(o->workers, &m, &e);
    wire_message_close(&m);
    if (rc < 0)
        log_error("send-failed", "code=%s %s", error_name(rc), e.text);
    if (rc == 0)
        return;
    caused_unsent(&o->caused, &a->peer, a->ticket, a->attempt);
    if (rc == WIRE_GONE)
        caused_by_peer(&o->caused, EVENT_WORKER_GONE, &a->peer);
}

static void pass(struct outbox *o, const struct action *a, struct incoming *in) {
    MUST(in && in->message && in->message->n_frames == 3);
    struct error e = {0};
    struct wire_message m;
    wire_message_init(&m);
    int rc = wire_add_copy(&m, id_of(&a->peer));
    if (rc == 0)
        rc = wire_add_shared(&m, &in->message->frames[2]);
    if (rc == 0)
        rc = wire_send(o->clients, &m, &e);
    wire_message_close(&m);
    if (rc == WIRE_GONE) {
        caused_by_peer(&o->caused, EVENT_CLIENT_GONE, &a->peer);
    } else if (rc == WIRE_AGAIN && in->event.reply.inner == MSG_TOKENS) {
        caused_by_peer(&o->caused, EVENT_CLIENT_STUCK, &a->peer);
    } else if (rc == WIRE_AGAIN && in->event.reply.inner == MSG_ERROR) {
        struct bytes frame = wire_frame(in->message, 2);
        struct wire_buffer copy = {
            .data = malloc(frame.size), .size = frame.size, .capacity = frame.size};
        if (copy.data)
            memcpy(copy.data, frame.data, frame.size);
        if (copy.data)
            owe(o, &a->peer, &copy);
        wire_buffer_clear(&copy);
    } else if (rc < 0) {
        log_error("send-failed", "code=%s %s", error_name(rc), e.text);
    }
}

static void send_done(struct outbox *o, const struct action *a, struct incoming *in) {
    MUST(in && in->event.reply.inner == MSG_DONE);
    struct msg_done done = in->done;
    done.timings.queue_us = a->queue_us;
    done.timings.first_token_us += a->queue_us;
    done.timings.total_us += a->queue_us;
    if (a->resumed) {
        done.timings.first_token_us = a->first_token_us;
        done.timings.total_us = a->total_us;
        done.timings.decode_us = a->total_us - a->first_token_us;
    }
    done.timings.predicted_us = a->predicted_us;
    done.attempts = a->attempt;
    struct wire_buffer frame = {0};
    int rc = done_encode(&done, &frame);
    to_client(o, &a->peer, rc, &frame, true);
}

/* in: what it is about; NULL when it came from no message. */
static int encode_error(const struct action *a, const struct incoming *in,
                        struct wire_buffer *frame) {
    struct msg_error error = {
        .has_id = a->has_id,
        .id = a->id,
        .has_serial = in && in->has_serial,
        .serial = in && in->has_serial ? in->ops.serial : 0,
        .code = a->code,
        .text = {(const uint8_t *)a->text, strlen(a->text)},
        .retry_ms = a->retry_ms,
    };
    return error_encode(&error, frame);
}

static int encode_welcome(const struct outbox *o, uint32_t version, uint64_t seed,
                          struct wire_buffer *frame) {
    struct msg_welcome welcome = {
        .version = version,
        .software = {(const uint8_t *)software, sizeof software - 1},
        .heartbeat_ms = o->heartbeat_ms,
        .dead_ms = o->dead_ms,
        .seed = seed,
    };
    return welcome_encode(&welcome, frame);
}

static void send_to_client(struct outbox *o, const struct action *a, const struct incoming *in) {
    struct wire_buffer frame = {0};
    if (a->type == ACTION_PROGRESS)
        to_client(o, &a->peer, progress_encode(&a->progress, &frame), &frame, false);
    else
        to_client(o, &a->peer, encode_error(a, in, &frame), &frame, a->has_id);
}

static void send_to_worker(struct outbox *o, const struct action *a, struct incoming *in) {
    struct wire_buffer frame = {0};
    int rc = 0;
    if (a->type == ACTION_CANCEL_WORK) {
        rc = cancel_work_encode(
            &(struct msg_cancel_work){.ticket = a->ticket, .attempt = a->attempt}, &frame);
    } else if (a->type == ACTION_DRAIN) {
        rc = drain_encode(&(struct msg_drain){.on = a->on}, &frame);
    } else if (a->type == ACTION_BEAT) {
        rc = beat_encode(&(struct msg_beat){.known = a->known}, &frame);
    } else if (a->type == ACTION_WELCOME) {
        MUST(in && in->event.type == EVENT_READY);
        const struct msg_ready *r = &in->event.ready;
        rc = encode_welcome(o, version_choose(r->version_min, r->version_max), o->seed, &frame);
    } else if (a->type == ACTION_INVENTORY) {
        rc = inventory_encode(&frame);
    } else {
        rc = encode_error(a, NULL, &frame);
    }
    to_worker(o, &a->peer, rc, &frame);
}

void outbox_do(struct outbox *o, const struct action *a, struct incoming *in, int64_t now_us) {
    o->now_us = now_us;
    switch (a->type) {
    case ACTION_KEEP:
        keep(o, a->ticket, in);
        return;
    case ACTION_DROP:
        drop(o, a->ticket);
        return;
    case ACTION_PASS:
        pass(o, a, in);
        return;
    case ACTION_DONE:
        send_done(o, a, in);
        return;
    case ACTION_ERROR:
    case ACTION_PROGRESS:
        send_to_client(o, a, in);
        return;
    case ACTION_WORK:
        send_work(o, a);
        return;
    case ACTION_CANCEL_WORK:
    case ACTION_DRAIN:
    case ACTION_BEAT:
    case ACTION_WELCOME:
    case ACTION_REFUSE:
    case ACTION_INVENTORY:
        send_to_worker(o, a, in);
        return;
    case ACTION_NOTE:
        notes_log(a);
        return;
    case ACTION_DRAIN_OK:
        return; /* the server answers it, with the worker as it is now */
    case ACTION_RECORD:
    case ACTION_VOID:
        return; /* for the index */
    }
    MUST(!"an action has a known type");
}

/* ---- answers that need no core ---- */

void outbox_welcome_client(struct outbox *o, const struct incoming *in) {
    struct wire_buffer frame = {0};
    uint32_t version = version_choose(in->hello.version_min, in->hello.version_max);
    int rc;
    if (version > 0) {
        rc = encode_welcome(o, version, 0, &frame);
    } else {
        struct action a = {.code = ERR_BAD_VERSION};
        (void)snprintf(a.text, sizeof a.text, "the broker speaks versions %d to %d, not %u to %u",
                       PROTO_VERSION_MIN, PROTO_VERSION_MAX, in->hello.version_min,
                       in->hello.version_max);
        rc = encode_error(&a, NULL, &frame);
    }
    to_client(o, &in->event.peer, rc, &frame, false);
}

void outbox_ops_error(struct outbox *o, const struct incoming *in, int code, const char *text) {
    struct action a = {.code = code};
    struct wire_buffer frame = {0};
    (void)snprintf(a.text, sizeof a.text, "%s", text);
    int rc = encode_error(&a, in, &frame);
    to_client(o, &in->event.peer, rc, &frame, false);
}

void outbox_ops_reply(struct outbox *o, const struct peer *client, const struct msg_ops_reply *r) {
    struct wire_buffer frame = {0};
    int rc = ops_reply_encode(r, &frame);
    to_client(o, client, rc, &frame, false);
}

void outbox_refuse(struct outbox *o, const struct incoming *in, bool from_worker) {
    struct action a = {.has_id = in->has_id, .id = in->id, .code = in->why.code};
    (void)snprintf(a.text, sizeof a.text, "%s", in->why.text);
    struct wire_buffer frame = {0};
    int rc = encode_error(&a, in, &frame);
    if (from_worker)
        to_worker(o, &in->event.peer, rc, &frame);
    else
        to_client(o, &in->event.peer, rc, &frame, in->has_id);
}
