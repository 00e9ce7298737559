/* way.h - how a replay's requests reach a pool and what comes back: as messages to the broker, or
 * as HTTP requests to a gateway. */
#ifndef QUIRE_CLI_REPLAY_WAY_H
#define QUIRE_CLI_REPLAY_WAY_H

#include "client/cli/replay/talk.h"
#include "client/quire.h"

#define WAY_DEADLINE_MS 300000 /* of one request */

struct way;

/* Over ZeroMQ; stats are the broker's. endpoint NULL: the local one. */
int way_open_broker(struct way **out, const char *endpoint, struct quire_stats *stats,
                    struct error *e);
/* Over HTTP: `url` is the gateway's, "http://127.0.0.1:8080"; key NULL: none. */
int way_open_http(struct way **out, const char *url, const char *key, struct error *e);
void way_close(struct way *w); /* ends what is under way; NULL is fine */

/* Sends a turn's request, greedy, under a new id. */
int way_send(struct way *w, const struct talk *talk, uint32_t max_tokens,
             uint8_t id[QUIRE_ID_BYTES], struct error *e);
/* The next TOKENS, DONE or FAILED of any of them, as quire_next gives them: 1, 0 when the time
 * passed, or negative. Over HTTP a DONE has usage, timings, finish, worker and segment_ends. */
int way_next(struct way *w, int timeout_ms, struct quire_event *event, struct error *e);

/* ---- for the ways themselves ---- */

struct way {
    int (*send)(struct way *w, const struct talk *talk, uint32_t max_tokens,
                uint8_t id[QUIRE_ID_BYTES], struct error *e);
    int (*next)(struct way *w, int timeout_ms, struct quire_event *event, struct error *e);
    void (*close)(struct way *w);
};

#endif
