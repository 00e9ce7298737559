/* talk.h - the request of a turn: what stood before it, the answers really given, and what is new.
 */
#ifndef QUIRE_CLI_REPLAY_TALK_H
#define QUIRE_CLI_REPLAY_TALK_H

#include "client/cli/replay/outcome.h"
#include "client/cli/replay/trace.h"

struct talk {
    struct request request; /* borrows texts from the trace and the answers */
    struct bytes *pictures; /* request.n_pictures of them, borrowed from the trace */
    void *block;
};

/* Puts a turn's request together; all turns before it are done. ERR_LIMIT when it has more
 * messages, parts or pictures than a request may have; ERR_NOMEM. */
int talk_build(struct talk *out, const struct trace *t, const struct outcome *outcomes,
               uint32_t turn, struct error *e);
void talk_clear(struct talk *talk); /* a zeroed one is fine */

/* The same for the client library, greedy. */
int talk_to_request(const struct talk *talk, uint32_t max_tokens, uint32_t deadline_ms,
                    struct quire_request **out, struct error *e);

/* Computes the chain of the request into o->links and o->pictures. */
int talk_link(const struct talk *talk, struct outcome *o, struct error *e);
/* Adds the links of o->answer. */
int talk_link_answer(struct outcome *o, struct error *e);

#endif
