/* registration.c - timers of the handshake.
 *
 * Workers that lost one broker all come back at once; the jitter keeps them from coming in step.
 * A process that was stopped and goes on must not take its own sleep for the broker's silence, so a
 * long gap between two questions is added to the time of the last word. */
#include "worker/registration.h"

static uint64_t next_noise(struct registration *l) { /* xorshift64; the state is never 0 */
    l->noise ^= l->noise << 13;
    l->noise ^= l->noise >> 7;
    l->noise ^= l->noise << 17;
    return l->noise;
}

/* wait_ms, a quarter more or less. */
static int64_t jittered(struct registration *l, int64_t wait_ms) {
    int64_t span = wait_ms / 2;
    if (span == 0)
        return wait_ms;
    return wait_ms - wait_ms / 4 + (int64_t)(next_noise(l) % (uint64_t)span);
}

static int64_t backoff_ms(const struct registration *l) {
    int64_t wait_ms = REGISTRATION_READY_MS;
    for (uint32_t i = 1; i < l->tries && wait_ms < REGISTRATION_READY_MAX_MS; i++)
        wait_ms *= 2;
    return wait_ms < REGISTRATION_READY_MAX_MS ? wait_ms : REGISTRATION_READY_MAX_MS;
}

void registration_init(struct registration *l, uint64_t noise, int64_t now_ms) {
    *l = (struct registration){
        .state = REGISTRATION_DOWN,
        .heartbeat_ms = REGISTRATION_HEARTBEAT_MS,
        .dead_ms = 4 * REGISTRATION_HEARTBEAT_MS,
        .due_ms = now_ms,
        .heard_ms = now_ms,
        .asked_ms = now_ms,
        .noise = noise | 1,
    };
}

enum registration_action registration_next(struct registration *l, int64_t now_ms) {
    int64_t gap_ms = now_ms - l->asked_ms;
    l->asked_ms = now_ms;
    if (gap_ms > REGISTRATION_SLEPT_MS)
        l->heard_ms += gap_ms;
    if (l->state == REGISTRATION_UP &&
        now_ms - l->heard_ms > (int64_t)l->dead_ms * REGISTRATION_SILENCE)
        return REGISTRATION_RECONNECT;
    if (now_ms < l->due_ms)
        return REGISTRATION_REST;
    if (l->state == REGISTRATION_UP)
        return REGISTRATION_SEND_HEARTBEAT;
    return l->tries >= REGISTRATION_READY_TRIES ? REGISTRATION_RECONNECT : REGISTRATION_SEND_READY;
}

int registration_wait_ms(const struct registration *l, int64_t now_ms) {
    int64_t wait_ms = l->due_ms - now_ms;
    if (wait_ms < 0)
        return 0;
    return wait_ms < REGISTRATION_TICK_MS ? (int)wait_ms : REGISTRATION_TICK_MS;
}

void registration_sent(struct registration *l, enum registration_action what, int64_t now_ms) {
    if (what == REGISTRATION_SEND_HEARTBEAT) {
        l->due_ms = now_ms + l->heartbeat_ms;
        return;
    }
    l->tries++;
    l->due_ms = now_ms + jittered(l, backoff_ms(l));
}

void registration_blocked(struct registration *l, int64_t now_ms) {
    l->due_ms = now_ms + l->heartbeat_ms;
}

void registration_unblocked(struct registration *l, int64_t now_ms) {
    l->due_ms = l->due_ms < now_ms ? l->due_ms : now_ms;
}

void registration_reconnected(struct registration *l, int64_t now_ms) {
    l->state = REGISTRATION_DOWN;
    l->tries = 0;
    l->heard_ms = now_ms;
    l->due_ms = now_ms;
}

void registration_heard(struct registration *l, int64_t now_ms) {
    l->heard_ms = now_ms;
}

static uint32_t within(uint32_t value, uint32_t low, uint32_t high) {
    return value < low ? low : value > high ? high : value;
}

void registration_welcomed(struct registration *l, uint32_t heartbeat_ms, uint32_t dead_ms,
                           int64_t now_ms) {
    l->heartbeat_ms =
        within(heartbeat_ms, REGISTRATION_HEARTBEAT_MIN_MS, REGISTRATION_HEARTBEAT_MAX_MS);
    l->dead_ms = dead_ms > l->heartbeat_ms ? dead_ms : l->heartbeat_ms;
    l->heard_ms = now_ms;
    if (l->state == REGISTRATION_UP)
        return;
    l->state = REGISTRATION_UP;
    l->tries = 0;
    l->due_ms = now_ms; /* the first heartbeat tells the load */
}

void registration_unknown(struct registration *l, int64_t now_ms) {
    if (l->state == REGISTRATION_DOWN)
        return;
    l->state = REGISTRATION_DOWN;
    l->tries = 0;
    l->due_ms = now_ms;
}

void registration_refused(struct registration *l, int64_t now_ms) {
    l->state = REGISTRATION_DOWN;
    l->tries = l->tries > 0 ? l->tries : 1;
    l->due_ms = now_ms + jittered(l, backoff_ms(l));
}

void registration_hurry(struct registration *l, int64_t now_ms) {
    if (l->state == REGISTRATION_UP)
        l->due_ms = now_ms;
}
