/* tree.h - the segments of the last requests as a tree: who holds which beginnings of prompts.
 *
 * A link is the hash of a segment and of all before it, so it names a path from the root. The tree
 * is put together from explanations of requests, each of which is such a path, and holds
 * TREE_NODES; the ones that no request passed for the longest time go. What it says of owners is
 * what was told the last time: pages that a worker gave up since are not seen until another request
 * comes by. */
#ifndef QUIRE_GATEWAY_TREE_H
#define QUIRE_GATEWAY_TREE_H

#include <jansson.h>
#include <stdint.h>

#include "client/quire.h"

#define TREE_NODES 1024
#define TREE_OWNERS 64 /* different workers' names */

struct tree;
int tree_open(struct tree **out); /* ERR_NOMEM */
void tree_close(struct tree *t);  /* NULL is fine */

/* Adds the path of an explained request of `tenant`. answered_by ("": nobody) holds all of it now;
 * now_s: wall clock. */
void tree_merge(struct tree *t, const struct quire_explanation *e, const char *tenant,
                const char *answered_by, int64_t now_s);
/* {"nodes": [...]}, parents before children; of one tenant only when tenant is not NULL. NULL: no
 * memory. */
json_t *tree_json(const struct tree *t, const char *tenant);

#endif
