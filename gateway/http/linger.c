/* linger.c - connections that only wait for their peer to notice the end. */
#include "gateway/http/linger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "gateway/http/inside.h"

#define READ_BYTES 65536
#define READS_AT_ONCE 16 /* of one connection, before others have their turn */

struct lingerer {
    struct watch watch;
    int fd; /* -1: free */
    int64_t until_ms;
};
struct lingering {
    struct server *server;
    struct lingerer all[LINGER_MAX];
};

int lingering_open(struct lingering **out, struct server *s) {
    struct lingering *l = calloc(1, sizeof *l);
    *out = l;
    if (l == NULL)
        return ERR_NOMEM;
    l->server = s;
    for (size_t i = 0; i < LINGER_MAX; i++)
        l->all[i] = (struct lingerer){.watch = {WATCH_LINGER}, .fd = -1};
    return 0;
}

static void end(struct lingerer *g) {
    (void)close(g->fd);
    g->fd = -1;
}

void lingering_close(struct lingering *l) {
    for (size_t i = 0; l && i < LINGER_MAX; i++)
        if (l->all[i].fd >= 0)
            end(&l->all[i]);
    free(l);
}

void linger_add(struct lingering *l, int fd) {
    struct lingerer *g = NULL;
    for (size_t i = 0; i < LINGER_MAX && g == NULL; i++)
        if (l->all[i].fd < 0)
            g = &l->all[i];
    (void)shutdown(fd, SHUT_WR);
    if (g == NULL) {
        (void)close(fd);
        return;
    }
    g->fd = fd;
    g->until_ms = clock_ms() + LINGER_MS;
    struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = g}};
    if (epoll_ctl(l->server->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
        end(g);
}

void linger_event(struct lingering *l, void *watch) {
    (void)l;
    static char nowhere[READ_BYTES]; /* one thread; nobody looks into it */
    struct lingerer *g = watch;
    for (int i = 0; i < READS_AT_ONCE; i++) {
        ssize_t n = recv(g->fd, nowhere, sizeof nowhere, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            end(g);
            return;
        }
        if (n < 0)
            return;
    }
}

void linger_tick(struct lingering *l, int64_t now_ms) {
    for (size_t i = 0; i < LINGER_MAX; i++)
        if (l->all[i].fd >= 0 && now_ms >= l->all[i].until_ms)
            end(&l->all[i]);
}

/* All statuses that this is called with. */
static const char *phrase(int status) {
    switch (status) {
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    default:
        return "Service Unavailable";
    }
}

void linger_write(int fd, const struct fault *f) {
    struct text body, all;
    char retry[48] = "";
    text_init(&body, 1 << 12);
    text_init(&all, 1 << 13);
    text_json(&body, json_pack("{s:{s:s, s:s, s:s}}", "error", "type", "invalid_request_error",
                               "code", error_name(f->code), "message", f->text));
    if (f->retry_ms)
        (void)snprintf(retry, sizeof retry, "Retry-After: %u\r\n", (f->retry_ms + 999) / 1000);
    text_print(&all,
               "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
               "Cache-Control: no-store\r\n%sContent-Length: %zu\r\n\r\n",
               f->status, phrase(f->status), retry, body.size);
    text_add(&all, body.data, body.size);
    /* A new socket's buffer holds this, or its peer does not get it. */
    (void)send(fd, all.data, all.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    text_close(&body);
    text_close(&all);
}

void linger_refuse(struct connection *c, const struct fault *f) {
    linger_write(c->fd, f);
    c->linger = true;
}
