/* target.c - targets, cut in place.
 *
 * A path is compared as it was sent: no %XX, no "..", no doubled slash means anything before a
 * route is found, so that a proxy and we can't read two things from one path. */
#include "gateway/http/target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int target_decode(char *text, int plus) {
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in == '%') {
            int high = digit(in[1]), low = high < 0 ? -1 : digit(in[2]);
            if (low < 0 || (high == 0 && low == 0))
                return -1;
            *out++ = (char)(high * 16 + low);
            in += 2;
        } else {
            *out++ = plus && *in == '+' ? ' ' : *in;
        }
    }
    *out = '\0';
    return 0;
}

static int read_query(struct target *t, char *query, struct fault *f) {
    char *rest = NULL;
    for (char *p = strtok_r(query, "&", &rest); p; p = strtok_r(NULL, "&", &rest)) {
        if (t->n_query == TARGET_PARAMETERS)
            return fault_set(f, 400, ERR_BAD_REQUEST, "", "the query has more than %d parameters",
                             TARGET_PARAMETERS);
        char *value = strchr(p, '=');
        if (value)
            *value++ = '\0';
        if (target_decode(p, 1) < 0 || (value && target_decode(value, 1) < 0))
            return fault_set(f, 400, ERR_BAD_REQUEST, "", "the query has a bad %% sequence");
        t->query[t->n_query].name = p;
        t->query[t->n_query++].value = value ? value : "";
    }
    return 0;
}

int target_read(struct target *t, const char *text, struct fault *f) {
    *t = (struct target){.path = ""};
    size_t bytes = strlen(text);
    if (bytes > TARGET_BYTES)
        return fault_set(f, 414, ERR_LIMIT, "", "the target is longer than %d bytes", TARGET_BYTES);
    for (const char *p = text; *p; p++)
        if (*p <= 0x20 || *p == 0x7f || *p == '#' || *p == '\\' || (*p & 0x80))
            return fault_set(f, 400, ERR_BAD_REQUEST, "",
                             "the target has a byte that may not be there");
    t->text = strdup(text);
    if (t->text == NULL)
        return fault_set(f, 503, ERR_NOMEM, "", "memory ran out");
    char *path = t->text;
    if (strncasecmp(path, "http://", 7) == 0) {
        /* One byte to the left, so that the authority can be ended before the path's slash. */
        char *end = path + 7 + strcspn(path + 7, "/?");
        memmove(path, path + 7, (size_t)(end - path - 7));
        path[end - path - 7] = '\0';
        t->host = path;
        path = end;
        if (*path != '/')
            return fault_set(f, 400, ERR_BAD_REQUEST, "", "the target has no path");
    }
    if (*path != '/' && strcmp(path, "*") != 0)
        return fault_set(f, 400, ERR_BAD_REQUEST, "", "the target is not a path");
    t->path = path;
    char *query = strchr(path, '?');
    if (query == NULL)
        return 0;
    *query = '\0';
    return read_query(t, query + 1, f);
}

void target_close(struct target *t) {
    free(t->text);
    *t = (struct target){.path = ""};
}
