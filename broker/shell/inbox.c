/* inbox.c - decoding, by direction.
 *
 * Each socket takes only what its kind of peer may say; a REQUEST on the workers' socket is as bad
 * as noise. A reply's second frame is read for what the core must know (which request, which token)
 * and otherwise left alone.
 *
 * A request's chain of segments is computed here, over the frames where they lie. Without memory
 * for it, or for a model of which no worker is known, a request has none and is routed by load. */
#include "broker/shell/inbox.h"

#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "common/must.h"
#include "proto/cursor.h"

#define CLIENT_MAP 1 /* frame 0 is the identity */

static void begin(struct incoming *in, struct wire_message *m) {
    inbox_clear(in);
    in->message = m;
    MUST(peer_set(&in->event.peer, wire_frame(m, 0))); /* libzmq makes or checked it */
}

void inbox_clear(struct incoming *in) {
    chain_clear(&in->chain);
    memset(in, 0, sizeof *in);
}

static void bad(struct incoming *in) {
    in->kind = INCOMING_BAD;
    in->event.type = EVENT_BAD_MESSAGE;
}

static void bad_because(struct incoming *in, int code, const char *text) {
    (void)error_set(&in->why, code, "%s", text);
    bad(in);
}

void inbox_too_long(struct incoming *in, struct wire_message *m, const struct error *why) {
    begin(in, m);
    in->why = *why;
    bad(in);
}

/* The 16 bytes under "id" of a map that need not be valid otherwise, so that a request that can't
 * be taken is refused by name. */
static bool find_id(struct bytes frame, struct request_id *id) {
    struct cursor c = cursor_over(frame);
    struct value head, key, value;
    if (cursor_next(&c, &head, NULL) != 0 || head.kind != VALUE_MAP)
        return false;
    for (uint32_t i = 0; i < head.count; i++) {
        if (cursor_next(&c, &key, NULL) != 0 || key.kind != VALUE_STR)
            return false;
        if (key.bytes.size == 2 && memcmp(key.bytes.data, "id", 2) == 0) {
            if (cursor_next(&c, &value, NULL) != 0 || value.kind != VALUE_BIN ||
                value.bytes.size != sizeof id->bytes)
                return false;
            memcpy(id->bytes, value.bytes.data, sizeof id->bytes);
            return true;
        }
        if (cursor_skip(&c, NULL) != 0)
            return false;
    }
    return false;
}

/* ---- clients ---- */

static uint64_t hash_bytes(struct bytes run, uint64_t seed) {
    return XXH3_64bits_withSeed(run.data, run.size, seed);
}

/* Of what the model is asked; not of id, deadline or tenant. Lengths go in through the seeds'
 * chain: each part is hashed with the hash of all before it. */
static uint64_t hash_content(const struct request *r, struct wire_message *m) {
    uint64_t h = hash_bytes(r->schema, hash_bytes(r->model, r->max_tokens));
    for (size_t i = 0; i < r->n_messages; i++) {
        const struct request_message *message = &r->messages[i];
        h += (uint64_t)message->role;
        for (size_t k = 0; k < message->n_parts; k++) {
            const struct request_part *part = &message->parts[k];
            h = part->kind == PART_TEXT
                    ? hash_bytes(part->text, h)
                    : hash_bytes(wire_frame(m, CLIENT_MAP + 1 + part->picture), ~h);
        }
    }
    return h;
}

/* Never 0. Known before the first token, so that another worker can draw what this one would have
 * drawn. The system's random numbers are there but for a moment after its start; then the id, which
 * is random too, has to do. */
static uint64_t draw_seed(const struct request_id *id) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = XXH3_64bits(id->bytes, sizeof id->bytes);
    return seed != 0 ? seed : 1;
}

static bool pictures_fit(struct incoming *in, struct wire_message *m) {
    for (size_t i = CLIENT_MAP + 1; i < m->n_frames; i++)
        if (wire_frame(m, i).size > LIMIT_PICTURE_BYTES) {
            (void)error_set(&in->why, ERR_LIMIT, "picture %zu has %zu bytes; the limit is %u",
                            i - CLIENT_MAP - 1, wire_frame(m, i).size, LIMIT_PICTURE_BYTES);
            return false;
        }
    size_t bytes = m->n_bytes - wire_frame(m, 0).size;
    if (bytes <= LIMIT_REQUEST_BYTES)
        return true;
    (void)error_set(&in->why, ERR_LIMIT, "the request has %zu bytes; the limit is %u", bytes,
                    LIMIT_REQUEST_BYTES);
    return false;
}

