/* inside.h - what the files of this folder know of each other's structs: a connection is a socket
 * and what we wait for on it; an exchange is one request on it and its answer.
 *
 * libmicrohttpd (MHD) parses and writes; we drive it. It has its own epoll set, which is one
 * descriptor in ours. In ours there is each socket once more, edge triggered, so that we hear of a
 * reader who left while MHD does not listen to it, since its connection is suspended until there is
 * something to send.
 *
 * Nothing here is freed while events are handed out: MHD frees connections and exchanges only from
 * inside MHD_run, which the loop calls after all events of a round. */
#ifndef QUIRE_GATEWAY_HTTP_INSIDE_H
#define QUIRE_GATEWAY_HTTP_INSIDE_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "gateway/api/dialect.h"
#include "gateway/figures/figures.h"
#include "gateway/gateway.h"
#include "gateway/http/body.h"
#include "gateway/http/exchange.h"
#include "gateway/http/head.h"
#include "gateway/http/proxies.h"
#include "gateway/http/target.h"
#include "gateway/http/trace.h"
#include "gateway/text.h"

#define ANSWER_SECONDS 60                    /* for a finished answer to be read */
#define HANDLER_BODY_BYTES ((size_t)1 << 16) /* of requests to handlers */
#define STOP_SECONDS 10 /* for what is under way when the gateway is told to stop */
#define TICK_MS 250     /* how often deadlines are looked at */

/* What an event of our epoll set belongs to; the first member of what it points to. */
enum watch_kind {
    WATCH_LISTENER,
    WATCH_SOCKET,
    WATCH_LINGER,
    WATCH_MHD,
    WATCH_POOL,
    WATCH_OBSERVER,
    WATCH_SIGNALS
};
struct watch {
    enum watch_kind kind;
};

enum connection_state {
    CONNECTION_NEW,    /* nothing came yet */
    CONNECTION_KEPT,   /* between two requests */
    CONNECTION_HEAD,   /* a head is arriving */
    CONNECTION_BODY,   /* a body is arriving */
    CONNECTION_WORK,   /* a handler has it */
    CONNECTION_ANSWER, /* all of the answer is there, and is being sent */
};
struct connection {
    struct watch watch;
    struct server *server;
    struct MHD_Connection *mhd;
    struct connection *before, *after; /* all of a server */
    struct exchange *exchange;         /* the one under way, or NULL */
    struct sockaddr_storage peer;
    int fd; /* MHD's */
    enum connection_state state;
    int64_t deadline_ms; /* clock_ms; INT64_MAX: none */
    bool left;           /* the peer sends nothing more, or is gone */
    bool linger;         /* when it is closed, what the peer still sends is read for a while */
};

enum exchange_state {
    EXCHANGE_TARGET,   /* the request's first line was read */
    EXCHANGE_TAKING,   /* its head is fine; the body is arriving */
    EXCHANGE_REFUSED,  /* `fault` will be the answer, after what is left of the body */
    EXCHANGE_HANDLED,  /* a handler has it and has not answered yet */
    EXCHANGE_ANSWERED, /* `response` is there; MHD may not have it yet */
};
struct header {
    char name[48];
    char *value;
};
struct exchange {
    struct server *server;
    struct connection *connection; /* NULL until the head is there */
    struct MHD_Connection *mhd;
    enum exchange_state state;
    char id[33];
    struct trace trace;
    struct head head;
    struct target target;
    char method[16]; /* cut; "" before the head is there */
    const struct route *route;
    const char *tail;
    struct caller caller;
    char client[PROXIES_TEXT_BYTES]; /* who asks, as an address */
    struct body body;
    struct fault fault;
    bool close_after; /* no other request on this connection */
    struct header headers[EXCHANGE_HEADERS];
    size_t n_headers;

    /* the answer */
    struct MHD_Response *response;
    int status;
    bool suspended; /* MHD waits for us */
    bool queued;    /* MHD has the response */
    bool streams, ended, cut;
    struct text backlog; /* what a stream has to send */
    size_t sent;         /* bytes of the backlog */
    size_t backlog_max;
    void (*gone)(void *arg);
    void *gone_arg;

