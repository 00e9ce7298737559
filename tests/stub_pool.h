/* stub_pool.h - the real broker with three workers that compute nothing: each tells that it holds
 * the prompt of every request it answered, as a real one does. */
#ifndef QUIRE_TESTS_STUB_POOL_H
#define QUIRE_TESTS_STUB_POOL_H

#include "tests/broker_rig.h"

#define STUB_POOL_TOPICS 6
#define STUB_POOL_LINKS (2 * STUB_POOL_TOPICS) /* recorded once every topic was asked */

struct stub {
    void *socket;
    const char *name;
    uint64_t incarnation, seed;
};

/* Says READY (again) and takes the chain's seed from WELCOME. It answers no INVENTORY by itself. */
void stub_ready(struct rig *r, struct stub *s);

/* Answers the WORK that r->message holds: LINKS, a token, DONE. */
void stub_serve(struct rig *r, const struct stub *s, uint8_t id);

/* LINKS with reset and no link. */
void stub_holds_nothing(const struct stub *s);

/* Sends a question about a topic, which has a long system prompt of its own. */
void stub_ask(void *socket, uint8_t id, int topic);

struct stub_pool {
    struct rig r;
    struct stub stubs[3];
    void *client;
    int owner[STUB_POOL_TOPICS];
    uint8_t id; /* the last request's */
};

/* Every topic asked once. */
void stub_pool_open(struct stub_pool *p, const char *const *flags);

/* Asks about every topic again; each must go to its owner and be answered. */
void stub_pool_check(struct stub_pool *p);

/* Asks, lets whichever of n workers gets it answer, and returns which that was. */
int stub_pool_ask(struct rig *r, struct stub *stubs, int n, void *client, uint8_t id, int topic);

void stub_pool_restart_broker(struct rig *r, int how); /* ended by that signal */

/* Waits until the index's state is one of two and its sentence contains a word. */
void stub_pool_expect_index(struct rig *r, void *client, enum index_state a, enum index_state b,
                            const char *word);

/* Waits until the index has so many links. */
void stub_pool_wait_recorded(struct rig *r, void *client, uint64_t links);

#endif
