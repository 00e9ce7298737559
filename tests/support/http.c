/* http.c - HTTP by hand. */
#include "tests/support/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

#define ASK_BYTES 512 /* of a head made here */

static void nap(void) {
    nanosleep(&(struct timespec){0, 10000000}, NULL);
}

/* ---- the program ---- */

static void print_log(const struct http_gateway *g) {
    char *log = process_read_file(g->log);
    print_error("---- log of the gateway ----\n%s----------------------------\n", log ? log : "");
    free(log);
}

static int read_port(const struct http_gateway *g) {
    char *out = process_read_file(g->out);
    char *line = out ? strstr(out, "listens at http://") : NULL;
    char *end = line ? strchr(line, '\n') : NULL;
    int port = 0;
    if (end) {
        *end = '\0';
        port = atoi(strrchr(line, ':') + 1);
    }
    free(out);
    return port;
}

void http_gateway_open(struct http_gateway *g, const struct temp_dir *dir,
                       const char *const *flags) {
    memset(g, 0, sizeof *g);
    (void)snprintf(g->out, sizeof g->out, "%s/gateway.out", dir->path);
    (void)snprintf(g->log, sizeof g->log, "%s/gateway.log", dir->path);
    (void)unlink(g->out);
    (void)unlink(g->log);
    const char *argv[PROCESS_MAX_ARGUMENTS] = {QUIRE_BIN_DIR "/quire-gateway", "--http",
                                               "127.0.0.1:0"};
    for (size_t i = 0; flags && flags[i]; i++)
        argv[3 + i] = flags[i];
    setenv("QUIRE_CONFIG", "/dev/null", 1);
    process_start(&g->process, argv, g->out, g->log);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while ((g->port = read_port(g)) == 0) {
        if (clock_ms() > deadline) {
            print_log(g);
            fail_msg("the gateway does not listen");
        }
        nap();
    }
}

void http_gateway_close(struct http_gateway *g) {
    process_signal(&g->process, 15);
    int status = process_wait(&g->process, PROCESS_WAIT_MS);
    if (status != 0)
        print_log(g);
    process_kill(&g->process);
    assert_int_equal(status, 0); /* sanitizers speak here */
}

static size_t count(const char *text, const char *what) {
    size_t n = 0;
    for (const char *p = text; p && (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

void http_wait_log(const struct http_gateway *g, const char *text, size_t n) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        char *log = process_read_file(g->log);
        size_t found = count(log, text);
        free(log);
        if (found >= n)
            return;
        if (clock_ms() > deadline) {
            print_log(g);
            fail_msg("the log has \"%s\" %zu times, not %zu", text, found, n);
        }
        nap();
    }
}

double http_metric(const struct http_gateway *g, const char *name) {
    struct http_answer a;
    http_ask(g, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &a);
    double value = -1;
    size_t n = strlen(name);
    for (char *line = a.status == 200 ? a.body : NULL; line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, n) == 0 && line[n] == ' ')
            value = strtod(line + n, NULL);
    http_answer_close(&a);
    return value;
}

void http_wait_metric(const struct http_gateway *g, const char *name, double value) {
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    for (;;) {
        double now = http_metric(g, name);
        if (now >= value && now <= value)
            return;
        if (clock_ms() > deadline) {
            print_log(g);
            fail_msg("%s is %.17g, not %.17g", name, now, value);
        }
        nap();
    }
}

/* ---- sending ---- */

int http_connect(const struct http_gateway *g) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void http_send(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        p += n;
        bytes -= (size_t)n;
    }
}

void http_say(int fd, const char *text) {
    http_send(fd, text, strlen(text));
}

void http_post(int fd, const char *path, const char *headers, const char *body) {
    char head[ASK_BYTES + 4096];
    (void)snprintf(head, sizeof head,
                   "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n%s\r\n",
                   path, strlen(body), headers);
    http_say(fd, head);
    http_say(fd, body);
}

/* ---- reading ---- */

struct reader {
    int fd;
    char *data;
    size_t size;
    bool ended;
};

