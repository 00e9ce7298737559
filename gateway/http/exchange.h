/* exchange.h - one HTTP request and its answer, as handlers see it.
 *
 * Handlers run on the loop's thread and never block. An exchange lives until its answer was sent or
 * its reader is gone; `gone` (if set) is then called once, also after exchange_reply, and the
 * handler must forget it. It is never called from inside one of the functions here. */
#ifndef QUIRE_GATEWAY_EXCHANGE_H
#define QUIRE_GATEWAY_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "gateway/api/fault.h"

struct exchange;
struct gateway; /* gateway/gateway.h: all parts of the running program */

/* Who asks. Without a key file everyone on the loopback is {tenant "", admin false}. */
struct caller {
    char tenant[65];
    char key_name[65]; /* the key's section in the key file; for logs */
    bool known;        /* has given a valid key */
    bool admin;
    bool local;   /* a loopback peer that no proxy stands before */
    int priority; /* 0 low, 1 normal, 2 high */
    int key;      /* index in the key table, -1 without */
};

struct gateway *exchange_gateway(struct exchange *x);
const struct caller *exchange_caller(const struct exchange *x);
const char *exchange_header(const struct exchange *x, const char *name); /* NULL: absent */
const char *exchange_query(const struct exchange *x, const char *name);  /* NULL: absent */
/* What stands at the route's '*', percent-decoded; "" if it has none. */
const char *exchange_tail(const struct exchange *x);
/* The request's body (not terminated), all of it. */
const char *exchange_body(const struct exchange *x, size_t *bytes);
const char *exchange_id(const struct exchange *x); /* 32 hex digits; also in X-Request-Id */

/* Adds a header to the answer; before exchange_reply or exchange_begin. Both are copied; at most
 * EXCHANGE_HEADERS of them. */
void exchange_add_header(struct exchange *x, const char *name, const char *value);
#define EXCHANGE_HEADERS 8

/* ---- an answer in one piece ---- */
/* Copies the body. A handler answers exactly once, now or later. */
void exchange_reply(struct exchange *x, int status, const char *type, const char *body,
                    size_t bytes);
void exchange_reply_json(struct exchange *x, int status, json_t *value); /* takes the reference */
/* {"error": {"code": ..., "message": ...}} with the fault's status and Retry-After. */
void exchange_reply_fault(struct exchange *x, const struct fault *f);

/* ---- an answer that goes on ---- */
/* Sends the head: 200, text/event-stream, no caching, no buffering by proxies. gone(arg): the
 * reader left, was cut off, or exchange_end's last byte was sent. */
void exchange_begin(struct exchange *x, void (*gone)(void *arg), void *arg);
/* Adds to what is to be sent. -1: the reader was too slow, more than EXCHANGE_BACKLOG_BYTES
 * waited; it has been cut off, and gone will be called from the loop. */
int exchange_push(struct exchange *x, const char *data, size_t bytes);
void exchange_end(struct exchange *x);
#define EXCHANGE_BACKLOG_BYTES ((size_t)256 << 10)
/* For a handler that waits before its answer: as in exchange_begin. */
void exchange_on_gone(struct exchange *x, void (*gone)(void *arg), void *arg);

/* ---- routes: a table per part, all joined in gateway/http/routes.c ---- */
enum route_access {
    ROUTE_OPEN,  /* anybody: health, the page's files */
    ROUTE_KEY,   /* a valid key, or no key file */
    ROUTE_ADMIN, /* an admin's key */
};
struct route {
    const char *method; /* "GET" (also answers HEAD) or "POST" */
    const char *path;   /* "/quire/explain/" followed by "*": the rest of the path is the tail */
    enum route_access access;
    void (*handle)(struct exchange *x);
    const struct dialect *dialect; /* instead of handle */
};

#endif
