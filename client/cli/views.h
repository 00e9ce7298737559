/* views.h - workers, counters and requests, printed as a table or as JSON. */
#ifndef QUIRE_CLI_VIEWS_H
#define QUIRE_CLI_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/quire.h"

#define VIEW_QUERY_MS 2000 /* how long a view waits for the broker's reply */

/* "earliest", "least-loaded", "round-robin"; "?" for others. Static storage. */
const char *view_policy(enum quire_policy policy);
/* "off", "ok", "full", "broken", "rebuilding"; "?" for others. Static storage. */
const char *view_index_state(enum quire_index_state state);

#define VIEW_ID_BYTES (2 * QUIRE_ID_BYTES + 1)
/* A request's id as hexadecimal digits. */
void view_id(const uint8_t id[QUIRE_ID_BYTES], char out[VIEW_ID_BYTES]);

/* Each asks the broker and prints; a negative code with *qe filled when it does not answer. */
int view_workers(struct quire_client *client, bool json, struct quire_error *qe);
int view_stats(struct quire_client *client, bool json, struct quire_error *qe);
int view_requests(struct quire_client *client, bool json, struct quire_error *qe);

/* Redraws counters, workers and requests every interval_ms, until SIGINT or SIGTERM; waits for a
 * broker that went away after the first screen. With `times` it is an error. */
struct view_top {
    int64_t interval_ms;
    int64_t times; /* screens; 0: until interrupted */
};
int view_top(struct quire_client *client, const struct view_top *o, struct quire_error *qe);

#endif
