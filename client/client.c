/* client.c - connecting, the handshake, sending and leaving.
 *
 * ZeroMQ connects in the background and never says "refused", so whether there is a broker is found
 * out by HELLO: no WELCOME in time means nobody is there. Later the socket's monitor says when the
 * connection ended. Requests sent over it can't be answered any more, since a broker knows its
 * clients by connection, and quire_next ends them with an error. libzmq connects again by itself.
 */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/paths.h"

#define MONITOR_ADDRESS "inproc://monitor" /* inproc names are the context's own */
#define MONITOR_EVENTS (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)

int client_report(struct quire_error *out, const struct error *e) {
    if (out != NULL) {
        out->code = e->code;
        out->retry_ms = 0;
        (void)snprintf(out->text, sizeof out->text, "%s", e->text);
    }
    return e->code;
}

const char *quire_error_name(int code) {
    return error_name(code);
}

void client_copy_text(char *out, size_t capacity, struct bytes text) {
    size_t n = text.size < capacity - 1 ? text.size : capacity - 1;
    if (n > 0)
        memcpy(out, text.data, n);
    out[n] = '\0';
}

/* ---- connecting ---- */

static int find_endpoint(struct quire_client *c, const char *endpoint, struct error *e) {
    if (endpoint == NULL)
        endpoint = getenv("QUIRE_ENDPOINT");
    if (endpoint == NULL || endpoint[0] == '\0')
        return paths_endpoint(c->endpoint, sizeof c->endpoint, "clients", e);
    int n = snprintf(c->endpoint, sizeof c->endpoint, "%s", endpoint);
    if (n < 0 || (size_t)n >= sizeof c->endpoint)
        return error_set(e, ERR_LIMIT, "an endpoint may have %zu bytes", sizeof c->endpoint - 1);
    return 0;
}

static int make_socket(struct quire_client *c, void **socket, struct error *e) {
    int receive_max = CLIENT_RECEIVE_MAX;
    *socket = zmq_socket(c->context, ZMQ_DEALER);
    if (*socket == NULL)
        return error_set(e, ERR_IO, "a socket could not be made: %s", zmq_strerror(errno));
    int rc = wire_socket_setup(*socket, e);
    if (rc != 0)
        return rc;
    if (zmq_setsockopt(*socket, ZMQ_RCVHWM, &receive_max, sizeof receive_max) != 0)
        return error_set(e, ERR_IO, "a socket option was refused: %s", zmq_strerror(errno));
    return 0;
}

static int connect_socket(struct quire_client *c, void *socket, struct error *e) {
    if (zmq_connect(socket, c->endpoint) != 0)
        return error_set(e, ERR_USAGE, "can't connect to \"%s\": %s", c->endpoint,
                         zmq_strerror(errno));
    return 0;
}

int client_connect(struct quire_client *c, void **socket, struct error *e) {
    int rc = make_socket(c, socket, e);
    return rc == 0 ? connect_socket(c, *socket, e) : rc;
}

static int watch_fd(struct quire_client *c, void *socket, struct error *e) {
    struct epoll_event event = {.events = EPOLLIN};
    int fd;
    size_t size = sizeof fd;
    if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0 ||
        epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return error_set(e, ERR_IO, "the socket can't be polled: %s", zmq_strerror(errno));
    return 0;
}

static int watch_connection(struct quire_client *c, struct error *e) {
    c->monitor = zmq_socket(c->context, ZMQ_PAIR);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (c->monitor == NULL || c->epoll < 0 ||
        zmq_socket_monitor(c->socket, MONITOR_ADDRESS, MONITOR_EVENTS) != 0 ||
        zmq_connect(c->monitor, MONITOR_ADDRESS) != 0)
        return error_set(e, ERR_IO, "the socket can't be watched: %s", zmq_strerror(errno));
    int rc = watch_fd(c, c->socket, e);
    return rc == 0 ? watch_fd(c, c->monitor, e) : rc;
}

