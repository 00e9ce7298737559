/* snapshot.c - three questions, one picture. */
#include "gateway/pool/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"

static int take_workers(struct quire_client *c, struct snapshot *s, struct quire_error *e) {
    struct quire_worker *workers;
    size_t n;
    int rc = quire_workers(c, SNAPSHOT_QUERY_MS, &workers, &n, e);
    if (rc != 0)
        return rc;
    s->n_workers = n < OBSERVER_WORKERS ? n : OBSERVER_WORKERS;
    memcpy(s->workers, workers, s->n_workers * sizeof *workers);
    free(workers);
    return 0;
}

static int take_requests(struct quire_client *c, struct snapshot *s, struct quire_error *e) {
    struct quire_request_info *requests;
    size_t n;
    int rc = quire_requests(c, SNAPSHOT_QUERY_MS, &requests, &n, e);
    if (rc != 0)
        return rc;
    s->n_requests = n < OBSERVER_REQUESTS ? n : OBSERVER_REQUESTS;
    memcpy(s->requests, requests, s->n_requests * sizeof *requests);
    free(requests);
    return 0;
}

void snapshot_hide_endpoint(struct quire_error *e) {
    if (e->code == ERR_TIMEOUT || e->code == ERR_IO || e->code == ERR_BUSY)
        (void)snprintf(e->text, sizeof e->text, "the broker does not answer");
}

static int take_all(struct quire_client *c, struct windows *w, struct snapshot *s,
                    struct quire_error *e) {
    int rc = quire_stats(c, SNAPSHOT_QUERY_MS, &s->stats, e);
    if (rc != 0)
        return rc;
    windows_add(w, &s->stats, clock_ms());
    rc = take_workers(c, s, e);
    return rc == 0 ? take_requests(c, s, e) : rc;
}

void snapshot_take(struct quire_client *c, struct windows *w, const struct quire_stats *last,
                   struct snapshot *s) {
    struct quire_error e = {0};
    s->n_workers = s->n_requests = 0;
    s->stats = *last;
    s->connected = take_all(c, w, s, &e) == 0;
    if (!s->connected) {
        s->n_workers = s->n_requests = 0;
        snapshot_hide_endpoint(&e);
    }
    (void)snprintf(s->trouble, sizeof s->trouble, "%s", e.text);
    s->taken_ms = clock_ms();
    windows_get(w, s->taken_ms, s->windows);
}
