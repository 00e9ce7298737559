/* message_explain.h - the schemas of what OPS_REPLY says of one request and of one worker's loss.
 * Private to proto/. */
#ifndef QUIRE_PROTO_MESSAGE_EXPLAIN_H
#define QUIRE_PROTO_MESSAGE_EXPLAIN_H

#include "proto/schema.h"

#define EXPLANATION_BLOCK_MAX                                                                      \
    (LIMIT_EXPLAINED_SEGMENTS * sizeof(struct explained_segment) +                                 \
     LIMIT_WORKERS * sizeof(struct explained_worker) + 32)

extern const struct schema explanation_schema, loss_schema;

#define POLICY_NAMES 3
extern const char *const policy_names[POLICY_NAMES];

/* Every owner of a segment must be one of the explanation's workers, so that readers can use the
 * index unseen: 0 or ERR_BAD_MESSAGE. */
int explanation_check(const struct explanation *x, struct error *e);

#endif
