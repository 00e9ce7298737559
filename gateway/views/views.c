/* views.c - the routes under /quire/, and what feeds live streams and tree: a listener to records
 * and one to snapshots. */
#include "gateway/views/views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "gateway/figures/figures.h"
#include "gateway/pool/observer.h"
#include "gateway/views/gather.h"
#include "gateway/views/live.h"
#include "gateway/views/own.h"
#include "gateway/views/tree.h"

#define MODELS_SHOWN 64

static void record_added(void *arg, const struct record *r) {
    struct views *v = arg;
    live_record(v->live, r);
    gather_add(v->gather, r);
}

static void snapshot_taken(void *arg) {
    struct views *v = arg;
    figures_observe(v->gateway->figures, observer_snapshot(v->gateway->observer));
    live_pool(v->live);
    gather_tick(v->gather);
}

int views_open(struct gateway *g, struct error *e) {
    struct views *v = g->views = calloc(1, sizeof *v);
    int rc = v == NULL ? ERR_NOMEM : 0;
    if (rc == 0) {
        v->gateway = g;
        rc = live_open(&v->live, g);
    }
    if (rc == 0)
        rc = tree_open(&v->tree);
    if (rc == 0)
        rc = gather_open(&v->gather, g->observer, v->tree);
    if (rc == 0 && figures_on_record(g->figures, record_added, v) != 0)
        rc = ERR_LIMIT;
    if (rc != 0) {
        views_close(g);
        return error_set(e, rc, "the views could not be made: %s", error_name(rc));
    }
    observer_on_snapshot(g->observer, snapshot_taken, v);
    g->stopping = views_stop;
    return 0;
}

void views_close(struct gateway *g) {
    struct views *v = g->views;
    if (v == NULL)
        return;
    observer_on_snapshot(g->observer, NULL, NULL);
    figures_off_record(g->figures, record_added, v);
    views_drop_asks(v);
    gather_close(v->gather);
    tree_close(v->tree);
    live_close(v->live);
    free(v);
    g->views = NULL;
    g->stopping = NULL;
}

void views_stop(struct gateway *g) {
    if (g->views != NULL)
        live_stop(g->views->live);
}

/* ---- answers ---- */

bool views_sees_all(struct exchange *x) {
    return exchange_gateway(x)->keys == NULL || exchange_caller(x)->admin;
}

void views_refuse(struct exchange *x, int status, int code, const char *text) {
    struct fault f;
    fault_set(&f, status, code, "", "%s", text);
    exchange_reply_fault(x, &f);
}

void views_reply(struct exchange *x, json_t *value) {
    if (value == NULL) {
        views_refuse(x, 500, ERR_NOMEM, "memory ran out");
        return;
    }
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_reply_json(x, 200, value);
}

/* ---- handlers ---- */

/* Who does not say who he is learns that keys are needed, and the version; not what is served. */
static void me(struct exchange *x) {
    struct gateway *g = exchange_gateway(x);
    const struct caller *caller = exchange_caller(x);
    json_t *models = json_array();
    const char *names[MODELS_SHOWN];
    size_t n =
        g->keys == NULL || caller->known ? observer_models(g->observer, names, MODELS_SHOWN) : 0;
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(models, json_string(names[i]));
    views_reply(x,
                json_pack("{sb sb ss ss sb so ss}", "keys", g->keys != NULL, "known",
                          (int)caller->known, "name", caller->key_name, "tenant", caller->tenant,
                          "admin", (int)caller->admin, "models", models, "version", QUIRE_VERSION));
}

static void watch(struct exchange *x) {
    live_add(exchange_gateway(x)->views->live, x);
}

/* Reads ?limit=N; false when it is not a number from 1 to FIGURES_RECORDS. */
static bool read_limit(struct exchange *x, size_t *limit) {
    const char *text = exchange_query(x, "limit");
    *limit = FIGURES_RECORDS;
    if (text == NULL)
        return true;
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n < 1 ||
        n > FIGURES_RECORDS)
        return false;
    *limit = n;
    return true;
}

static void requests(struct exchange *x) {
    struct figures *f = exchange_gateway(x)->figures;
    const struct caller *caller = exchange_caller(x);
    size_t limit;
    if (!read_limit(x, &limit)) {
        views_refuse(x, 400, ERR_BAD_REQUEST, "limit has to be a number from 1 to 256");
        return;
    }
    json_t *records = caller->admin
                          ? figures_records_all(f, limit)
                          : figures_records(f, views_sees_all(x) ? NULL : caller->tenant, limit);
    views_reply(x, json_pack("{so}", "requests", records));
}

static void tree(struct exchange *x) {
    const char *tenant = views_sees_all(x) ? NULL : exchange_caller(x)->tenant;
    views_reply(x, tree_json(exchange_gateway(x)->views->tree, tenant));
}

const struct route views_routes[] = {
    {"GET", "/quire/me", ROUTE_OPEN, me, NULL},
    {"GET", "/quire/live", ROUTE_KEY, watch, NULL},
    {"GET", "/quire/requests", ROUTE_KEY, requests, NULL},
    {"GET", "/quire/explain/*", ROUTE_KEY, views_explain, NULL},
    {"GET", "/quire/tree", ROUTE_KEY, tree, NULL},
    {"GET", "/quire/workers/*", ROUTE_ADMIN, views_worker_get, NULL},
    {"POST", "/quire/workers/*", ROUTE_ADMIN, views_worker_post, NULL},
    {"GET", "/metrics", ROUTE_OPEN, views_metrics, NULL},
    {"GET", "/healthz", ROUTE_OPEN, views_healthz, NULL},
    {"GET", "/readyz", ROUTE_OPEN, views_readyz, NULL},
    {NULL, NULL, ROUTE_OPEN, NULL, NULL},
};
