/* live.c - an event is made once for all who see the same, and handed to each one's exchange, which
 * bounds what waits for a slow reader.
 *
 * A watcher's rights are those of its key when it came. A key that was taken away or changed since
 * ends the stream; its owner has to ask again. */
#include "gateway/views/live.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/error.h"
#include "gateway/access/keys.h"
#include "gateway/http/server.h"
#include "gateway/text.h"
#include "gateway/views/pool_view.h"

struct watcher {
    struct exchange *x; /* NULL: a free place */
    struct caller caller;
    bool sees_all;
    bool ended; /* no more events; its place is free once gone was called */
};

struct live {
    struct gateway *gateway;
    struct watcher watchers[VIEWS_SUBSCRIBERS];
};

int live_open(struct live **out, struct gateway *g) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ERR_NOMEM;
    (*out)->gateway = g;
    return 0;
}

void live_close(struct live *l) {
    free(l);
}

static void gone(void *arg) {
    struct watcher *w = arg;
    memset(w, 0, sizeof *w);
}

static void end(struct watcher *w) {
    w->ended = true;
    exchange_end(w->x);
}

/* An event that memory or its bound cut is left out: the next one tells as much. */
static void push(struct watcher *w, const struct text *event) {
    if (w->x == NULL || w->ended || event->failed)
        return;
    if (exchange_push(w->x, event->data, event->size) != 0)
        w->ended = true;
}

/* Made anew for each kind of watcher that there is; *made has to be zeroed at first. */
static const struct text *pool_event(struct live *l, bool requests, struct text *made) {
    if (made->data != NULL)
        return made;
    struct pool_counts counts = {0};
    struct figures_http http = {0};
    if (l->gateway->pool != NULL)
        pool_counts(l->gateway->pool, &counts);
    if (l->gateway->server != NULL)
        server_figures(l->gateway->server, &http);
    json_t *percentiles = figures_percentiles(l->gateway->figures, clock_us());
    text_init(made, LIVE_EVENT_BYTES);
    text_event(made, "pool",
               pool_view(observer_snapshot(l->gateway->observer), percentiles, &counts, &http,
                         requests, (int64_t)time(NULL)));
    return made;
}

static bool key_still_holds(const struct live *l, const struct watcher *w) {
    const struct keys *keys = l->gateway->keys;
    if (keys == NULL || w->caller.key < 0)
        return keys == NULL;
    const struct key *key = keys_get(keys, w->caller.key);
    return key != NULL && strcmp(key->name, w->caller.key_name) == 0 &&
           strcmp(key->tenant, w->caller.tenant) == 0 && key->admin == w->caller.admin;
}

void live_add(struct live *l, struct exchange *x) {
    struct watcher *w = NULL;
    for (size_t i = 0; i < VIEWS_SUBSCRIBERS && w == NULL; i++)
        if (l->watchers[i].x == NULL)
            w = &l->watchers[i];
    if (w == NULL) {
        struct fault f;
        fault_set(&f, 503, ERR_LIMIT, "", "%d others are watching; try again later",
                  VIEWS_SUBSCRIBERS);
        f.retry_ms = 5000;
        exchange_reply_fault(x, &f);
        return;
    }
    w->x = x;
    w->caller = *exchange_caller(x);
    w->sees_all = l->gateway->keys == NULL || w->caller.admin;
    w->ended = false;
    exchange_begin(x, gone, w);
    struct text event = {0};
    push(w, pool_event(l, w->sees_all, &event));
    text_close(&event);
}

void live_pool(struct live *l) {
    struct text whole = {0}, bare = {0}; /* with and without the requests */
    for (size_t i = 0; i < VIEWS_SUBSCRIBERS; i++) {
        struct watcher *w = &l->watchers[i];
        if (w->x == NULL || w->ended)
            continue;
        if (!key_still_holds(l, w))
            end(w);
        else
            push(w, pool_event(l, w->sees_all, w->sees_all ? &whole : &bare));
    }
    text_close(&whole);
    text_close(&bare);
}

static void record_event(const struct record *r, bool tenant, struct text *made) {
    if (made->data != NULL)
        return;
    json_t *record = figures_record_json(r);
    if (tenant && record != NULL)
        (void)json_object_set_new(record, "tenant", json_string(r->tenant));
    text_init(made, LIVE_EVENT_BYTES);
    text_event(made, "request", record);
}

void live_record(struct live *l, const struct record *r) {
    struct text named = {0}, bare = {0}; /* with and without the tenant */
    for (size_t i = 0; i < VIEWS_SUBSCRIBERS; i++) {
        struct watcher *w = &l->watchers[i];
        if (w->x == NULL || w->ended || (!w->sees_all && strcmp(w->caller.tenant, r->tenant) != 0))
            continue;
        struct text *event = w->caller.admin ? &named : &bare;
        record_event(r, w->caller.admin, event);
        push(w, event);
    }
    text_close(&named);
    text_close(&bare);
}

void live_stop(struct live *l) {
    for (size_t i = 0; i < VIEWS_SUBSCRIBERS; i++)
        if (l->watchers[i].x != NULL && !l->watchers[i].ended)
            end(&l->watchers[i]);
}
