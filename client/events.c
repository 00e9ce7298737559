/* events.c - what comes back: each message becomes one event, or is dropped.
 *
 * Dropped is what belongs to no request in flight: an answer that was under way when its request
 * had ended. A request ends exactly once: by DONE, by ERROR, by a gap in its tokens, or by the loss
 * of the connection; from then on its id is unknown here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "common/clock.h"

_Static_assert((int)QUIRE_STAGE_PREFILL == (int)STAGE_PREFILL, "stages are the wire's");
_Static_assert((int)QUIRE_FINISH_LENGTH == (int)FINISH_LENGTH, "reasons are the wire's");
_Static_assert((int)QUIRE_RAW == (int)ROLE_RAW, "roles are the wire's");
_Static_assert(sizeof(struct quire_usage) == sizeof(struct usage), "usage is the wire's");
_Static_assert(sizeof(struct quire_timings) == sizeof(struct timings), "timings are the wire's");

#define NOT_FOR_US 2 /* the message was dropped: look at the next one */

void events_release(struct quire_client *c) {
    tokens_clear(&c->tokens);
    free(c->token_block);
    c->token_block = NULL;
    wire_message_close(&c->incoming);
}

/* ---- requests in flight ---- */

static struct flight *find_flight(struct quire_client *c, const struct request_id *id) {
    for (size_t i = 0; i < c->n_flights; i++)
        if (memcmp(&c->flights[i].id, id, sizeof *id) == 0)
            return &c->flights[i];
    return NULL;
}

static void begin_event(struct quire_event *event, enum quire_event_kind kind,
                        const struct request_id *id) {
    memset(event, 0, sizeof *event);
    event->kind = kind;
    event->last = kind == QUIRE_DONE || kind == QUIRE_FAILED;
    memcpy(event->id, id->bytes, sizeof event->id);
}

static void end_flight(struct quire_client *c, struct flight *flight) {
    *flight = c->flights[--c->n_flights];
}

/* The last event of a request that this side gives up. */
static void fail_flight(struct quire_client *c, struct flight *flight, const struct error *e,
                        struct quire_event *event) {
    begin_event(event, QUIRE_FAILED, &flight->id);
    (void)client_report(&event->error, e);
    end_flight(c, flight);
}

/* ---- logprobs ---- */

static void copy_logprob(struct quire_logprob *out, const struct token_logprob *in) {
    *out = (struct quire_logprob){in->id, in->logprob, (const char *)in->text.data, in->text.size};
}

/* The entries of c->tokens in the application's terms; one block that the client owns. */
static int convert_entries(struct quire_client *c, struct quire_event *event, struct error *e) {
    const struct msg_tokens *m = &c->tokens;
    size_t n_others = 0;
    if (m->entries == NULL)
        return 0;
    for (size_t i = 0; i < m->n_tokens; i++)
        n_others += m->entries[i].n_others;
    /* Bounded by LIMIT_TOKENS_PER_MESSAGE and LIMIT_LOGPROBS. */
    struct quire_token *tokens =
        malloc(m->n_tokens * sizeof *tokens + n_others * sizeof(struct quire_logprob));
    if (tokens == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for logprobs");
    struct quire_logprob *others = (struct quire_logprob *)(tokens + m->n_tokens);
    for (size_t i = 0; i < m->n_tokens; i++) {
        const struct token_entry *entry = &m->entries[i];
        copy_logprob(&tokens[i].chosen, &entry->self);
        tokens[i].others = entry->n_others > 0 ? others : NULL;
        tokens[i].n_others = entry->n_others;
        for (size_t k = 0; k < entry->n_others; k++)
            copy_logprob(others++, &entry->others[k]);
    }
    c->token_block = tokens;
    event->tokens = tokens;
    return 0;
}

/* ---- one message: 1 = *event is filled, NOT_FOR_US, or an error of the connection ---- */

static int take_progress(struct quire_client *c, struct bytes frame, struct quire_event *event,
                         struct error *e) {
    struct msg_progress m;
    int rc = progress_decode(&m, frame, e);
    if (rc != 0)
        return rc;
    if (find_flight(c, &m.id) == NULL)
        return NOT_FOR_US;
    begin_event(event, QUIRE_PROGRESS, &m.id);
    event->stage = (enum quire_stage)m.stage;
    event->done = m.done;
    event->total = m.total;
    return 1;
}

static int take_tokens(struct quire_client *c, struct bytes frame, struct quire_event *event,
                       struct error *e) {
    struct msg_tokens *m = &c->tokens;
    int rc = tokens_decode(m, frame, e);
    if (rc != 0)
        return rc;
    struct flight *flight = find_flight(c, &m->id);
    if (flight == NULL)
        return NOT_FOR_US;
    if (m->index != flight->next) {
        struct error gap;
        (void)error_set(&gap, ERR_BAD_MESSAGE, "token %u of the answer came where %u was due",
                        m->index, flight->next);
        (void)quire_cancel(c, flight->id.bytes);
        fail_flight(c, flight, &gap, event);
        return 1;
    }
    flight->next += m->n_tokens;
    begin_event(event, QUIRE_TOKENS, &m->id);
    event->text = (const char *)m->text.data;
    event->text_bytes = m->text.size;
    event->index = m->index;
    event->n_tokens = m->n_tokens;
    rc = convert_entries(c, event, e);
    return rc == 0 ? 1 : rc;
}

static void copy_segment_ends(struct quire_client *c, struct bytes ends,
                              struct quire_event *event) {
    size_t n = ends.size / 4 < LIMIT_SEGMENT_ENDS ? ends.size / 4 : LIMIT_SEGMENT_ENDS;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = ends.data + 4 * i;
        c->segment_ends[i] =
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    }
    event->segment_ends = c->segment_ends;
    event->n_segment_ends = n;
}

