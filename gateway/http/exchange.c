/* exchange.c - answers: in one piece, or as a stream that MHD reads from our backlog.
 *
 * MHD asks for more of a stream whenever it has sent what it had. When there is nothing, its
 * connection sleeps (is suspended), and exchange_push wakes it; so a stream costs nothing while it
 * waits, and one send(2) for what came together. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/http/cors.h"
#include "gateway/http/inside.h"

#define STREAM_BLOCK_BYTES 16384
#define CUT_SECONDS 1u /* any that is not the daemon's */
#define LOGGED_PATH_BYTES 81
#define ANTHROPIC_PATH "/v1/messages" /* and what lies below it */

struct exchange *exchange_open(struct server *s, struct MHD_Connection *mhd, const char *target) {
    struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->server = s;
    x->mhd = mhd;
    x->tail = "";
    x->arrived_us = clock_us();
    x->backlog_max = EXCHANGE_BACKLOG_BYTES;
    x->caller.key = -1;
    x->caller.priority = 1;
    text_init(&x->backlog, SIZE_MAX / 4);
    trace_new_id(x->id);
    (void)target_read(&x->target, target, &x->fault);
    return x;
}

void exchange_close(struct exchange *x) {
    if (x == NULL)
        return;
    if (x->streams)
        x->server->figures.streams--;
    if (x->response)
        MHD_destroy_response(x->response);
    for (size_t i = 0; i < x->n_headers; i++)
        free(x->headers[i].value);
    body_drop(&x->body, &x->server->body_used);
    text_close(&x->backlog);
    target_close(&x->target);
    free(x);
}

/* ---- what a handler may ask ---- */

struct gateway *exchange_gateway(struct exchange *x) {
    return x->server->gateway;
}

const struct caller *exchange_caller(const struct exchange *x) {
    return &x->caller;
}

