/* limits.h - what each key has in flight, and what it used of its tokens per minute.
 *
 * Tokens are a bucket of one minute's worth that fills evenly. A request is let in while the bucket
 * is not empty and pays when its usage is known, so one long request may overdraw it; the next ones
 * wait for the rest to fill up. */
#ifndef QUIRE_GATEWAY_LIMITS_H
#define QUIRE_GATEWAY_LIMITS_H

#include "gateway/access/keys.h"
#include "gateway/api/fault.h"

#define LIMITS_NAMES ((size_t)2 * KEYS_MAX) /* keys remembered, those of earlier files too */
#define LIMITS_RETRY_MS 1000                /* advice to who has too many requests in flight */

struct limits;
int limits_open(struct limits **out); /* ERR_NOMEM leaves *out NULL */
void limits_close(struct limits *l);  /* NULL is fine */
/* Lets a request of this key in, or -1 with 429, a sentence and retry_ms. Each that was let in is
 * followed by limits_leave with what it used. Counts survive a reload of the file by the key's
 * name. NULL (there are no keys) is always let in. */
int limits_enter(struct limits *l, const struct key *key, int64_t now_ms, struct fault *fault);
void limits_leave(struct limits *l, const struct key *key, uint64_t tokens, int64_t now_ms);
/* The same for a key that a reload may have removed: by its name (caller.key_name). "": no key. */
void limits_leave_name(struct limits *l, const char *name, uint64_t tokens, int64_t now_ms);

#endif
