/* handler.c - what MHD calls as a request goes on: its first line, its head, pieces of its body,
 * its end; and when it is over.
 *
 * A request that is refused although its body still comes has two ways. A short body is read and
 * thrown away, and the connection lives on. Else the answer goes out at once, and the connection is
 * closed in such a way that the peer, who is still sending, gets to read it (linger.h). */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "gateway/http/inside.h"
#include "gateway/http/linger.h"
#include "gateway/http/run.h"

#define SWALLOW_BYTES ((uint64_t)1 << 20) /* of a refused body */

void *handler_target(void *server, const char *target, struct MHD_Connection *mhd) {
    struct exchange *x = exchange_open(server, mhd, target);
    if (x) {
        x->head.target = target;
        x->head.target_bytes = strlen(target);
    }
    return x;
}

static enum MHD_Result refuse_now(struct exchange *x) {
    x->close_after = true;
    x->connection->linger = true;
    exchange_refuse(x, &x->fault);
    return exchange_queue(x);
}

/* Malformed or too large, whoever asks. */
static bool is_bad(int status) {
    return status == 400 || status == 413 || status == 414 || status == 417 || status == 431 ||
           status == 505;
}

static enum MHD_Result take_head(struct exchange *x, struct MHD_Connection *mhd, const char *method,
                                 const char *version) {
    struct server *s = x->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info == NULL || info->socket_context == NULL)
        return MHD_NO;
    x->connection = info->socket_context;
    x->connection->exchange = x;
    x->head.method = method;
    (void)snprintf(x->method, sizeof x->method, "%s", method);
    x->head.version = version;
    s->figures.requests_total++;
    x->state = EXCHANGE_TAKING;
    if (gate_check(x) < 0) {
        s->figures.bad_requests += is_bad(x->fault.status);
        x->state = EXCHANGE_REFUSED;
        if (x->close_after || x->head.chunked || x->head.waits || x->head.declared > SWALLOW_BYTES)
            return refuse_now(x);
    }
    x->body.declared = x->head.declared;
    x->body.chunked = x->head.chunked;
    connection_set(x->connection, CONNECTION_BODY);
    return MHD_YES;
}

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t bytes) {
    struct server *s = x->server;
    if (x->state == EXCHANGE_REFUSED)
        return MHD_YES;
    const struct options *o = &s->gateway->options;
    size_t max = x->route && x->route->dialect ? (size_t)o->body_bytes : HANDLER_BODY_BYTES;
    if (body_add(&x->body, data, bytes, max, (size_t)o->body_memory, &s->body_used, &x->fault) == 0)
        return MHD_YES;
    s->figures.bad_requests += is_bad(x->fault.status);
    uint64_t left = x->head.chunked ? UINT64_MAX : x->head.declared - x->body.size;
    body_drop(&x->body, &s->body_used);
    x->state = EXCHANGE_REFUSED;
    if (left <= SWALLOW_BYTES)
        return MHD_YES;
    /* MHD takes no answer in the middle of a body. */
    x->status = x->fault.status;
    (void)snprintf(x->note.outcome, sizeof x->note.outcome, "%s", error_name(x->fault.code));
    linger_refuse(x->connection, &x->fault);
    return MHD_NO;
}

static void handle(struct exchange *x) {
    connection_set(x->connection, CONNECTION_WORK);
    x->state = EXCHANGE_HANDLED;
    if (x->route->dialect)
        run_start(x, x->route->dialect);
    else
        x->route->handle(x);
}

static enum MHD_Result take_end(struct exchange *x) {
    if (x->cut)
        return MHD_NO;
    if (x->state == EXCHANGE_REFUSED)
        exchange_refuse(x, &x->fault);
    else if (x->state == EXCHANGE_TAKING)
        handle(x);
    if (x->state == EXCHANGE_ANSWERED)
        return exchange_queue(x);
    if (x->cut) /* the reader had left already; nobody would wake it before the answer is there */
        return MHD_NO;
    exchange_sleep(x);
    return MHD_YES;
}

enum MHD_Result handler_request(void *server, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *bytes, void **exchange) {
    (void)server;
    (void)url;
    struct exchange *x = *exchange;
    if (x == NULL)
        return MHD_NO;
    if (x->state == EXCHANGE_TARGET)
        return take_head(x, mhd, method, version);
    if (*bytes == 0)
        return take_end(x);
    size_t n = *bytes;
    *bytes = 0;
    return take_body(x, data, n);
}

void handler_completed(void *server, struct MHD_Connection *mhd, void **exchange,
                       enum MHD_RequestTerminationCode why) {
    (void)server;
    (void)mhd;
    struct exchange *x = *exchange;
    *exchange = NULL;
    if (x == NULL)
        return;
    x->mhd = NULL;
    x->suspended = false;
    bool whole = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (!whole && x->note.outcome[0] == '\0')
        memcpy(x->note.outcome, "client-left", sizeof "client-left");
    if (x->gone) {
        void (*gone)(void *) = x->gone;
        x->gone = NULL;
        gone(x->gone_arg);
    }
    if (x->connection) {
        exchange_log(x);
        x->connection->exchange = NULL;
        connection_set(x->connection, CONNECTION_KEPT);
    }
    exchange_close(x);
}