const char *exchange_header(const struct exchange *x, const char *name) {
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

const char *exchange_query(const struct exchange *x, const char *name) {
    for (size_t i = 0; i < x->target.n_query; i++)
        if (strcmp(x->target.query[i].name, name) == 0)
            return x->target.query[i].value;
    return NULL;
}

const char *exchange_tail(const struct exchange *x) {
    return x->tail;
}

const char *exchange_body(const struct exchange *x, size_t *bytes) {
    *bytes = x->body.size;
    return x->body.size > 0 ? x->body.data : "";
}

const char *exchange_id(const struct exchange *x) {
    return x->id;
}

void exchange_on_gone(struct exchange *x, void (*gone)(void *arg), void *arg) {
    x->gone = gone;
    x->gone_arg = arg;
}

void exchange_add_header(struct exchange *x, const char *name, const char *value) {
    if (x->n_headers == EXCHANGE_HEADERS)
        return;
    struct header *h = &x->headers[x->n_headers];
    (void)snprintf(h->name, sizeof h->name, "%s", name);
    h->value = strdup(value);
    x->n_headers += h->value != NULL;
}

/* ---- sleep ---- */

void exchange_sleep(struct exchange *x) {
    MHD_suspend_connection(x->mhd);
    x->suspended = true;
}

void exchange_wake(struct exchange *x) {
    if (!x->suspended)
        return;
    x->suspended = false;
    MHD_resume_connection(x->mhd);
}

void exchange_cut(struct exchange *x) {
    if (x->cut)
        return;
    x->cut = true;
    (void)shutdown(x->connection->fd, SHUT_RDWR);
    /* MHD 0.9.75 closes a connection whose reader says "error" and then forgets to give it back,
     * until all older ones are closed too. Those with a time limit of their own it looks at in
     * every run.
     */
    if (x->mhd)
        (void)MHD_set_connection_option(x->mhd, MHD_CONNECTION_OPTION_TIMEOUT, CUT_SECONDS);
    exchange_wake(x);
}

/* ---- answers ---- */

static bool has_header(const struct exchange *x, const char *name) {
    for (size_t i = 0; i < x->n_headers; i++)
        if (strcasecmp(x->headers[i].name, name) == 0)
            return true;
    return false;
}

/* Under /v1/ people's clients ask, which know no shape but their API's. */
static const struct dialect *shape_of(const struct exchange *x) {
    if (x->route && x->route->dialect)
        return x->route->dialect;
    if (strncmp(x->target.path, ANTHROPIC_PATH, sizeof ANTHROPIC_PATH - 1) == 0)
        return &anthropic_messages;
    return strncmp(x->target.path, "/v1/", 4) == 0 ? &openai_chat : NULL;
}

static void add_headers(struct exchange *x, const char *type) {
    struct MHD_Response *r = x->response;
    if (type)
        (void)MHD_add_response_header(r, "Content-Type", type);
    if (!has_header(x, "Cache-Control"))
        (void)MHD_add_response_header(r, "Cache-Control", "no-store");
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(r, "X-Request-Id", x->id);
    if (strncmp(x->target.path, ANTHROPIC_PATH, sizeof ANTHROPIC_PATH - 1) == 0)
        (void)MHD_add_response_header(r, "Request-Id", x->id); /* the name that its clients know */
    if (x->trace.parent[0])
        (void)MHD_add_response_header(r, "traceparent", x->trace.parent);
    for (size_t i = 0; i < x->n_headers; i++)
        (void)MHD_add_response_header(r, x->headers[i].name, x->headers[i].value);
    cors_headers(x->server->cors, exchange_header(x, "Origin"), r);
    if (x->close_after || x->server->stopping)
        (void)MHD_add_response_header(r, "Connection", "close");
}

static void answered(struct exchange *x) {
    x->state = EXCHANGE_ANSWERED;
    exchange_wake(x);
}

void exchange_reply(struct exchange *x, int status, const char *type, const char *body,
                    size_t bytes) {
    if (x->state == EXCHANGE_ANSWERED)
        return;
    x->status = status;
    x->response = MHD_create_response_from_buffer(bytes, (void *)(uintptr_t)(bytes ? body : ""),
                                                  MHD_RESPMEM_MUST_COPY);
    x->server->figures.bytes_sent += bytes;
    if (x->response)
        add_headers(x, type);
    else
        x->cut = true;
    answered(x);
}

void exchange_reply_json(struct exchange *x, int status, json_t *value) {
    struct text t;
    text_init(&t, SIZE_MAX / 4);
    text_json(&t, value);
    if (t.failed)
        exchange_reply(x, 500, "application/json", "{}", 2);
    else
        exchange_reply(x, status, "application/json", t.data, t.size);
    text_close(&t);
}

static void add_retry(struct exchange *x, const struct fault *f) {
    char text[16];
    if (f->retry_ms == 0)
        return;
    (void)snprintf(text, sizeof text, "%u", (f->retry_ms + 999) / 1000);
    exchange_add_header(x, "Retry-After", text);
    (void)snprintf(text, sizeof text, "%u", f->retry_ms);
    exchange_add_header(x, "Retry-After-Ms", text);
}

static json_t *fault_json(const struct fault *f) {
    return json_pack("{s:{s:s, s:s}}", "error", "code", error_name(f->code), "message", f->text);
}

void exchange_reply_fault(struct exchange *x, const struct fault *f) {
    (void)snprintf(x->note.outcome, sizeof x->note.outcome, "%s", error_name(f->code));
    add_retry(x, f);
    exchange_reply_json(x, f->status, fault_json(f));
}

void exchange_refuse(struct exchange *x, const struct fault *f) {
    const struct dialect *d = shape_of(x);
    if (d == NULL) {
        exchange_reply_fault(x, f);
        return;
    }
    (void)snprintf(x->note.outcome, sizeof x->note.outcome, "%s", error_name(f->code));
    add_retry(x, f);
    struct text t;
    text_init(&t, 1 << 16);
    d->fault(f, &t);
    exchange_reply(x, f->status, "application/json", t.data, t.size);
    text_close(&t);
}

/* ---- streams ---- */

static void forget_sent(struct exchange *x) {
    if (x->sent == x->backlog.size)
        x->sent = x->backlog.size = 0;
    else if (x->sent > x->backlog.size / 2) {
        text_drop(&x->backlog, x->sent);
        x->sent = 0;
    }
}

static ssize_t read_stream(void *arg, uint64_t position, char *out, size_t most) {
    (void)position;
    struct exchange *x = arg;
    if (x->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = x->backlog.size - x->sent;
    if (n == 0 && x->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == 0) {
        exchange_sleep(x);
        return 0;
    }
    if (n > most)
        n = most;
    memcpy(out, x->backlog.data + x->sent, n);
    x->sent += n;
    forget_sent(x);
    return (ssize_t)n;
}

void exchange_begin(struct exchange *x, void (*gone)(void *arg), void *arg) {
    exchange_on_gone(x, gone, arg);
    if (x->state == EXCHANGE_ANSWERED)
        return;
    x->status = 200;
    /* MHD 0.9.75 would end the body that a HEAD has not, and so begin the next answer wrongly. */
    x->response = strcmp(x->method, "HEAD") == 0
                      ? MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT)
                      : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                          read_stream, x, NULL);
    if (x->response) {
        exchange_add_header(x, "X-Accel-Buffering", "no");
        add_headers(x, "text/event-stream; charset=utf-8");
    } else {
        x->cut = true;
    }
    x->streams = true;
    x->server->figures.streams++;
    answered(x);
}

