/* gate.c - what is checked of a request before its body is taken: that its head can be trusted,
 * that it is meant for us, that there is such a path, and that this caller may ask it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/access/keys.h"
#include "gateway/http/cors.h"
#include "gateway/http/inside.h"

/* The name in "name:port" or "[address]:port". */
static void host_name(const char *host, char out[256]) {
    if (host[0] == '[')
        (void)snprintf(out, 256, "%.*s", (int)strcspn(host + 1, "]"), host + 1);
    else
        (void)snprintf(out, 256, "%.*s", (int)strcspn(host, ":"), host);
}

/* Without keys everybody on this machine may ask, so a page from elsewhere that is open in a
 * browser here must not get in by a name that was pointed at us afterwards. */
static bool host_is_ours(const struct exchange *x) {
    char name[256];
    if (x->head.host[0] == '\0')
        return true;
    host_name(x->head.host, name);
    return strcasecmp(name, "localhost") == 0 || strcmp(name, x->server->bound) == 0 ||
           proxies_is_loopback(name);
}

static int check_host(struct exchange *x) {
    x->caller.local = x->caller.local && host_is_ours(x);
    if (x->server->gateway->keys || host_is_ours(x))
        return 0;
    return fault_set(&x->fault, 403, ERR_BAD_REQUEST, "",
                     "this gateway has no keys, so it answers only to localhost, not to \"%.200s\"",
                     x->head.host);
}

/* Some proxies add a line of their own after the caller's, so only the last one is to be believed.
 */
static enum MHD_Result take_forwarded(void *last, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    (void)kind;
    if (strcasecmp(name, "X-Forwarded-For") == 0)
        *(const char **)last = value ? value : "";
    return MHD_YES;
}

static void find_client(struct exchange *x) {
    const struct server *s = x->server;
    const struct sockaddr_storage *peer = &x->connection->peer;
    const char *forwarded = NULL;
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, take_forwarded, &forwarded);
    proxies_client(s->proxies, peer, forwarded, x->client);
    x->caller.local = proxies_loopback(peer) && forwarded == NULL &&
                      exchange_header(x, "Forwarded") == NULL &&
                      exchange_header(x, "X-Real-IP") == NULL && exchange_header(x, "Via") == NULL;
}

static void find_caller(struct exchange *x) {
    const struct keys *keys = x->server->gateway->keys;
    struct caller *c = &x->caller;
    if (keys == NULL)
        return;
    const char *given =
        keys_from_headers(exchange_header(x, "Authorization"), exchange_header(x, "x-api-key"),
                          exchange_header(x, "api-key"));
    c->key = given ? keys_find(keys, given) : -1;
    if (c->key < 0)
        return;
    const struct key *key = keys_get(keys, c->key);
    (void)snprintf(c->tenant, sizeof c->tenant, "%s", key->tenant);
    (void)snprintf(c->key_name, sizeof c->key_name, "%s", key->name);
    c->known = true;
    c->admin = key->admin;
    c->priority = key->priority;
}

static int check_access(struct exchange *x) {
    enum route_access access = x->route->access;
    bool keys = x->server->gateway->keys != NULL;
    if (access == ROUTE_OPEN || (access == ROUTE_KEY && !keys))
        return 0;
    if (!keys)
        return fault_set(&x->fault, 403, ERR_UNSUPPORTED, "",
                         "this needs an admin's key, and the gateway has no key file");
    if (!x->caller.known) {
        exchange_add_header(x, "WWW-Authenticate", "Bearer");
        return fault_set(
            &x->fault, 401, ERR_BAD_REQUEST, "",
            "give a valid key, as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"");
    }
    if (access == ROUTE_ADMIN && !x->caller.admin)
        return fault_set(&x->fault, 403, ERR_BAD_REQUEST, "", "this needs an admin's key");
    return 0;
}

static int check_body(struct exchange *x) {
    const struct options *o = &x->server->gateway->options;
    uint64_t max = x->route->dialect ? (uint64_t)o->body_bytes : HANDLER_BODY_BYTES;
    if (!x->head.chunked && x->head.declared > max)
        return fault_set(&x->fault, 413, ERR_LIMIT, "", "the body is larger than %llu bytes",
                         (unsigned long long)max);
    if (x->route->dialect == NULL)
        return 0;
    const char *type = exchange_header(x, "Content-Type");
    size_t n = type ? strcspn(type, "; \t") : 0;
    if (n != 16 || strncasecmp(type, "application/json", 16) != 0)
        return fault_set(&x->fault, 415, ERR_BAD_REQUEST, "",
                         "send JSON, with \"Content-Type: application/json\"");
    const char *coding = exchange_header(x, "Content-Encoding");
    if (coding && strcasecmp(coding, "identity") != 0)
        return fault_set(&x->fault, 415, ERR_UNSUPPORTED, "",
                         "bodies with a Content-Encoding are not taken; send it as it is");
    return 0;
}

static int check_head(struct exchange *x) {
    struct fault target = x->fault;
    if (head_check(x->mhd, &x->head, &x->fault) < 0)
        return -1;
    if (target.status != 0) {
        x->fault = target;
        return -1;
    }
    if (x->target.host && strcasecmp(x->target.host, x->head.host) != 0)
        return fault_set(&x->fault, 400, ERR_BAD_REQUEST, "",
                         "the target and Host name different hosts");
    if (strcmp(x->target.path, "*") == 0 && strcmp(x->method, "OPTIONS") != 0)
        return fault_set(&x->fault, 400, ERR_BAD_REQUEST, "", "only OPTIONS has the target *");
    return 0;
}

static int find_route(struct exchange *x) {
    char allow[32];
    if (strcmp(x->method, "OPTIONS") == 0) {
        x->route = &cors_route;
        return 0;
    }
    x->route =
        route_find(x->server->gateway, x->method, x->target.path, &x->tail, allow, &x->fault);
    if (x->route == NULL && allow[0])
        exchange_add_header(x, "Allow", allow);
    if (x->route == NULL)
        return -1;
    /* A tail lies in the target's own text, so that it can be decoded where it is. */
    if (x->tail[0] && target_decode((char *)(uintptr_t)x->tail, 0) < 0)
        return fault_set(&x->fault, 400, ERR_BAD_REQUEST, "", "the path has a bad %% sequence");
    return 0;
}

int gate_check(struct exchange *x) {
    find_client(x);
    if (check_head(x) < 0) {
        x->close_after = true;
        return -1;
    }
    /* Where a body in chunks ends is MHD's word alone, so nothing after it is believed. */
    x->close_after = x->head.chunked;
    (void)trace_take(&x->trace, exchange_header(x, "traceparent"));
    if (x->server->stopping)
        return fault_set(&x->fault, 503, ERR_SHUTTING_DOWN, "", "the gateway is shutting down");
    if (check_host(x) < 0 || find_route(x) < 0)
        return -1;
    find_caller(x);
    return check_access(x) == 0 ? check_body(x) : -1;
}
