/* route.c - which route a method and a path lead to. */
#include <stdio.h>
#include <string.h>

#include "gateway/http/inside.h"

static bool fits(const struct route *r, const char *path, const char **tail) {
    size_t n = strlen(r->path);
    if (n > 0 && r->path[n - 1] == '*') {
        if (strncmp(path, r->path, n - 1) != 0)
            return false;
        *tail = path + n - 1;
        return true;
    }
    *tail = "";
    return strcmp(path, r->path) == 0;
}

static void allow_method(char allow[32], const char *method) {
    const char *shown = strcmp(method, "GET") == 0 ? "GET, HEAD" : method;
    size_t n = strlen(allow);
    if (strstr(allow, shown) == NULL)
        (void)snprintf(allow + n, 32 - n, "%s%s", n ? ", " : "", shown);
}

const struct route *route_find(const struct gateway *g, const char *method, const char *path,
                               const char **tail, char allow[32], struct fault *fault) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    allow[0] = '\0';
    for (const struct route *const *table = g->routes; *table; table++)
        for (const struct route *r = *table; r->method; r++) {
            if (!fits(r, path, tail))
                continue;
            if (strcmp(r->method, wanted) == 0)
                return r;
            allow_method(allow, r->method);
        }
    *tail = "";
    if (allow[0])
        fault_set(fault, 405, ERR_BAD_REQUEST, "", "this path knows %s", allow);
    else
        fault_set(fault, 404, ERR_NOT_FOUND, "", "there is no such path");
    return NULL;
}
