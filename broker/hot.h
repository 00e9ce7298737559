/* hot.h - prefixes that are asked for faster than their owner answers.
 *
 * Each request for itself rightly waits a little for the owner rather than long for another worker
 * to compute the prefix again; so, one after the other, all of them wait while others idle. What
 * requests have waited for one prefix is therefore added up; when that comes to what computing it
 * again costs, the next one goes elsewhere. Together they so never lose much more than twice what
 * they would have lost had the future been known. Times are microseconds.
 */
#ifndef QUIRE_BROKER_HOT_H
#define QUIRE_BROKER_HOT_H

#include <stdint.h>

#include "proto/segments.h"

#define HOT_PREFIXES 32       /* remembered; the one waited for longest ago is forgotten first */
#define HOT_FORGET_US 5000000 /* nobody waited for it in so long: it is not hot any more */

struct hot {
    struct hot_prefix {
        struct link link; /* the last of the prefix */
        int64_t waited_us, at_us;
    } prefixes[HOT_PREFIXES];
    int count;
};

/* What requests have waited for it since it was computed again, or became hot. */
int64_t hot_waited(const struct hot *h, const struct link *l, int64_t now_us);
void hot_wait(struct hot *h, const struct link *l, int64_t us, int64_t now_us);
/* It is being computed again: the count begins anew. */
void hot_paid(struct hot *h, const struct link *l);

#endif
