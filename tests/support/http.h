/* http.h - the gateway as a real program, and HTTP by hand: what is sent is sent byte for byte. */
#ifndef QUIRE_TESTS_SUPPORT_HTTP_H
#define QUIRE_TESTS_SUPPORT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/support/process.h"
#include "tests/support/temp.h"

#define HTTP_ANSWER_BYTES ((size_t)8 << 20)

struct http_gateway {
    struct process process;
    int port;
    char out[TEMP_PATH_BYTES + 32], log[TEMP_PATH_BYTES + 32];
};
/* Starts it on a free port with these flags (NULL ends them) and waits until it listens. Its files
 * lie in dir; a gateway that does not come up fails the test. */
void http_gateway_open(struct http_gateway *g, const struct temp_dir *dir,
                       const char *const *flags);
void http_gateway_close(struct http_gateway *g);
/* Waits until its log has a line with this text, at least n times. */
void http_wait_log(const struct http_gateway *g, const char *text, size_t n);
/* The value of a line of /metrics that begins with this name, -1 without one or an answer. */
double http_metric(const struct http_gateway *g, const char *name);
/* Waits until the line's value is this. */
void http_wait_metric(const struct http_gateway *g, const char *name, double value);

int http_connect(const struct http_gateway *g);
/* All of it, or as much as the peer takes. */
void http_send(int fd, const void *data, size_t bytes);
void http_say(int fd, const char *text);
/* POST with a JSON body; headers: more lines, each with its CR LF, or "". */
void http_post(int fd, const char *path, const char *headers, const char *body);

struct http_answer {
    int status;   /* 0: none came */
    char *head;   /* from the status line on; ends with the blank line */
    char *body;   /* NUL-terminated, without chunks' frames */
    size_t bytes; /* of the body */
    bool whole;   /* all that was promised came */
    bool closed;  /* and the connection ended with it */
};
/* Reads one answer; http_answer_close is due. The test fails when nothing comes for
 * PROCESS_WAIT_MS.
 */
void http_read(int fd, struct http_answer *a);
/* Reads the rest of the connection as it is, until its end; the caller frees. */
char *http_read_rest(int fd, size_t *bytes);
void http_answer_close(struct http_answer *a);
/* Connects, sends, reads one answer, closes. */
void http_ask(const struct http_gateway *g, const char *request, struct http_answer *a);
/* The value of a header in the head, copied to out; false without it. */
bool http_header(const struct http_answer *a, const char *name, char *out, size_t capacity);

#endif