static void read_more(struct reader *r) {
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    if (poll(&p, 1, PROCESS_WAIT_MS) == 0)
        fail_msg("nothing comes; so far:\n%.*s", (int)(r->size > 2000 ? 2000 : r->size), r->data);
    assert_true(r->size < HTTP_ANSWER_BYTES);
    ssize_t n = recv(r->fd, r->data + r->size, HTTP_ANSWER_BYTES - r->size, 0);
    if (n > 0)
        r->size += (size_t)n;
    else
        r->ended = true;
    r->data[r->size] = '\0';
}

static struct reader open_reader(int fd) {
    struct reader r = {.fd = fd, .data = malloc(HTTP_ANSWER_BYTES + 1)};
    assert_non_null(r.data);
    r.data[0] = '\0';
    return r;
}

/* One byte at a time, so that nothing of a next answer is taken. */
static char *read_head(int fd, bool *closed) {
    char *head = calloc(1, 65536);
    assert_non_null(head);
    size_t n = 0;
    while (n < 65535) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, PROCESS_WAIT_MS) == 0)
            fail_msg("no answer comes; so far: %s", head);
        if (recv(fd, head + n, 1, 0) <= 0) {
            *closed = true;
            break;
        }
        n++;
        if (n >= 4 && memcmp(head + n - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    return head;
}

static size_t read_exactly(int fd, char *out, size_t bytes) {
    size_t have = 0;
    while (have < bytes) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, PROCESS_WAIT_MS) == 0)
            fail_msg("the answer does not go on after %zu of %zu bytes", have, bytes);
        ssize_t n = recv(fd, out + have, bytes - have, 0);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return have;
}

static void read_chunks(int fd, struct http_answer *a) {
    for (;;) {
        char line[32] = "";
        size_t n = 0;
        while (n < sizeof line - 1 && read_exactly(fd, line + n, 1) == 1 && line[n++] != '\n')
            ;
        if (n == 0) {
            a->closed = true;
            return;
        }
        char *end;
        size_t size = strtoul(line, &end, 16);
        assert_true(end != line && a->bytes + size < HTTP_ANSWER_BYTES);
        size_t got = read_exactly(fd, a->body + a->bytes, size);
        a->bytes += got;
        char crlf[2];
        if (got < size || read_exactly(fd, crlf, 2) < 2)
            return;
        if (size == 0) {
            a->whole = true;
            return;
        }
    }
}

void http_read(int fd, struct http_answer *a) {
    memset(a, 0, sizeof *a);
    char value[32];
    a->head = read_head(fd, &a->closed);
    a->body = malloc(HTTP_ANSWER_BYTES + 1);
    assert_non_null(a->body);
    if (sscanf(a->head, "HTTP/1.%*d %d", &a->status) != 1)
        a->status = 0;
    if (a->status == 0 || a->status == 204 || a->status == 100) {
        a->whole = a->status != 0;
    } else if (http_header(a, "Content-Length", value, sizeof value)) {
        size_t n = strtoul(value, NULL, 10);
        assert_true(n < HTTP_ANSWER_BYTES);
        a->bytes = read_exactly(fd, a->body, n);
        a->whole = a->bytes == n;
    } else if (http_header(a, "Transfer-Encoding", value, sizeof value)) {
        read_chunks(fd, a);
    } else {
        a->bytes = read_exactly(fd, a->body, HTTP_ANSWER_BYTES);
        a->closed = a->whole = true;
    }
    a->body[a->bytes] = '\0';
}

char *http_read_rest(int fd, size_t *bytes) {
    struct reader r = open_reader(fd);
    while (!r.ended)
        read_more(&r);
    *bytes = r.size;
    return r.data;
}

void http_answer_close(struct http_answer *a) {
    free(a->head);
    free(a->body);
    memset(a, 0, sizeof *a);
}

void http_ask(const struct http_gateway *g, const char *request, struct http_answer *a) {
    int fd = http_connect(g);
    http_say(fd, request);
    http_read(fd, a);
    close(fd);
}

bool http_header(const struct http_answer *a, const char *name, char *out, size_t capacity) {
    size_t n = strlen(name);
    for (const char *line = strchr(a->head, '\n'); line; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line + 1, name, n) != 0 || line[1 + n] != ':')
            continue;
        const char *value = line + 2 + n + strspn(line + 2 + n, " ");
        (void)snprintf(out, capacity, "%.*s", (int)strcspn(value, "\r\n"), value);
        return true;
    }
    return false;
}
