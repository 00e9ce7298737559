/* reuse.h - what a cache without bounds, shared by all workers, would have reused.
 *
 * It holds, for each link of every request sent so far, how many positions were computed behind
 * that prefix. A request could have reused them up to the end of the longest prefix it shares, at
 * most all but the last position of its prompt. Sharing is seen segment by segment: of a segment
 * that two requests share in part, nothing counts here, though pages may well share it. */
#ifndef QUIRE_CLI_REPLAY_REUSE_H
#define QUIRE_CLI_REPLAY_REUSE_H

#include <stdbool.h>

#include "client/cli/replay/outcome.h"

enum reuse_keying {
    REUSE_SEGMENTED, /* a picture is a segment like others */
    REUSE_ONE_KEY,   /* all pictures of a request together are part of every key, from the start of
                        the chain: what was a common way to key conversations with pictures */
};

struct reuse; /* what was computed so far */

int reuse_open(struct reuse **out, enum reuse_keying keying); /* ERR_NOMEM */
void reuse_close(struct reuse *r);

/* Positions of o's prompt that were computed before. */
uint32_t reuse_longest(const struct reuse *r, const struct outcome *o);
/* Takes note of what o computed. ERR_NOMEM. */
int reuse_add(struct reuse *r, const struct outcome *o);

#endif
