/* main.c - quire-gateway: settings, the parts in their order, then the loop. */
#include <sodium.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/log.h"
#include "gateway/access/keys.h"
#include "gateway/access/limits.h"
#include "gateway/figures/figures.h"
#include "gateway/gateway.h"
#include "gateway/http/routes.h"
#include "gateway/http/server.h"
#include "gateway/pool/observer.h"
#include "gateway/pool/pool.h"
#include "gateway/views/views.h"

static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warn("file-limit", "soft limit can't be raised to %llu",
                 (unsigned long long)limit.rlim_max);
}

static int open_parts(struct gateway *g, struct error *e) {
    const struct options *o = &g->options;
    int rc = o->keys ? keys_open(&g->keys, o->keys, e) : 0;
    if (rc == 0 && (limits_open(&g->limits) < 0 || figures_open(&g->figures) < 0))
        rc = error_set(e, ERR_NOMEM, "memory ran out");
    if (rc == 0)
        rc = pool_open(&g->pool, o->endpoint, (uint32_t)o->requests, e);
    if (rc == 0)
        rc = observer_open(&g->observer, o->endpoint, e);
    if (rc == 0)
        rc = views_open(g, e);
    if (rc == 0)
        rc = server_open(&g->server, g, e);
    return rc;
}

static void close_parts(struct gateway *g) {
    server_close(g->server);
    views_close(g);
    observer_close(g->observer);
    pool_close(g->pool);
    figures_close(g->figures);
    limits_close(g->limits);
    keys_close(g->keys);
}

static int serve(struct gateway *g, struct error *e) {
    int rc = open_parts(g, e);
    if (rc == 0) {
        printf("quire-gateway listens at %s\n", server_address(g->server));
        (void)fflush(stdout);
        rc = server_run(g->server, e);
    }
    close_parts(g);
    return rc;
}

static int set_log(const struct options *o, struct error *e) {
    enum log_level level;
    if (log_parse_level(o->log_level, &level) < 0)
        return error_set(e, ERR_USAGE, "log-level \"%s\" is not debug, info, warn, error or off",
                         o->log_level);
    log_set_level(level);
    log_set_json(o->log_json);
    return 0;
}

int main(int argc, char **argv) {
    struct gateway g = {.routes = routes_all};
    struct error e = {0};
    int rc = sodium_init() < 0 ? error_set(&e, ERR_INTERNAL, "libsodium did not start") : 0;
    if (rc == 0)
        rc = options_load(&g.options, argc, argv, &e);
    if (rc == 0 && !g.options.exit_now && g.options.new_key) {
        rc = keys_print_new(g.options.new_key, &e);
    } else if (rc == 0 && !g.options.exit_now) {
        rc = set_log(&g.options, &e);
        if (rc == 0) {
            (void)umask(0077);
            raise_file_limit();
            rc = serve(&g, &e);
        }
    }
    if (rc != 0)
        fprintf(stderr, "quire-gateway: %s\n", e.text);
    options_close(&g.options);
    return error_exit_code(rc);
}
