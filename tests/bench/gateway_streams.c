/* gateway_streams.c - many streams over HTTP, read by one thread with as little work as can be:
 * what is measured is the gateway, not this. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"
#include "tests/bench/gateway_load.h"

#define READ_BYTES 65536
#define EVENTS 256

static const char token_mark[] = "\"content\":\" token\"";
static const char end_mark[] = "data: [DONE]";

struct stream {
    int fd;
    char kept[32];
    size_t n_kept;
};

struct streams {
    int epoll;
    struct stream *all;
    uint32_t n;
    struct streams_totals totals;
};

int streams_connect(const char *host, uint16_t port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && inet_pton(AF_INET, host, &at.sin_addr) == 1);
    MUST(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0);
    return fd;
}

static void send_request(int fd, const char *host, uint32_t tokens) {
    char body[256], all[512];
    int bytes =
        snprintf(body, sizeof body,
                 "{\"model\":\"\",\"stream\":true,\"max_tokens\":%u,\"messages\":[{\"role\":"
                 "\"user\",\"content\":\"Go on.\"}]}",
                 tokens);
    int n = snprintf(all, sizeof all,
                     "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: "
                     "application/json\r\nContent-Length: %d\r\n\r\n%s",
                     host, bytes, body);
    MUST(write(fd, all, (size_t)n) == n);
}

struct streams *streams_open(const char *host, uint16_t port, uint32_t n, uint32_t tokens,
                             bool read_them) {
    struct streams *s = calloc(1, sizeof *s);
    MUST(s != NULL && (s->all = calloc(n, sizeof *s->all)) != NULL);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    MUST(s->epoll >= 0);
    s->n = s->totals.open = n;
    for (uint32_t i = 0; i < n; i++) {
        struct epoll_event event = {.events = read_them ? EPOLLIN : 0, .data.u32 = i};
        s->all[i].fd = streams_connect(host, port);
        if (!read_them) {
            int room = 4096;
            MUST(setsockopt(s->all[i].fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) == 0);
        }
        send_request(s->all[i].fd, host, tokens);
        MUST(epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->all[i].fd, &event) == 0);
    }
    return s;
}

static uint64_t count_marks(const char *data, size_t bytes, const char *mark, size_t mark_bytes) {
    uint64_t n = 0;
    const char *end = data + bytes, *at = data;
    while ((at = memmem(at, (size_t)(end - at), mark, mark_bytes)) != NULL) {
        n++;
        at += mark_bytes;
    }
    return n;
}

static void end_stream(struct streams *s, struct stream *stream, bool good) {
    (void)close(stream->fd);
    stream->fd = -1;
    s->totals.open--;
    if (good)
        s->totals.ended++;
    else
        s->totals.failed++;
}

/* Marks that lie in what was kept of the read before have been counted then. */
static void read_stream(struct streams *s, struct stream *stream) {
    static char buffer[sizeof stream->kept + READ_BYTES];
    size_t before = stream->n_kept;
    memcpy(buffer, stream->kept, before);
    ssize_t n = read(stream->fd, buffer + before, READ_BYTES);
    if (n <= 0) {
        if (n == 0 || (errno != EINTR && errno != EAGAIN))
            end_stream(s, stream, false);
        return;
    }
    size_t all = before + (size_t)n, mark = sizeof token_mark - 1;
    s->totals.bytes += (uint64_t)n;
    s->totals.tokens += count_marks(buffer, all, token_mark, mark);
    if (memmem(buffer, all, end_mark, sizeof end_mark - 1) != NULL) {
        end_stream(s, stream, true);
        return;
    }
    stream->n_kept = all < mark - 1 ? all : mark - 1;
    memcpy(stream->kept, buffer + all - stream->n_kept, stream->n_kept);
}

void streams_read(struct streams *s, int64_t microseconds, struct streams_totals *out) {
    struct epoll_event events[EVENTS];
    int64_t end_us = clock_us() + microseconds;
    while (s->totals.open > 0 && clock_us() < end_us) {
        int n = epoll_wait(s->epoll, events, EVENTS, 10);
        for (int i = 0; i < n; i++) {
            struct stream *stream = &s->all[events[i].data.u32];
            if (stream->fd < 0)
                continue;
            if (events[i].events & EPOLLIN)
                read_stream(s, stream);
            else
                end_stream(s, stream, false);
        }
    }
    *out = s->totals;
}

void streams_close(struct streams *s) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->all[i].fd >= 0)
            (void)close(s->all[i].fd);
    (void)close(s->epoll);
    free(s->all);
    free(s);
}

int64_t streams_first_token_us(int fd, const char *host) {
    static char buffer[READ_BYTES];
    size_t have = 0;
    int64_t begin_us = clock_us(), first_us = 0;
    send_request(fd, host, 1);
    while (memmem(buffer, have, end_mark, sizeof end_mark - 1) == NULL ||
           memcmp(buffer + have - 5, "0\r\n\r\n", 5) != 0) {
        MUST(have < sizeof buffer);
        ssize_t n = read(fd, buffer + have, sizeof buffer - have);
        MUST(n > 0);
        have += (size_t)n;
        if (first_us == 0 && memmem(buffer, have, token_mark, sizeof token_mark - 1) != NULL)
            first_us = clock_us();
    }
    return first_us - begin_us;
}

double streams_metric(const char *host, uint16_t port, const char *series) {
    static char page[1 << 20];
    char request[128], line[128];
    size_t have = 0;
    ssize_t n;
    int fd = streams_connect(host, port);
    int bytes = snprintf(request, sizeof request,
                         "GET /metrics HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host);
    MUST(write(fd, request, (size_t)bytes) == bytes);
    while (have < sizeof page - 1 && (n = read(fd, page + have, sizeof page - 1 - have)) > 0)
        have += (size_t)n;
    (void)close(fd);
    page[have] = '\0';
    (void)snprintf(line, sizeof line, "\n%s ", series);
    const char *at = strstr(page, line);
    return at != NULL ? strtod(at + strlen(line), NULL) : -1;
}
