/* holdings.h - which links this incarnation holds, and what of that the broker has not been told.
 *
 * A record is a link with the positions that it covers. It is tied to a place: a page of the tree,
 * or the kept embeddings of a picture (then the positions are 0). The place keeps a tag, 0 at
 * first, and gives it back when its contents go: its records go with it. A link has one record;
 * told of again at another place, it moves there.
 *
 * Everything is a hint and bounded: a full table forgets old records, a place its oldest ones, and
 * when drops can't be kept any more until the broker reads them, it is told everything anew. All
 * memory is taken at open. The engine's thread adds and drops, the I/O thread takes; every call is
 * safe from any thread. */
#ifndef QUIRE_WORKER_HOLDINGS_H
#define QUIRE_WORKER_HOLDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "proto/limits.h"
#include "proto/segments.h"

#define HOLDINGS_RECORDS 65536 /* of one worker; about 4 MiB */
#define HOLDINGS_PER_PLACE 8   /* links that end in one page, or stand for one picture */

struct holdings;

/* records: at least HOLDINGS_PER_PLACE, at most HOLDINGS_RECORDS. ERR_NOMEM. */
int holdings_open(struct holdings **out, uint32_t records, struct error *e);
void holdings_close(struct holdings *h); /* NULL is fine */

/* ---- for the engine's thread; h may be NULL: nothing happens ---- */

/* The place that has this tag (0: none yet) holds `link`, all of its `positions`. Returns the tag
 * that the place has from now on. Links of another seed than the present one are not taken. */
uint32_t holdings_add(struct holdings *h, uint64_t seed, const struct link *link,
                      uint32_t positions, uint32_t tag);
/* What a place held is gone: `arg` is the struct holdings, tag what holdings_add returned for it. A
 * tag of 0, or one that is known no more, is fine. A tree_dropped. */
void holdings_dropped(void *arg, uint32_t tag);

/* ---- for the I/O thread ---- */

/* The seed of the broker's chains. Another one than before makes all records void. */
void holdings_seed(struct holdings *h, uint64_t seed);
/* What the broker was told is void: it is to be told everything, with reset. */
void holdings_resync(struct holdings *h);

/* What a LINKS message tells, in its layout (struct msg_links). */
struct holdings_news {
    bool reset;
    size_t n_held, n_dropped;
    uint8_t held[LIMIT_LINKS * LINK_HELD_BYTES];
    uint8_t dropped[LIMIT_LINKS * LINK_BYTES];
};
/* Takes changes that were not told yet, the newest holdings first, at most LIMIT_LINKS of each
 * kind; a link is never in both. False: there are none. */
bool holdings_take(struct holdings *h, struct holdings_news *out);
bool holdings_pending(struct holdings *h); /* holdings_take would give something */

#endif