static int take_done(struct quire_client *c, struct bytes frame, struct quire_event *event,
                     struct error *e) {
    struct msg_done m;
    int rc = done_decode(&m, frame, e);
    if (rc != 0)
        return rc;
    struct flight *flight = find_flight(c, &m.id);
    if (flight == NULL)
        return NOT_FOR_US;
    begin_event(event, QUIRE_DONE, &m.id);
    event->finish = (enum quire_finish)m.reason;
    event->stop = m.stop;
    memcpy(&event->usage, &m.usage, sizeof event->usage);
    memcpy(&event->timings, &m.timings, sizeof event->timings);
    event->seed = m.seed;
    event->attempts = m.attempts;
    client_copy_text(event->worker, sizeof event->worker, m.worker);
    client_copy_text(event->model, sizeof event->model, m.model);
    copy_segment_ends(c, m.segment_ends, event);
    end_flight(c, flight);
    return 1;
}

/* With an id it ends that request. Without one it is about the connection: shutting down, or a
 * message of ours that the broker could not read. */
static int take_error(struct quire_client *c, struct bytes frame, struct quire_event *event,
                      struct error *e) {
    struct msg_error m;
    struct error said;
    int rc = error_decode(&m, frame, e);
    if (rc != 0)
        return rc;
    (void)error_set(&said, m.code, "%.*s", (int)m.text.size, (const char *)m.text.data);
    if (!m.has_id) {
        *e = said;
        return m.code;
    }
    struct flight *flight = find_flight(c, &m.id);
    if (flight == NULL)
        return NOT_FOR_US;
    fail_flight(c, flight, &said, event);
    event->error.retry_ms = m.retry_ms;
    return 1;
}

static int take_message(struct quire_client *c, struct quire_event *event, struct error *e) {
    struct bytes frame = wire_frame(&c->incoming, 0);
    enum message_type type = MSG_TYPES;
    int rc = message_peek(frame, &type, e);
    if (rc != 0)
        return rc;
    switch (type) {
    case MSG_PROGRESS:
        return take_progress(c, frame, event, e);
    case MSG_TOKENS:
        return take_tokens(c, frame, event, e);
    case MSG_DONE:
        return take_done(c, frame, event, e);
    case MSG_ERROR:
        return take_error(c, frame, event, e);
    case MSG_WELCOME:
        return NOT_FOR_US;
    default:
        return error_set(e, ERR_BAD_MESSAGE, "the broker at %s sent %s", c->endpoint,
                         message_name(type));
    }
}

/* ---- the loop ---- */

/* A monitor's message is a number of 16 bits (the event) and one of 32 in the machine's order, then
 * the address in a frame of its own. */
void events_note_connection(struct quire_client *c) {
    struct wire_message m;
    uint16_t what;
    wire_message_init(&m);
    while (wire_recv(c->monitor, &m, NULL) == 0) {
        struct bytes head = wire_frame(&m, 0);
        if (head.size < sizeof what)
            continue;
        memcpy(&what, head.data, sizeof what);
        c->connected = what == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        for (size_t i = 0; i < c->n_flights && !c->connected; i++)
            c->flights[i].lost = true;
    }
    wire_message_close(&m);
}

static int take_lost(struct quire_client *c, struct quire_event *event) {
    struct error e;
    for (size_t i = 0; i < c->n_flights; i++) {
        if (!c->flights[i].lost)
            continue;
        (void)client_lost(c, &e);
        fail_flight(c, &c->flights[i], &e, event);
        return 1;
    }
    return 0;
}

/* One event without waiting: 1, 0 when there is none, or an error. The monitor is read first: what
 * came before the connection ended lies in the socket by then, and is read before the end is told.
 */
static int next_now(struct quire_client *c, struct quire_event *event, struct error *e) {
    events_note_connection(c);
    for (;;) {
        events_release(c);
        int rc = wire_recv(c->socket, &c->incoming, e);
        if (rc == WIRE_AGAIN)
            return take_lost(c, event);
        if (rc == 0)
            rc = take_message(c, event, e);
        if (rc != NOT_FOR_US)
            return rc;
    }
}

/* False when a signal ended the wait. */
static bool wait_for_more(struct quire_client *c, int64_t wait_ms) {
    zmq_pollitem_t items[2] = {{.socket = c->socket, .events = ZMQ_POLLIN},
                               {.socket = c->monitor, .events = ZMQ_POLLIN}};
    return zmq_poll(items, 2, (long)wait_ms) >= 0 || errno != EINTR;
}

int quire_next(struct quire_client *client, int timeout_ms, struct quire_event *event,
               struct quire_error *error) {
    struct error e = {0};
    int64_t end = clock_ms() + timeout_ms;
    for (;;) {
        int rc = next_now(client, event, &e);
        if (rc < 0)
            return client_report(error, &e);
        if (rc > 0)
            return 1;
        int64_t left = timeout_ms < 0 ? -1 : end - clock_ms();
        if (timeout_ms >= 0 && left <= 0)
            return 0;
        if (!wait_for_more(client, left))
            return 0;
    }
}
