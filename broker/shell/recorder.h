/* recorder.h - the broker's end of the index: a child process that writes, and a queue to it.
 *
 * Nothing here waits, but for recorder_await at the start and recorder_close at the end. What finds
 * the queue full is dropped and counted, and the workers are asked for all they hold once the queue
 * is empty again. Whatever happens to the child or its files, the broker goes on: the child is
 * started again after a pause, and the state is told in the stats. */
#ifndef QUIRE_BROKER_SHELL_RECORDER_H
#define QUIRE_BROKER_SHELL_RECORDER_H

#include "broker/event.h"
#include "common/log.h"

#define RECORDER_QUEUE_BYTES ((size_t)8 << 20)
#define RECORDER_SILENCE_MS 20000 /* then the child counts as hung, and is killed */
#define RECORDER_RETRY_MIN_MS 250
#define RECORDER_RETRY_MAX_MS 30000
#define RECORDER_STEADY_MS 60000 /* a child that lived so long is started again at once */
#define RECORDER_RESYNC_MS 5000  /* between two inventories, and after the last dropped record */
#define RECORDER_RESYNC_MOST_MS 600000 /* between two, when one after the other did not fit */
#define RECORDER_END_MS 1500           /* for the last commit */
#define RECORDER_REFILL_MS 30000       /* for the workers to answer, before "rebuilding" ends */

struct recorder_settings {
    const char *dir; /* NULL: no index; every call below then does nothing */
    uint64_t links;
    uint64_t seed; /* of the chain */
    enum log_level log_level;
};

struct recorder;

/* Borrows dir. A child that can't be started is a state, not a failure. ERR_NOMEM leaves *out NULL.
 */
int recorder_open(struct recorder **out, const struct recorder_settings *s);

/* Hands over what is queued and waits for the last commit, RECORDER_END_MS at most. NULL is fine.
 */
void recorder_close(struct recorder *r);

/* What to wait for; -1 when there is no child. */
int recorder_fd(const struct recorder *r);
bool recorder_waits_to_send(const struct recorder *r);

/* Sends what it can, restarts the child when that is due. Returns when to call again. */
int64_t recorder_turn(struct recorder *r, int64_t now_us);

/* recorder_fd can be read. */
void recorder_heard(struct recorder *r);

/* The next thing the core must hear: what the index knew at the start, or EVENT_INVENTORY. False
 * when there is none. *out borrows until the next call. */
bool recorder_next(struct recorder *r, struct event *out, int64_t now_us);

/* Waits until the child has something to tell or end_us is there. False once all that it knew at
 * the start was told, or it is known that nothing will be. */
bool recorder_await(struct recorder *r, int64_t end_us);

/* ---- what is recorded ---- */
void recorder_worker(struct recorder *r, const struct msg_ready *ready, struct bytes address);
void recorder_void(struct recorder *r, uint64_t incarnation);
void recorder_links(struct recorder *r, const struct msg_links *links, int64_t now_us);

/* Fills in the index's part. The text is borrowed until the next call of recorder_turn. */
void recorder_stats(const struct recorder *r, struct pool_stats *out, int64_t now_us);

#endif
