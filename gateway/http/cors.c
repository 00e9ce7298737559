/* cors.c - which pages may read our answers. Keys travel in headers that a page must set by itself,
 * never in cookies, so no answer needs to allow credentials. */
#include "gateway/http/cors.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/http/inside.h"

struct cors {
    char *list; /* words, each ended by a NUL; an empty one ends them */
    bool any;
};

int cors_open(struct cors **out, const char *list, struct error *e) {
    *out = NULL;
    struct cors *c = calloc(1, sizeof *c);
    size_t n = list ? strlen(list) : 0;
    if (c)
        c->list = calloc(1, n + 2);
    if (c == NULL || c->list == NULL) {
        free(c);
        return error_set(e, ERR_NOMEM, "memory ran out");
    }
    char *p = c->list;
    for (size_t i = 0; i < n; i++)
        if (list[i] != ',' && list[i] != ' ')
            *p++ = list[i];
        else if (p > c->list && p[-1])
            p++;
    c->any = list && strcmp(list, "*") == 0;
    *out = c;
    return 0;
}

void cors_close(struct cors *c) {
    if (c)
        free(c->list);
    free(c);
}

static bool allows(const struct cors *c, const char *origin) {
    if (c->any)
        return true;
    for (const char *p = c->list; *p; p += strlen(p) + 1)
        if (strcmp(p, origin) == 0)
            return true;
    return false;
}

void cors_headers(const struct cors *c, const char *origin, struct MHD_Response *r) {
    if (c->list[0] == '\0')
        return;
    (void)MHD_add_response_header(r, "Vary", "Origin");
    if (origin == NULL || !allows(c, origin))
        return;
    (void)MHD_add_response_header(r, "Access-Control-Allow-Origin", c->any ? "*" : origin);
    (void)MHD_add_response_header(r, "Access-Control-Expose-Headers",
                                  "X-Request-Id, Request-Id, Retry-After, Retry-After-Ms, "
                                  "Idempotent-Replayed, traceparent");
}

/* Header names only, as a page asks for them. */
static bool is_list(const char *s) {
    for (; *s; s++)
        if (!((*s >= '0' && *s <= '9') || ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z') || *s == '-' ||
              *s == '_' || *s == ',' || *s == ' '))
            return false;
    return true;
}

static void answer_options(struct exchange *x) {
    const struct cors *c = x->server->cors;
    const char *origin = exchange_header(x, "Origin");
    const char *headers = exchange_header(x, "Access-Control-Request-Headers");
    if (origin && c->list[0] && allows(c, origin)) {
        exchange_add_header(x, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        exchange_add_header(x, "Access-Control-Max-Age", "600");
        if (headers && is_list(headers))
            exchange_add_header(x, "Access-Control-Allow-Headers", headers);
    } else {
        exchange_add_header(x, "Allow", "GET, HEAD, POST, OPTIONS");
    }
    exchange_reply(x, 204, NULL, "", 0);
}

const struct route cors_route = {"OPTIONS", "*", ROUTE_OPEN, answer_options, NULL};
