/* core.h - the broker's decisions: (state, event, now) -> actions.
 *
 * No socket, clock, log or message is touched here, so a test or a simulator can drive it. All
 * memory is taken by broker_open. The promises it keeps:
 *
 *   - every request that was kept gets exactly one terminal message (DONE or ERROR), unless its
 *     client is gone;
 *   - a worker never has more requests than it gave credit for;
 *   - a reply counts only if its (ticket, attempt, incarnation) is the one under way; all else that
 *     arrives late is dropped and the sender told to stop;
 *   - each token index is passed on at most once and in order;
 *   - a request is sent again at most BROKER_RESENDS times; after its first token only while its
 *     frames and the ids of all tokens that the client has are still kept, and to a worker that can
 *     go on behind them. One that lost two workers is not sent to a third: it fails, and its
 *     content is refused for a while;
 *   - tables, queue, bytes and every wait are bounded by the settings below. */
#ifndef QUIRE_BROKER_CORE_H
#define QUIRE_BROKER_CORE_H

#include "broker/event.h"
#include "common/error.h"

#define BROKER_RESENDS 2      /* after the first sending */
#define BROKER_LOSSES 2       /* workers a request may end before it is refused */
#define BROKER_RUNNING 1024   /* requests at workers, all together; more wait in the queue */
#define BROKER_QUEUE_MAX 3072 /* the queue's largest bound; with BROKER_RUNNING it is JOBS_MAX */
#define BROKER_PAUSE_MS 250   /* no work for a worker that refused some or did not read it */
/* After its start the broker keeps a request so long for the worker that held its prefix before and
 * has not come back yet. */
#define BROKER_OWNER_WAIT_MS 1000
/* What one level of a request's priority is worth in the queue: it stands where it would if it had
 * come so much earlier. So a higher one goes first, and none waits for those that came longer than
 * that (twice that, low behind high) after it. */
#define BROKER_PRIORITY_MS 10000
#define BROKER_LINKS ((size_t)1 << 20) /* remembered, by default; 64 bytes each */
#define BROKER_REPLAY_BLOCKS 65536 /* 16 MiB: the ids of 4 million tokens of answers under way */
#define BROKER_PAST 256            /* routed requests that broker_explain remembers */
#define BROKER_PAST_SEGMENTS 64    /* of each of them, the last ones */
#define BROKER_PAST_WORKERS 16     /* of each of them */

struct broker_settings {
    uint32_t dead_ms;         /* a worker silent for so long is dead; it beats 4 times in it */
    uint32_t queue_requests;  /* that wait; 1..BROKER_QUEUE_MAX */
    uint64_t queue_bytes;     /* of frames kept; those of answers that have begun make room */
    uint32_t client_requests; /* one client's requests under way */
    uint32_t worker_wait_ms;  /* how long a request waits for any worker that would serve it; also
                                 how long after its start the broker holds no model unknown */
    uint32_t progress_ms;     /* how often a waiting client hears of it (and is found gone) */
    uint32_t refuse_ms;       /* how long a content that ended two workers is refused */
    enum routing_policy policy;
    size_t links; /* whose holders are remembered; a power of two, 64 or more */
};

/* 2000 ms, 256 requests, 1 GiB, 128 per client, 10 s, 500 ms, 60 s, POLICY_EARLIEST, BROKER_LINKS.
 */
void broker_settings_init(struct broker_settings *s);

struct broker;

/* Keeps a copy of the settings, which must be within the bounds above. ERR_NOMEM leaves *out NULL.
 */
int broker_open(struct broker **out, const struct broker_settings *s, int64_t now_us);
void broker_close(struct broker *b); /* NULL is fine */

/* Takes one event; now_us never goes backwards. Returns *n actions to be done in order; they live
 * until the next call. */
const struct action *broker_step(struct broker *b, const struct event *event, int64_t now_us,
                                 size_t *n);

/* When EVENT_TICK is due at the latest; INT64_MAX when nothing waits for time. */
int64_t broker_next_us(struct broker *b);

/* How often a worker sends HEARTBEAT. */
uint32_t broker_heartbeat_ms(const struct broker *b);

/* ---- what operators see; texts are borrowed until the next broker_step ---- */

size_t broker_workers(struct broker *b, int64_t now_us, struct worker_info *out, size_t capacity);
size_t broker_requests(struct broker *b, int64_t now_us, struct request_info *out, size_t capacity);
void broker_stats(struct broker *b, int64_t now_us, struct pool_stats *out);

/* How chains of requests for this model (empty: any) are rooted: the fingerprint and template of
 * the workers that serve it, or after a restart of incarnations that the index remembers. False
 * when none is known; such a request has no chain. */
bool broker_fingerprint(const struct broker *b, struct bytes model, uint8_t fingerprint[16],
                        struct label *template_id);

/* What broker_explain is asked. */
struct explain_query {
    const struct request_id *id; /* a request that was routed; NULL: the last one, unless fresh */
    bool fresh;                  /* the request below, as if it came now */
    struct bytes model;
    uint32_t pictures;
    struct request_chain chain;
};

/* What each worker's first token is predicted to be and which is chosen; for a past request as it
 * was when it was sent, of which the last BROKER_PAST_SEGMENTS segments and BROKER_PAST_WORKERS
 * workers are kept. Changes nothing. A request longer than CHAIN_KEPT segments shows its first and
 * last ones. out->found is false when the id is not known. The arrays live until the next call of
 * broker_explain or broker_step. */
void broker_explain(struct broker *b, const struct explain_query *q, int64_t now_us,
                    struct explanation *out);

/* What the pool would lose with that worker. False when no worker has that name. Walks the whole
 * table of links: milliseconds. */
bool broker_losses(struct broker *b, struct bytes worker, struct loss *out);

/* The ids of the tokens that ticket's client has, TOKEN_ID_BYTES each, for an ACTION_WORK with that
 * `given`. False when they are not there (any more). */
bool broker_replay(const struct broker *b, uint64_t ticket, uint32_t given, uint8_t *out);

/* For the shell's tables: the largest jobs_slot of any ticket, plus one. */
size_t broker_slots(const struct broker *b);

#endif