int exchange_push(struct exchange *x, const char *data, size_t bytes) {
    if (x->cut || x->ended)
        return -1;
    bool slow = x->backlog.size - x->sent > x->backlog_max;
    if (!slow)
        text_add(&x->backlog, data, bytes);
    if (slow || x->backlog.failed) {
        x->server->figures.slow_readers_cut++;
        (void)snprintf(x->note.outcome, sizeof x->note.outcome, "slow-reader");
        exchange_cut(x);
        return -1;
    }
    x->server->figures.bytes_sent += bytes;
    exchange_wake(x);
    return 0;
}

void exchange_end(struct exchange *x) {
    x->ended = true;
    if (x->connection->state == CONNECTION_WORK)
        connection_set(x->connection, CONNECTION_ANSWER);
    exchange_wake(x);
}

void exchange_allow(struct exchange *x, size_t bytes) {
    x->backlog_max += bytes;
}

enum MHD_Result exchange_queue(struct exchange *x) {
    if (x->cut || x->response == NULL)
        return MHD_NO;
    x->queued = true;
    if (!x->streams || x->ended)
        connection_set(x->connection, CONNECTION_ANSWER);
    return MHD_queue_response(x->mhd, (unsigned)x->status, x->response);
}

/* ---- the log ---- */

void exchange_note(struct exchange *x, const struct exchange_note *note) {
    char outcome[sizeof x->note.outcome];
    memcpy(outcome, x->note.outcome, sizeof outcome);
    x->note = *note;
    if (outcome[0]) /* what the connection knows is nearer to the reader than what the pool says */
        memcpy(x->note.outcome, outcome, sizeof outcome);
}

static double ms_since(int64_t from_us, int64_t to_us) {
    return (double)(to_us - from_us) / 1e3;
}

static bool is_probe(const struct exchange *x) {
    const char *p = x->target.path;
    return x->status < 400 && x->note.dialect == NULL &&
           (strcmp(p, "/healthz") == 0 || strcmp(p, "/readyz") == 0 || strcmp(p, "/metrics") == 0);
}

/* With blanks in it - a path's tail was decoded, a bad method may have tabs - a stranger would
 * write facts of his own. */
static void word_for_log(const char *text, char *out, size_t capacity) {
    size_t n = 0;
    for (; text[n] && n < capacity - 1; n++)
        out[n] = text[n] > ' ' && text[n] < 0x7f ? text[n] : '?';
    out[n] = '\0';
}

void exchange_log(const struct exchange *x) {
    const struct exchange_note *n = &x->note;
    char first[32] = "", trace[64] = "", path[LOGGED_PATH_BYTES], method[sizeof x->method];
    word_for_log(x->target.path, path, sizeof path);
    word_for_log(x->method, method, sizeof method);
    if (n->first_us > x->arrived_us) /* else it was there before who asks the same again came */
        (void)snprintf(first, sizeof first, " first_ms=%.1f", ms_since(x->arrived_us, n->first_us));
    if (x->trace.parent[0])
        (void)snprintf(trace, sizeof trace, " trace=%.32s", x->trace.parent + 3);
    log_write(is_probe(x) ? LOG_DEBUG : LOG_INFO, "request",
              "id=%s method=%s path=%s dialect=%s tenant=%s key=%s client=%s status=%d "
              "outcome=%s%s total_ms=%.1f tokens=%u reused=%u%s",
              x->id, method, path, n->dialect ? n->dialect : "-",
              x->caller.tenant[0] ? x->caller.tenant : "-",
              x->caller.key_name[0] ? x->caller.key_name : "-", x->client,
              x->status ? x->status : 499, n->outcome[0] ? n->outcome : "done", first,
              ms_since(x->arrived_us, clock_us()), n->tokens, n->reused, trace);
}
