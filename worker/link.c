/* link.c - timers of the handshake.
 *
 * Workers that lost one broker all come back at once; the jitter keeps them from coming in step.
 * A process that was stopped and goes on must not take its own sleep for the broker's silence, so a
 * long gap between two questions is added to the time of the last word. */
#include "worker/link.h"

static uint64_t next_noise(struct link *l) { /* xorshift64; the state is never 0 */
    l->noise ^= l->noise << 13;
    l->noise ^= l->noise >> 7;
    l->noise ^= l->noise << 17;
    return l->noise;
}

/* wait_ms, a quarter more or less. */
static int64_t jittered(struct link *l, int64_t wait_ms) {
    int64_t span = wait_ms / 2;
    if (span == 0)
        return wait_ms;
    return wait_ms - wait_ms / 4 + (int64_t)(next_noise(l) % (uint64_t)span);
}

static int64_t backoff_ms(const struct link *l) {
    int64_t wait_ms = LINK_READY_MS;
    for (uint32_t i = 1; i < l->tries && wait_ms < LINK_READY_MAX_MS; i++)
        wait_ms *= 2;
    return wait_ms < LINK_READY_MAX_MS ? wait_ms : LINK_READY_MAX_MS;
}

void link_init(struct link *l, uint64_t noise, int64_t now_ms) {
    *l = (struct link){
        .state = LINK_DOWN,
        .heartbeat_ms = LINK_HEARTBEAT_MS,
        .dead_ms = 4 * LINK_HEARTBEAT_MS,
        .due_ms = now_ms,
        .heard_ms = now_ms,
        .asked_ms = now_ms,
        .noise = noise | 1,
    };
}

enum link_action link_next(struct link *l, int64_t now_ms) {
    int64_t gap_ms = now_ms - l->asked_ms;
    l->asked_ms = now_ms;
    if (gap_ms > LINK_SLEPT_MS)
        l->heard_ms += gap_ms;
    if (l->state == LINK_UP && now_ms - l->heard_ms > (int64_t)l->dead_ms * LINK_SILENCE)
        return LINK_RECONNECT;
    if (now_ms < l->due_ms)
        return LINK_REST;
    if (l->state == LINK_UP)
        return LINK_SEND_HEARTBEAT;
    return l->tries >= LINK_READY_TRIES ? LINK_RECONNECT : LINK_SEND_READY;
}

int link_wait_ms(const struct link *l, int64_t now_ms) {
    int64_t wait_ms = l->due_ms - now_ms;
    if (wait_ms < 0)
        return 0;
    return wait_ms < LINK_TICK_MS ? (int)wait_ms : LINK_TICK_MS;
}

void link_sent(struct link *l, enum link_action what, int64_t now_ms) {
    if (what == LINK_SEND_HEARTBEAT) {
        l->due_ms = now_ms + l->heartbeat_ms;
        return;
    }
    l->tries++;
    l->due_ms = now_ms + jittered(l, backoff_ms(l));
}

void link_blocked(struct link *l, int64_t now_ms) {
    l->due_ms = now_ms + l->heartbeat_ms;
}

void link_unblocked(struct link *l, int64_t now_ms) {
    l->due_ms = l->due_ms < now_ms ? l->due_ms : now_ms;
}

void link_reconnected(struct link *l, int64_t now_ms) {
    l->state = LINK_DOWN;
    l->tries = 0;
    l->heard_ms = now_ms;
    l->due_ms = now_ms;
}

void link_heard(struct link *l, int64_t now_ms) {
    l->heard_ms = now_ms;
}

static uint32_t within(uint32_t value, uint32_t low, uint32_t high) {
    return value < low ? low : value > high ? high : value;
}

void link_welcomed(struct link *l, uint32_t heartbeat_ms, uint32_t dead_ms, int64_t now_ms) {
    l->heartbeat_ms = within(heartbeat_ms, LINK_HEARTBEAT_MIN_MS, LINK_HEARTBEAT_MAX_MS);
    l->dead_ms = dead_ms > l->heartbeat_ms ? dead_ms : l->heartbeat_ms;
    l->heard_ms = now_ms;
    if (l->state == LINK_UP)
        return;
    l->state = LINK_UP;
    l->tries = 0;
    l->due_ms = now_ms; /* the first heartbeat tells the load */
}

void link_unknown(struct link *l, int64_t now_ms) {
    if (l->state == LINK_DOWN)
        return;
    l->state = LINK_DOWN;
    l->tries = 0;
    l->due_ms = now_ms;
}

void link_refused(struct link *l, int64_t now_ms) {
    l->state = LINK_DOWN;
    l->tries = l->tries > 0 ? l->tries : 1;
    l->due_ms = now_ms + jittered(l, backoff_ms(l));
}

void link_hurry(struct link *l, int64_t now_ms) {
    if (l->state == LINK_UP)
        l->due_ms = now_ms;
}
