/* listen.c - the listening socket, and what becomes of connections that are too many.
 *
 * One descriptor is kept in reserve: when there is none left, it is given up for a moment, so that
 * a connection can be taken, told so, and closed. Else it would stay in the backlog, and the loop
 * would be told of it again and again. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/http/inside.h"
#include "gateway/http/linger.h"

#define ACCEPTS_AT_ONCE 64
#define NOTE_EVERY_MS 5000
#define SEND_BYTES (256 << 10) /* of an answer in the kernel, for each connection */
#define RETRY_MS 2000
#define OTHER_DESCRIPTORS                                                                          \
    96 /* for the broker's sockets, files, and what else is not a connection */

/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080" */
static int find_address(const char *where, struct addrinfo **out, struct error *e) {
    char host[256];
    const char *colon = strrchr(where, ':');
    if (colon == NULL || colon - where >= (ptrdiff_t)sizeof host)
        return error_set(e, ERR_USAGE, "http: \"%s\" is not ADDRESS:PORT", where);
    size_t n = (size_t)(colon - where);
    bool brackets = n >= 2 && where[0] == '[' && where[n - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(brackets ? n - 2 : n), where + brackets);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int rc = n == 0 || (!brackets && strchr(host, ':')) ? EAI_NONAME
                                                        : getaddrinfo(host, colon + 1, &hints, out);
    return rc == 0 ? 0 : error_set(e, ERR_USAGE, "http: \"%s\": %s", where, gai_strerror(rc));
}

static int check_address(struct server *s, const struct addrinfo *a, struct error *e) {
    struct sockaddr_storage where = {0};
    memcpy(&where, a->ai_addr, a->ai_addrlen);
    if (s->gateway->keys || proxies_loopback(&where))
        return 0;
    return error_set(e, ERR_USAGE,
                     "http: %s is no loopback address; everybody who reaches it could ask, so it "
                     "needs a key file (--keys)",
                     s->gateway->options.http);
}

static int bind_to(struct server *s, const struct addrinfo *a, struct error *e) {
    int on = 1;
    s->listener = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0)
        return error_set(e, ERR_IO, "http: %s", strerror(errno));
    (void)setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Connections inherit it. Else the kernel would keep megabytes for a reader who does not read.
     */
    (void)setsockopt(s->listener, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BYTES}, sizeof(int));
    if (bind(s->listener, a->ai_addr, a->ai_addrlen) != 0 || listen(s->listener, 1024) != 0)
        return error_set(e, ERR_IO, "http: %s: %s", s->gateway->options.http, strerror(errno));
    return 0;
}

static void write_address(struct server *s) {
    struct sockaddr_storage real;
    socklen_t bytes = sizeof real;
    (void)getsockname(s->listener, (struct sockaddr *)&real, &bytes);
    bool six = real.ss_family == AF_INET6;
    unsigned port = ntohs(six ? ((struct sockaddr_in6 *)&real)->sin6_port
                              : ((struct sockaddr_in *)&real)->sin_port);
    proxies_text(&real, s->bound);
    (void)snprintf(s->address, sizeof s->address, six ? "http://[%s]:%u" : "http://%s:%u", s->bound,
                   port);
}

/* No more connections than there are descriptors for, so that the broker can always be reached. */
static void bound_connections(struct server *s) {
    struct rlimit limit;
    uint64_t wanted = (uint64_t)s->gateway->options.connections, room = wanted;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        room = limit.rlim_cur > 2 * (OTHER_DESCRIPTORS + LINGER_MAX)
                   ? limit.rlim_cur - OTHER_DESCRIPTORS - LINGER_MAX
                   : limit.rlim_cur / 2;
    s->connections_max = (uint32_t)(room < wanted ? room : wanted);
    if (room < wanted)
        log_warn("fewer-connections", "connections=%u wanted=%llu raise the limit on open files",
                 s->connections_max, (unsigned long long)wanted);
}

int listen_open(struct server *s, const char *where, struct error *e) {
    bound_connections(s);
    struct addrinfo *found = NULL;
    int rc = find_address(where, &found, e);
    if (rc == 0)
        rc = check_address(s, found, e);
    if (rc == 0)
        rc = bind_to(s, found, e);
    if (rc == 0)
        write_address(s);
    if (found)
        freeaddrinfo(found);
    s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return rc;
}

void listen_pause(struct server *s, bool on) {
    if (s->paused == on || s->listener < 0)
        return;
    s->paused = on;
    struct epoll_event e = {.events = on ? 0 : EPOLLIN, .data = {.ptr = &s->watch_listener}};
    (void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->listener, &e);
}

static void note(struct server *s, const char *why) {
    int64_t now_ms = clock_ms();
    if (s->noted_ms != 0 && now_ms - s->noted_ms < NOTE_EVERY_MS)
        return;
    s->noted_ms = now_ms;
    log_warn("connections-refused", "%s", why);
}

/* Too many connections; this one is told so. */
static void refuse(struct server *s, int fd) {
    struct fault f;
    fault_set(&f, 503, ERR_BUSY, "", "there are too many connections; try again");
    f.retry_ms = RETRY_MS;
    linger_write(fd, &f);
    linger_add(s->lingering, fd);
    note(s, "there are as many as --connections allows");
}

static void refuse_without_descriptor(struct server *s) {
    note(s, "no descriptor is left; raise the limit on open files");
    if (s->reserve >= 0)
        (void)close(s->reserve);
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct fault f;
    fault_set(&f, 503, ERR_BUSY, "", "there are too many connections; try again");
    f.retry_ms = RETRY_MS;
    if (fd >= 0) {
        linger_write(fd, &f);
        (void)close(fd);
    } else {
        listen_pause(s, true); /* until a connection ends, or the next tick */
    }
    s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* False: there is no more to be taken now. */
static bool accept_one(struct server *s) {
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof peer;
    int fd = accept4(s->listener, (struct sockaddr *)&peer, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        refuse_without_descriptor(s);
        return !s->paused;
    }
    if (fd < 0 && (errno == ENOMEM || errno == ENOBUFS))
        listen_pause(s, true);
    if (fd < 0)
        return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
    if (s->figures.connections >= s->connections_max)
        refuse(s, fd);
    else if (MHD_add_connection(s->daemon, fd, (struct sockaddr *)&peer, bytes) != MHD_YES)
        note(s, "libmicrohttpd did not take it"); /* and has closed it */
    return true;
}

void listen_accept(struct server *s) {
    for (int i = 0; i < ACCEPTS_AT_ONCE && accept_one(s); i++)
        ;
}
