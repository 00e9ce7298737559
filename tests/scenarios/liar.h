/* liar.h - a worker that claims to hold what it does not: it speaks the protocol, tells the right
 * links, and hands back every request. */
#ifndef QUIRE_TESTS_SCENARIOS_LIAR_H
#define QUIRE_TESTS_SCENARIOS_LIAR_H

#include <stdint.h>

#include "proto/wire/wire.h"
#include "tests/scenarios/talk.h"
#include "worker/engine/engine.h"

#define LIAR_NAME "liar"

struct liar {
    void *context, *socket;
    const struct engine *engine; /* borrowed: whose model it pretends to serve */
    uint64_t seed;
    uint32_t refused; /* requests handed back */
    struct wire_message message;
};

/* Registers with the broker and waits for its welcome. */
struct liar *liar_open(const char *workers_endpoint, const struct engine *g);
/* Says goodbye. */
void liar_close(struct liar *l);

/* Claims all segments of a conversation. */
void liar_claim(struct liar *l, const struct talk *t);

/* Gives a sign of life, then answers what comes within so many milliseconds. */
void liar_serve(struct liar *l, int wait_ms);

#endif
