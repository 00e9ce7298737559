/* observer.h - what the broker says about the pool, asked on a thread of its own.
 *
 * Operators' queries wait for their reply, so they have no place on the loop. The thread takes a
 * snapshot every OBSERVER_EVERY_MS (and keeps the broker's counters of the last 15 minutes for
 * shares over windows), and does what is asked of it, OBSERVER_QUEUE questions at most. */
#ifndef QUIRE_GATEWAY_OBSERVER_H
#define QUIRE_GATEWAY_OBSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/quire.h"
#include "gateway/api/fault.h"

#define OBSERVER_EVERY_MS 1000
#define OBSERVER_QUEUE 64
#define OBSERVER_WORKERS 256
#define OBSERVER_REQUESTS 256 /* shown, the oldest */

struct snapshot {
    bool connected;    /* the broker answered the last time */
    int64_t taken_ms;  /* clock_ms; 0: never yet */
    char trouble[256]; /* a sentence when it did not */
    struct quire_stats stats;
    struct quire_worker workers[OBSERVER_WORKERS];
    size_t n_workers;
    struct quire_request_info requests[OBSERVER_REQUESTS];
    size_t n_requests;
    /* Of the prompts' positions of the last 1, 5 and 15 minutes: how many there were, and how many
     * were reused. */
    struct window {
        uint64_t prompt_positions, reused_positions, pictures, pictures_encoded, requests;
    } windows[3];
};

struct observer;
int observer_open(struct observer **out, const char *endpoint, struct error *e);
/* Waits for the thread, which is at one query at most (1 s). Questions that were not answered by
 * then, or whose answers were not taken, are dropped: `answered` is not called. NULL is fine. */
void observer_close(struct observer *o);

/* The last snapshot; lives until the next call of observer_work. Never NULL. */
const struct snapshot *observer_snapshot(struct observer *o);
/* Names of models served, without repetition; the strings live in the snapshot. Returns how many.
 */
size_t observer_models(struct observer *o, const char **names, size_t capacity);

enum observer_question { OBSERVER_DRAIN, OBSERVER_UNDRAIN, OBSERVER_EXPLAIN, OBSERVER_LOSSES };
struct observer_answer {
    int rc; /* 0, or an error code with error filled */
    struct quire_error error;
    struct quire_explanation *explanation; /* EXPLAIN; freed after the call */
    struct quire_losses losses;
};
/* Asks; `answered` is called later on the loop's thread (from observer_work), exactly once, unless
 * the observer is closed before. worker: for drain, undrain, losses; id (16 bytes): for explain. -1
 * with 503 when the queue is full, with 404 for a name that no worker can have. */
int observer_ask(struct observer *o, enum observer_question what, const char *worker,
                 const uint8_t *id, void (*answered)(void *arg, const struct observer_answer *a),
                 void *arg, struct fault *fault);

/* For the loop: readable when a snapshot or an answer is there. */
int observer_fd(const struct observer *o);
void observer_work(struct observer *o);
/* Called from observer_work after each new snapshot. */
void observer_on_snapshot(struct observer *o, void (*changed)(void *arg), void *arg);

#endif
