/* health.c - what machines ask: is the program there, can it answer, what are its figures. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "gateway/figures/exposition.h"
#include "gateway/figures/figures.h"
#include "gateway/http/server.h"
#include "gateway/text.h"
#include "gateway/views/own.h"

#define METRICS_BYTES ((size_t)4 << 20) /* room for the pool's largest number of workers */
#define STALE_MS 10000                  /* a snapshot that old says nothing about now */

static void reply_plain(struct exchange *x, int status, const char *text) {
    char line[600];
    int n = snprintf(line, sizeof line, "%s\n", text);
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_reply(x, status, "text/plain; charset=utf-8", line,
                   n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

void views_healthz(struct exchange *x) {
    reply_plain(x, 200, "ok");
}

/* Why a request would not be answered now; NULL when it would. */
static const char *why_not_ready(const struct snapshot *s) {
    if (s->taken_ms == 0)
        return "the broker has not been asked yet";
    if (!s->connected)
        return s->trouble[0] != '\0' ? s->trouble : "the broker does not answer";
    if (clock_ms() - s->taken_ms > STALE_MS)
        return "the broker has not answered for a while";
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i].state == QUIRE_WORKER_UP)
            return NULL;
    return "no worker is up";
}

void views_readyz(struct exchange *x) {
    const char *why = why_not_ready(observer_snapshot(exchange_gateway(x)->observer));
    reply_plain(x, why == NULL ? 200 : 503, why == NULL ? "ok" : why);
}

void views_metrics(struct exchange *x) {
    struct gateway *g = exchange_gateway(x);
    const struct caller *caller = exchange_caller(x);
    if (!caller->admin && !caller->local && !g->options.metrics_open) {
        if (!caller->known)
            exchange_add_header(x, "WWW-Authenticate", "Bearer");
        views_refuse(x, caller->known ? 403 : 401, ERR_BAD_REQUEST,
                     "figures are for admins' keys and for this machine; --metrics-open lets "
                     "everybody see them");
        return;
    }
    struct pool_counts counts = {0};
    struct figures_http http = {0};
    pool_counts(g->pool, &counts);
    server_figures(g->server, &http);
    struct text page;
    text_init(&page, METRICS_BYTES);
    figures_metrics(g->figures, observer_snapshot(g->observer), &counts, &http, &page);
    exchange_add_header(x, "Cache-Control", "no-store");
    if (page.failed)
        views_refuse(x, 500, ERR_NOMEM, "memory ran out");
    else
        exchange_reply(x, 200, EXPOSITION_TYPE, page.data, page.size);
    text_close(&page);
}