/* The pictures of r are the frames after `map`. */
static void make_chain(struct incoming *in, struct wire_message *m, size_t map,
                       const struct request *r, const struct inbox_roots *roots,
                       struct request_chain *out) {
    struct bytes pictures[LIMIT_PICTURES];
    struct label template_id;
    if (!broker_fingerprint(roots->broker, r->model, out->fingerprint, &template_id))
        return;
    for (uint32_t i = 0; i < r->n_pictures; i++)
        pictures[i] = wire_frame(m, map + 1 + i);
    const struct chain_root root = {.seed = roots->seed,
                                    .fingerprint = out->fingerprint,
                                    .template_id = label_bytes(&template_id),
                                    .tenant = r->tenant};
    if (chain_make(&in->chain, &root, r, pictures, NULL) != 0)
        return;
    out->segments = in->chain.segments;
    out->n_segments = in->chain.count;
}

static void read_request(struct incoming *in, struct wire_message *m,
                         const struct inbox_roots *roots) {
    struct bytes map = wire_frame(m, CLIENT_MAP);
    struct request r;
    if (!pictures_fit(in, m) ||
        request_decode(&r, map, m->n_frames - CLIENT_MAP - 1, &in->why) != 0) {
        in->has_id = find_id(map, &in->id);
        bad(in);
        return;
    }
    in->event.type = EVENT_REQUEST;
    in->event.request.id = r.id;
    in->event.request.deadline_ms = r.deadline_ms;
    in->event.request.model = r.model;
    in->event.request.tenant = r.tenant;
    in->event.request.pictures = r.n_pictures;
    in->event.request.held_bytes = m->n_bytes;
    in->event.request.content_hash = hash_content(&r, m);
    in->event.request.priority = r.priority;
    in->event.request.count_only = r.count_only;
    in->event.request.extended =
        r.schema.size > 0 || r.count_only || r.messages[0].role == ROLE_RAW;
    in->event.request.seed = r.sampling.has_seed ? 0 : draw_seed(&r.id);
    make_chain(in, m, CLIENT_MAP, &r, roots, &in->event.request.chain);
    request_clear(&r); /* frees its arrays; the model's text lies in the frame */
}

static void read_cancel(struct incoming *in, struct bytes map) {
    struct msg_cancel cancel;
    if (cancel_decode(&cancel, map, &in->why) != 0) {
        bad(in);
        return;
    }
    in->event.type = EVENT_CANCEL;
    in->event.cancel.id = cancel.id;
}

/* A request that is only asked about: the frames after OPS are those of a REQUEST. */
static int read_explained(struct incoming *in, struct wire_message *m,
                          const struct inbox_roots *roots) {
    enum message_type type = MSG_TYPES;
    struct bytes map = wire_frame(m, CLIENT_MAP + 1);
    struct request r;
    int rc = message_peek(map, &type, &in->why);
    if (rc == 0 && type != MSG_REQUEST)
        rc = error_set(&in->why, ERR_BAD_MESSAGE, "what follows OPS is no REQUEST");
    if (rc == 0 && !pictures_fit(in, m))
        rc = ERR_LIMIT;
    if (rc == 0)
        rc = request_decode(&r, map, m->n_frames - CLIENT_MAP - 2, &in->why);
    if (rc != 0)
        return rc;
    in->explain.fresh = true;
    in->explain.model = r.model;
    in->explain.pictures = r.n_pictures;
    make_chain(in, m, CLIENT_MAP + 1, &r, roots, &in->explain.chain);
    request_clear(&r);
    return 0;
}

static void read_explain(struct incoming *in, struct wire_message *m,
                         const struct inbox_roots *roots) {
    in->kind = INCOMING_QUERY;
    if (m->n_frames > CLIENT_MAP + 1) {
        if (read_explained(in, m, roots) != 0)
            bad(in);
    } else if (in->ops.id.size == sizeof in->id.bytes) {
        memcpy(in->id.bytes, in->ops.id.data, sizeof in->id.bytes);
        in->explain.id = &in->id;
    }
}

static void read_ops(struct incoming *in, struct wire_message *m, const struct inbox_roots *roots) {
    if (ops_decode(&in->ops, wire_frame(m, CLIENT_MAP), &in->why) != 0) {
        bad(in);
        return;
    }
    in->has_serial = true;
    if (in->ops.query == OPS_EXPLAIN) {
        read_explain(in, m, roots);
        return;
    }
    if (m->n_frames > CLIENT_MAP + 1) {
        bad_because(in, ERR_BAD_MESSAGE, "only OPS that asks to explain has frames after its map");
        return;
    }
    if (in->ops.query != OPS_DRAIN && in->ops.query != OPS_UNDRAIN) {
        in->kind = INCOMING_QUERY;
        return;
    }
    in->event.type = EVENT_DRAIN;
    in->event.drain.worker = in->ops.worker;
    in->event.drain.on = in->ops.query == OPS_DRAIN;
    in->event.drain.serial = in->ops.serial;
}

