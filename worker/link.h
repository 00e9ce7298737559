/* link.h - what a worker owes its broker, and when: READY until it is welcome, then HEARTBEATs.
 *
 * Pure: it reads no clock and holds no socket. Its user does what link_next says and reports what
 * happened; times are clock_ms. */
#ifndef QUIRE_WORKER_LINK_H
#define QUIRE_WORKER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#define LINK_READY_MS 500      /* wait for WELCOME after the first READY; doubles */
#define LINK_READY_MAX_MS 4000 /* up to this; each wait is jittered by a quarter both ways */
#define LINK_READY_TRIES 6     /* unanswered ones on one connection before a new one is made */
#define LINK_SILENCE 3         /* times dead_ms without a word: the connection is given up */
#define LINK_TICK_MS 250       /* link_next is asked at least so often */
#define LINK_SLEPT_MS 1000     /* a longer gap means that this process itself stood still */
#define LINK_HEARTBEAT_MS 500  /* until WELCOME says otherwise, and its bounds */
#define LINK_HEARTBEAT_MIN_MS 10
#define LINK_HEARTBEAT_MAX_MS 60000

enum link_state { LINK_DOWN, LINK_UP };
enum link_action { LINK_REST, LINK_SEND_READY, LINK_SEND_HEARTBEAT, LINK_RECONNECT };

struct link {
    enum link_state state;
    uint32_t heartbeat_ms, dead_ms;
    uint32_t tries;   /* READYs sent since the connection was made */
    int64_t due_ms;   /* the next READY or HEARTBEAT */
    int64_t heard_ms; /* the broker's last word, or the beginning */
    int64_t asked_ms; /* the last link_next */
    uint64_t noise;   /* for jitter */
};

void link_init(struct link *l, uint64_t noise, int64_t now_ms);

/* What is to be done now. Until the outcome is told, the same answer comes again at once. */
enum link_action link_next(struct link *l, int64_t now_ms);
/* How long the user may sleep; 0..LINK_TICK_MS. */
int link_wait_ms(const struct link *l, int64_t now_ms);

void link_sent(struct link *l, enum link_action what,
               int64_t now_ms); /* READY or HEARTBEAT is out */
void link_blocked(struct link *l,
                  int64_t now_ms); /* it could not be sent; not to be tried at once */
void link_unblocked(struct link *l, int64_t now_ms); /* the socket takes messages again */
void link_reconnected(struct link *l, int64_t now_ms);

void link_heard(struct link *l, int64_t now_ms); /* any message came */
void link_welcomed(struct link *l, uint32_t heartbeat_ms, uint32_t dead_ms, int64_t now_ms);
void link_unknown(struct link *l, int64_t now_ms); /* the broker forgot us: READY again */
void link_refused(struct link *l, int64_t now_ms); /* it said no to READY, for now */

/* The link is up, and the next heartbeat is due at once: something worth telling changed. */
void link_hurry(struct link *l, int64_t now_ms);

#endif
