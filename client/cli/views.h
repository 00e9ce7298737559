/* views.h - workers, counters and requests, printed as a table or as JSON. */
#ifndef QUIRE_CLI_VIEWS_H
#define QUIRE_CLI_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/quire.h"

#define VIEW_QUERY_MS 2000 /* how long a view waits for the broker's reply */

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