static void read_client_map(struct incoming *in, struct wire_message *m, enum message_type type,
                            const struct inbox_roots *roots) {
    struct bytes map = wire_frame(m, CLIENT_MAP);
    if (type == MSG_REQUEST) {
        read_request(in, m, roots);
    } else if (type == MSG_OPS) {
        read_ops(in, m, roots);
    } else if (m->n_frames > CLIENT_MAP + 1) {
        bad_because(in, ERR_BAD_MESSAGE, "only REQUEST has frames after its map");
    } else if (type == MSG_CANCEL) {
        read_cancel(in, map);
    } else if (type == MSG_HELLO) {
        if (hello_decode(&in->hello, map, &in->why) != 0)
            bad(in);
        else
            in->kind = INCOMING_HELLO;
    } else {
        bad_because(in, ERR_BAD_MESSAGE, "clients send HELLO, REQUEST, CANCEL and OPS");
    }
}

void inbox_read_client(struct incoming *in, struct wire_message *m,
                       const struct inbox_roots *roots) {
    enum message_type type = MSG_TYPES;
    begin(in, m);
    if (m->n_frames <= CLIENT_MAP) {
        bad_because(in, ERR_BAD_MESSAGE, "a message has at least one frame");
        return;
    }
    struct bytes map = wire_frame(m, CLIENT_MAP);
    if (message_peek(map, &type, &in->why) != 0) {
        in->has_id = type == MSG_REQUEST && find_id(map, &in->id);
        bad(in);
        return;
    }
    read_client_map(in, m, type, roots);
}

/* ---- workers ---- */

/* What the core must know of the answer. MSG_TYPES when it can't be read: the core then ends the
 * request, since one part of its answer is missing. */
static void read_answer(struct incoming *in, struct bytes answer) {
    enum message_type type = MSG_TYPES;
    struct msg_tokens tokens;
    struct msg_error error;
    struct event *ev = &in->event;
    ev->reply.inner = MSG_TYPES;
    if (message_peek(answer, &type, &in->why) != 0)
        return;
    if (type == MSG_TOKENS && tokens_decode(&tokens, answer, &in->why) == 0) {
        ev->reply.id = tokens.id;
        ev->reply.index = tokens.index;
        ev->reply.n_tokens = tokens.n_tokens;
        ev->reply.text_bytes = tokens.text.size;
        tokens_clear(&tokens);
    } else if (type == MSG_PROGRESS &&
               progress_decode(&ev->reply.progress, answer, &in->why) == 0) {
        ev->reply.id = ev->reply.progress.id;
    } else if (type == MSG_DONE && done_decode(&in->done, answer, &in->why) == 0) {
        ev->reply.id = in->done.id;
        ev->reply.usage = in->done.usage;
        ev->reply.timings = in->done.timings;
    } else if (type == MSG_ERROR && error_decode(&error, answer, &in->why) == 0 && error.has_id) {
        ev->reply.id = error.id;
        ev->reply.code = error.code;
    } else {
        return;
    }
    ev->reply.inner = type;
}

static void read_reply(struct incoming *in, struct wire_message *m) {
    if (m->n_frames != 3) {
        bad_because(in, ERR_BAD_MESSAGE, "REPLY has one frame after its map");
        return;
    }
    if (reply_decode(&in->event.reply.reply, wire_frame(m, 1), &in->why) != 0) {
        bad(in);
        return;
    }
    in->event.type = EVENT_REPLY;
    read_answer(in, wire_frame(m, 2));
}

static void read_worker_map(struct incoming *in, struct wire_message *m, enum message_type type) {
    struct bytes map = wire_frame(m, 1);
    int rc = 0;
    if (type == MSG_REPLY) {
        read_reply(in, m);
        return;
    }
    if (m->n_frames != 2) {
        bad_because(in, ERR_BAD_MESSAGE, "only REPLY has frames after its map");
        return;
    }
    if (type == MSG_HEARTBEAT) {
        in->event.type = EVENT_HEARTBEAT;
        rc = heartbeat_decode(&in->event.heartbeat, map, &in->why);
    } else if (type == MSG_READY) {
        in->event.type = EVENT_READY;
        rc = ready_decode(&in->event.ready, map, &in->why);
    } else if (type == MSG_GOODBYE) {
        in->event.type = EVENT_GOODBYE;
        rc = goodbye_decode(&in->event.goodbye, map, &in->why);
    } else if (type == MSG_LINKS) {
        in->event.type = EVENT_LINKS;
        rc = links_decode(&in->event.links.told, map, &in->why);
    } else {
        rc = error_set(&in->why, ERR_BAD_MESSAGE,
                       "workers send READY, HEARTBEAT, LINKS, REPLY and GOODBYE");
    }
    if (rc != 0)
        bad(in);
}

void inbox_read_worker(struct incoming *in, struct wire_message *m) {
    enum message_type type;
    begin(in, m);
    if (m->n_frames < 2)
        bad_because(in, ERR_BAD_MESSAGE, "a message has at least one frame");
    else if (message_peek(wire_frame(m, 1), &type, &in->why) != 0)
        bad(in);
    else
        read_worker_map(in, m, type);
}
