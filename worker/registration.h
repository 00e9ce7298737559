/* registration.h - what a worker owes its broker, and when: READY until welcome, then HEARTBEATs.
 *
 * Pure: it reads no clock and holds no socket. Its user does what registration_next says and
 * reports what happened; times are clock_ms. */
#ifndef QUIRE_WORKER_REGISTRATION_H
#define QUIRE_WORKER_REGISTRATION_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTRATION_READY_MS 500      /* wait for WELCOME after the first READY; doubles */
#define REGISTRATION_READY_MAX_MS 4000 /* up to this; each wait is jittered by a quarter */
#define REGISTRATION_READY_TRIES 6     /* unanswered ones before a new connection is made */
#define REGISTRATION_SILENCE 3         /* times dead_ms without a word: it is given up */
#define REGISTRATION_TICK_MS 250       /* registration_next is asked at least so often */
#define REGISTRATION_SLEPT_MS 1000     /* a longer gap: this process itself stood still */
#define REGISTRATION_HEARTBEAT_MS 500  /* until WELCOME says otherwise, and its bounds */
#define REGISTRATION_HEARTBEAT_MIN_MS 10
#define REGISTRATION_HEARTBEAT_MAX_MS 60000

enum registration_state { REGISTRATION_DOWN, REGISTRATION_UP };
enum registration_action {
    REGISTRATION_REST,
    REGISTRATION_SEND_READY,
    REGISTRATION_SEND_HEARTBEAT,
    REGISTRATION_RECONNECT
};

struct registration {
    enum registration_state state;
    uint32_t heartbeat_ms, dead_ms;
    uint32_t tries;   /* READYs sent since the connection was made */
    int64_t due_ms;   /* the next READY or HEARTBEAT */
    int64_t heard_ms; /* the broker's last word, or the beginning */
    int64_t asked_ms; /* the last registration_next */
    uint64_t noise;   /* for jitter */
};

void registration_init(struct registration *l, uint64_t noise, int64_t now_ms);

/* What is to be done now. Until the outcome is told, the same answer comes again at once. */
enum registration_action registration_next(struct registration *l, int64_t now_ms);
/* How long the user may sleep; 0..REGISTRATION_TICK_MS. */
int registration_wait_ms(const struct registration *l, int64_t now_ms);

/* READY or HEARTBEAT is out. */
void registration_sent(struct registration *l, enum registration_action what, int64_t now_ms);
/* It could not be sent; not to be tried at once. */
void registration_blocked(struct registration *l, int64_t now_ms);
/* The socket takes messages again. */
void registration_unblocked(struct registration *l, int64_t now_ms);
void registration_reconnected(struct registration *l, int64_t now_ms);

void registration_heard(struct registration *l, int64_t now_ms); /* any message came */
void registration_welcomed(struct registration *l, uint32_t heartbeat_ms, uint32_t dead_ms,
                           int64_t now_ms);
/* The broker forgot us: READY again. */
void registration_unknown(struct registration *l, int64_t now_ms);
/* It said no to READY, for now. */
void registration_refused(struct registration *l, int64_t now_ms);

/* It is registered, and the next heartbeat is due at once: something worth telling changed. */
void registration_hurry(struct registration *l, int64_t now_ms);

#endif