    /* for the log */
    int64_t arrived_us;
    struct exchange_note {
        char outcome[24];
        const char *dialect; /* static; NULL: none */
        int64_t first_us;    /* clock_us; 0: no token */
        uint32_t tokens, reused;
    } note;
};

struct idempotency;
struct lingering;
struct cors;
struct run;

struct server {
    struct gateway *gateway;
    struct MHD_Daemon *daemon;
    int epoll, listener, signals, reserve;
    struct watch watch_listener, watch_mhd, watch_pool, watch_observer, watch_signals;
    char address[96]; /* http://... */
    char bound[INET6_ADDRSTRLEN];
    struct connection *connections;
    struct lingering *lingering;
    struct idempotency *idempotency;
    struct run *runs; /* all of them */
    struct proxies *proxies;
    struct cors *cors;
    int64_t started_s; /* wall clock */
    size_t body_used;  /* bytes of all bodies */
    uint32_t connections_max;
    bool stopping, paused;
    bool pool_work;   /* something was asked or cancelled: pool_work is due */
    int64_t stop_ms;  /* when what is left is cut off */
    int64_t tick_ms;  /* when deadlines are looked at next */
    int64_t noted_ms; /* the last time that refused connections were logged */
    struct figures_http figures;
};

/* ---- exchange.c ---- */
/* A new exchange for the target (which is copied) of a request. NULL: memory ran out. */
struct exchange *exchange_open(struct server *s, struct MHD_Connection *mhd, const char *target);
void exchange_close(struct exchange *x);
/* Gives MHD the response, once it asks for it; MHD_NO: the connection is of no more use. */
enum MHD_Result exchange_queue(struct exchange *x);
/* Leaves the connection to us, until exchange_wake. From a handler or reader of MHD only. */
void exchange_sleep(struct exchange *x);
void exchange_wake(struct exchange *x);
/* The reader is gone or has to go: ends the connection, and soon `gone` is called. */
void exchange_cut(struct exchange *x);
/* The answer in the dialect's own shape, if its route has one. */
void exchange_refuse(struct exchange *x, const struct fault *f);
/* Another `bytes` may wait for the reader besides EXCHANGE_BACKLOG_BYTES: they were there before
 * it came. */
void exchange_allow(struct exchange *x, size_t bytes);
/* What the request's log line will say. */
void exchange_note(struct exchange *x, const struct exchange_note *note);
void exchange_log(const struct exchange *x);

/* ---- handler.c: MHD's callbacks; the server is their first argument ---- */
void *handler_target(void *server, const char *target, struct MHD_Connection *mhd);
enum MHD_Result handler_request(void *server, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *bytes, void **exchange);
void handler_completed(void *server, struct MHD_Connection *mhd, void **exchange,
                       enum MHD_RequestTerminationCode why);

/* ---- gate.c: what is checked before a request is taken ---- */
/* -1 with x->fault: it is refused; close_after: and what follows on the connection is not to be
 * trusted. */
int gate_check(struct exchange *x);

/* ---- connection.c ---- */
void connection_notify(void *server, struct MHD_Connection *mhd, void **connection,
                       enum MHD_ConnectionNotificationCode what);
void connection_event(struct connection *c, uint32_t events);
void connection_set(struct connection *c, enum connection_state state);
/* Ends those whose time is up; on stopping also those that have no request. */
void connections_tick(struct server *s, int64_t now_ms);

/* ---- listen.c ---- */
int listen_open(struct server *s, const char *where, struct error *e);
void listen_accept(struct server *s);
void listen_pause(struct server *s, bool on);

/* ---- routes ---- */
/* NULL with 404 or 405 (then `allow` is filled) in *fault. */
const struct route *route_find(const struct gateway *g, const char *method, const char *path,
                               const char **tail, char allow[32], struct fault *fault);

#endif