int client_lost(const struct quire_client *c, struct error *e) {
    return error_set(e, ERR_IO, "the broker at %s went away", c->endpoint);
}

int client_send(struct quire_client *c, void *socket, struct wire_buffer *b, struct error *e) {
    int rc = wire_send_buffer(socket, (struct bytes){NULL, 0}, b, e);
    if (rc == WIRE_AGAIN)
        return error_set(e, ERR_BUSY, "the broker at %s takes no more messages now", c->endpoint);
    return rc;
}

/* ---- handshake ---- */

static int refused(struct bytes frame, struct error *e) {
    struct msg_error m;
    int rc = error_decode(&m, frame, e);
    if (rc != 0)
        return rc;
    return error_set(e, m.code, "the broker refused: %.*s", (int)m.text.size,
                     (const char *)m.text.data);
}

static int read_welcome(struct quire_client *c, struct bytes frame, struct error *e) {
    enum message_type type = MSG_TYPES;
    struct msg_welcome welcome;
    int rc = message_peek(frame, &type, e);
    if (rc != 0)
        return rc;
    if (type == MSG_ERROR)
        return refused(frame, e);
    if (type != MSG_WELCOME)
        return error_set(e, ERR_BAD_MESSAGE, "the peer at %s answered %s to HELLO", c->endpoint,
                         message_name(type));
    rc = welcome_decode(&welcome, frame, e);
    if (rc == 0 && version_choose(welcome.version, welcome.version) == 0)
        rc =
            error_set(e, ERR_BAD_VERSION, "the broker chose protocol version %u, not one of %d..%d",
                      welcome.version, PROTO_VERSION_MIN, PROTO_VERSION_MAX);
    c->connected = rc == 0;
    return rc;
}

static int shake_hands(struct quire_client *c, int timeout_ms, struct error *e) {
    static const char software[] = "quire " QUIRE_VERSION;
    struct msg_hello hello = {
        PROTO_VERSION_MIN, PROTO_VERSION_MAX, {(const uint8_t *)software, sizeof software - 1}};
    struct wire_buffer frame = {0};
    int64_t end = clock_ms() + timeout_ms;
    int rc = hello_encode(&hello, &frame);
    if (rc != 0)
        return error_set(e, rc, "memory ran out");
    rc = client_send(c, c->socket, &frame, e);
    if (rc != 0)
        return rc;
    do {
        int64_t left = end - clock_ms();
        rc = wire_recv_wait(c->socket, &c->incoming, left > 0 ? (int)left : 0, e);
        if (rc == 0)
            return read_welcome(c, wire_frame(&c->incoming, 0), e);
    } while (rc == WIRE_AGAIN && clock_ms() < end);
    if (rc == WIRE_AGAIN)
        rc = error_set(e, ERR_TIMEOUT, "no broker answers at %s; start one with `quire up`",
                       c->endpoint);
    return rc;
}

static int open_connection(struct quire_client *c, const char *endpoint, struct error *e) {
    int rc = find_endpoint(c, endpoint, e);
    if (rc != 0)
        return rc;
    c->context = zmq_ctx_new();
    if (c->context == NULL)
        return error_set(e, ERR_IO, "ZeroMQ can't start: %s", zmq_strerror(errno));
    rc = make_socket(c, &c->socket, e);
    if (rc == 0)
        rc = watch_connection(c, e); /* before it connects: else it may miss that it has */
    return rc == 0 ? connect_socket(c, c->socket, e) : rc;
}

/* timeout_ms below 0: nobody is waited for. */
static int open_client(struct quire_client **out, const char *endpoint, int timeout_ms,
                       struct quire_error *error) {
    struct error e = {0};
    *out = NULL;
    struct quire_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)error_set(&e, ERR_NOMEM, "memory ran out");
        return client_report(error, &e);
    }
    c->epoll = -1;
    wire_message_init(&c->incoming);
    int rc = open_connection(c, endpoint, &e);
    if (rc == 0 && timeout_ms >= 0)
        rc = shake_hands(c, timeout_ms, &e);
    if (rc != 0) {
        quire_close(c);
        return client_report(error, &e);
    }
    *out = c;
    return 0;
}

