/* way_body.h - a turn's request as the JSON body of a chat completion. */
#ifndef QUIRE_CLI_REPLAY_WAY_BODY_H
#define QUIRE_CLI_REPLAY_WAY_BODY_H

#include "client/cli/replay/talk.h"

/* Greedy and streamed. NULL when memory ran out; the caller frees it. */
char *way_body(const struct talk *talk, uint32_t max_tokens, size_t *bytes);

#endif
