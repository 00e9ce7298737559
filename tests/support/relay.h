/* relay.h - a wire between one worker and the broker that a test can cut at a given token.
 *
 * A thread passes whole messages both ways. After so many tokens of answers it passes nothing more
 * of the worker's answers: it drops both connections, as a cable does that is pulled. */
#ifndef QUIRE_TESTS_SUPPORT_RELAY_H
#define QUIRE_TESTS_SUPPORT_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct relay {
    const char *worker_end, *broker_end; /* endpoints */
    uint32_t tokens;                     /* that are passed */
    uint32_t passed;
    atomic_bool stop, cut;
    pthread_t thread;
};

/* Binds worker_end and connects to broker_end; both are borrowed until relay_close. What fails,
 * fails the test. */
void relay_open(struct relay *r, const char *worker_end, const char *broker_end, uint32_t tokens);
void relay_wait_cut(struct relay *r);
void relay_close(struct relay *r);

#endif