int quire_open(struct quire_client **out, const char *endpoint, int timeout_ms,
               struct quire_error *error) {
    return open_client(out, endpoint, timeout_ms > 0 ? timeout_ms : 0, error);
}

/* HELLO is a client's choice (SPEC.md, 3): that somebody is there is told by the monitor. */
int quire_open_later(struct quire_client **out, const char *endpoint, struct quire_error *error) {
    return open_client(out, endpoint, -1, error);
}

bool quire_connected(const struct quire_client *client) {
    return client->connected;
}

const char *quire_endpoint(const struct quire_client *client) {
    return client->endpoint;
}

int quire_fd(const struct quire_client *client) {
    return client->epoll;
}

/* ---- requests ---- */

static int draw_id(struct request_id *id, struct error *e) {
    if (getrandom(id->bytes, sizeof id->bytes, 0) != (ssize_t)sizeof id->bytes)
        return error_set(e, ERR_IO, "no random bytes: %s", strerror(errno));
    return 0;
}

static int send_request(struct quire_client *c, const struct quire_request *request,
                        struct request_id *id, struct error *e) {
    struct wire_message m;
    if (c->n_flights == CLIENT_IN_FLIGHT_MAX)
        return error_set(e, ERR_LIMIT, "a client may have %d requests at a time",
                         CLIENT_IN_FLIGHT_MAX);
    events_note_connection(c);
    if (!c->connected)
        return client_lost(c, e);
    int rc = draw_id(id, e);
    if (rc != 0)
        return rc;
    wire_message_init(&m);
    rc = request_to_wire(request, *id, &m, e);
    if (rc == 0)
        rc = wire_send(c->socket, &m, e);
    wire_message_close(&m);
    if (rc == WIRE_AGAIN)
        rc = error_set(e, ERR_BUSY, "the broker at %s takes no more messages now", c->endpoint);
    if (rc == 0)
        c->flights[c->n_flights++] = (struct flight){.id = *id};
    return rc;
}

int quire_send(struct quire_client *client, const struct quire_request *request,
               uint8_t id[QUIRE_ID_BYTES], struct quire_error *error) {
    struct error e = {0};
    struct request_id drawn;
    if (send_request(client, request, &drawn, &e) != 0)
        return client_report(error, &e);
    memcpy(id, drawn.bytes, QUIRE_ID_BYTES);
    return 0;
}

static int send_cancel(struct quire_client *c, const struct request_id *id) {
    struct wire_buffer frame = {0};
    int rc = cancel_encode(&(struct msg_cancel){*id}, &frame);
    return rc == 0 ? client_send(c, c->socket, &frame, NULL) : rc;
}

int quire_cancel(struct quire_client *client, const uint8_t id[QUIRE_ID_BYTES]) {
    struct request_id wanted;
    memcpy(wanted.bytes, id, sizeof wanted.bytes);
    return send_cancel(client, &wanted);
}

/* ---- leaving ---- */

static void close_socket(void *socket, int linger_ms) {
    if (socket == NULL)
        return;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    (void)zmq_close(socket);
}

void quire_close(struct quire_client *client) {
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->n_flights; i++)
        (void)send_cancel(client, &client->flights[i].id);
    events_release(client);
    if (client->epoll >= 0)
        (void)close(client->epoll);
    if (client->monitor != NULL)
        (void)zmq_socket_monitor(client->socket, NULL, 0);
    close_socket(client->monitor, 0);
    close_socket(client->ops_socket, 0);
    close_socket(client->socket, client->connected ? CLIENT_LINGER_MS : 0);
    if (client->context != NULL)
        while (zmq_ctx_term(client->context) != 0 && errno == EINTR)
            continue;
    free(client);
}
