/* recorder.c - queue, child and state.
 *
 * Lost records are not counted back one by one. Whatever lost some (a full queue, a child that
 * died, a disk that was full, files that were begun anew) ends the same way: the workers are
 * registered again, and asked for all they hold, which begins with "reset". Until all have answered
 * the state is "rebuilding". */
#include "broker/shell/recorder.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/index/pipe.h"
#include "broker/shell/index_child.h"
#include "broker/shell/pipe_queue.h"
#include "common/clock.h"

#define SEND_BYTES (32 << 10) /* of one packet, unless a record is larger */

#define REAP_US 100000
#define US 1000 /* microseconds in a millisecond */

/* An index begun anew says so for so long, whoever has answered. */
#define REFILL_SHOWN_US 3000000

/* A worker as it is to be recorded, live or told from the file. */
struct known {
    struct index_worker worker;
    bool live;
    bool asked; /* for all it holds, and has not answered yet */
};

struct recorder {
    struct recorder_settings settings;
    struct index_child child;
    struct pipe_queue queue;
    struct known known[INDEX_WORKERS_MAX];
    size_t n_known;

    bool loading; /* the first child, until it has told all that was recorded */
    bool begun;   /* the first child was started */
    bool suspect; /* the last child crashed or hung over its files */
    int64_t started_us, heard_us, retry_at_us;
    int64_t retry_ms;

    bool resync_wanted, inventory_due;
    uint32_t resync; /* of the last status */
    int64_t resync_us, skipped_us, refill_until_us;
    int64_t resync_wait_ms; /* between two inventories: longer while they do not fit */
    uint64_t skipped, skipped_before;

    enum index_state state; /* as the child tells it, or of it */
    uint64_t links, bytes;
    char text[PIPE_TEXT_BYTES];

    union {
        uint64_t align;
        uint8_t bytes[PIPE_PACKET_BYTES];
    } packet;
    struct bytes rest; /* of packet, not looked at yet */
    bool readable;     /* the pipe, as far as is known */
    bool broken;       /* the pipe has ended */
    int64_t reaped_us; /* when it was last asked whether the child has ended */
};

static bool is_off(const struct recorder *r) {
    return r->settings.dir == NULL;
}

/* ---- open and close ---- */

int recorder_open(struct recorder **out, const struct recorder_settings *s) {
    *out = NULL;
    struct recorder *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->settings = *s;
    r->child.fd = -1;
    r->state = is_off(r) ? INDEX_OFF : INDEX_BROKEN;
    r->retry_ms = RECORDER_RETRY_MIN_MS;
    r->resync_wait_ms = RECORDER_RESYNC_MS;
    if (!is_off(r) && !pipe_queue_open(&r->queue, RECORDER_QUEUE_BYTES)) {
        free(r);
        return ERR_NOMEM;
    }
    *out = r;
    return 0;
}

static void flush(struct recorder *r) {
    while (r->child.fd >= 0 && r->queue.bytes > 0) {
        struct bytes run = pipe_queue_peek(&r->queue, SEND_BYTES);
        ssize_t n = send(r->child.fd, run.data, run.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n != (ssize_t)run.size) {
            r->broken |= errno != EAGAIN && errno != EINTR && errno != ENOBUFS;
            return;
        }
        pipe_queue_pop(&r->queue, run.size);
    }
}

void recorder_close(struct recorder *r) {
    if (!r)
        return;
    flush(r);
    for (int i = 0; i < RECORDER_END_MS / 100 && recorder_waits_to_send(r); i++) {
        struct pollfd p = {.fd = r->child.fd, .events = POLLOUT};
        (void)poll(&p, 1, 100);
        flush(r);
    }
    if (r->child.fd >= 0)
        (void)close(r->child.fd); /* the end of the pipe: commit, and go */
    r->child.fd = -1;
    index_child_finish(&r->child, RECORDER_END_MS);
    pipe_queue_close(&r->queue);
    free(r);
}

int recorder_fd(const struct recorder *r) {
    return r->broken ? -1 : r->child.fd;
}

bool recorder_waits_to_send(const struct recorder *r) {
    return r->child.fd >= 0 && !r->broken && r->queue.bytes > 0;
}

/* ---- records out ---- */

static struct known *find_known(struct recorder *r, uint64_t incarnation) {
    for (size_t i = 0; i < r->n_known; i++)
        if (r->known[i].worker.incarnation == incarnation)
            return &r->known[i];
    return NULL;
}

/* NULL: the record is lost. */
static void *push(struct recorder *r, size_t size, size_t links, int64_t now_us) {
    if (r->child.fd < 0)
        return NULL; /* no loss: the next child is told all anew */
    void *at = pipe_queue_push(&r->queue, size);
    if (at)
        return at;
    r->skipped += links;
    r->skipped_us = now_us;
    r->resync_wanted = true;
    return NULL;
}

static void push_worker(struct recorder *r, const struct index_worker *w, int64_t now_us) {
    struct pipe_worker *record = push(r, sizeof *record, 0, now_us);
    if (record)
        *record = (struct pipe_worker){pipe_head_of(PIPE_WORKER, sizeof *record), *w};
}

/* Keeps w. The table has room for all live ones: the core has told of those that left. */
static struct known *keep_known(struct recorder *r, const struct index_worker *w) {
    struct known *k = find_known(r, w->incarnation);
    if (!k && r->n_known < INDEX_WORKERS_MAX) {
        k = &r->known[r->n_known++];
        *k = (struct known){0};
    }
    if (k)
        k->worker = *w;
    return k;
}

void recorder_worker(struct recorder *r, const struct msg_ready *ready, struct bytes address) {
    if (is_off(r))
        return;
    struct index_worker w = {.incarnation = ready->incarnation};
    memcpy(w.fingerprint, ready->fingerprint, sizeof w.fingerprint);
    index_text_set(&w.name, ready->name);
    index_text_set(&w.model, ready->model);
    index_text_set(&w.template_id, ready->template_id);
    index_text_set(&w.address, address);
    struct known *k = keep_known(r, &w);
    if (k)
        k->live = true;
    push_worker(r, &w, 0);
}

void recorder_void(struct recorder *r, uint64_t incarnation) {
    if (is_off(r))
        return;
    struct known *k = find_known(r, incarnation);
    if (k)
        *k = r->known[--r->n_known];
    struct pipe_void *record = push(r, sizeof *record, 0, 0);
    if (record)
        *record =
            (struct pipe_void){pipe_head_of(PIPE_VOID, sizeof *record), .incarnation = incarnation};
}

void recorder_links(struct recorder *r, const struct msg_links *links, int64_t now_us) {
    if (is_off(r))
        return;
    size_t n_held = links->held.size / LINK_HELD_BYTES;
    size_t n_dropped = links->dropped.size / LINK_BYTES;
    struct known *k = links->reset ? find_known(r, links->incarnation) : NULL;
    if (k)
        k->asked = false;
    void *at = push(r, pipe_links_bytes(n_held, n_dropped), n_held + n_dropped, now_us);
    if (at)
        pipe_links_write(at, links->incarnation, links->reset, links->held, links->dropped);
}

/* ---- the child ---- */

static void set_state(struct recorder *r, enum index_state state, const char *text) {
    if (r->state != state || strcmp(r->text, text) != 0)
        log_write(state == INDEX_OK ? LOG_INFO : LOG_WARN, "index-state", "state=%d %s", (int)state,
                  text);
    r->state = state;
    (void)snprintf(r->text, sizeof r->text, "%s", text);
}

static void retry_later(struct recorder *r, int64_t now_us) {
    if (now_us - r->started_us >= (int64_t)RECORDER_STEADY_MS * US)
        r->retry_ms = RECORDER_RETRY_MIN_MS;
    r->retry_at_us = now_us + r->retry_ms * US;
    r->retry_ms = r->retry_ms * 2 < RECORDER_RETRY_MAX_MS ? r->retry_ms * 2 : RECORDER_RETRY_MAX_MS;
}

static void start(struct recorder *r, int64_t now_us) {
    struct error e;
    r->started_us = r->heard_us = now_us;
    if (index_child_start(&r->child, &r->settings, !r->begun, r->suspect, &e) != 0) {
        set_state(r, INDEX_BROKEN, e.text);
        r->loading = false;
        retry_later(r, now_us);
        return;
    }
    r->resync = 0;
    if (r->begun)
        r->resync_wanted = true;
    r->loading = !r->begun;
    r->begun = true;
    r->broken = r->readable = false;
}

static void lose_child(struct recorder *r, bool crashed, const char *how, int64_t now_us) {
    char text[PIPE_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "the index is not in use: %s", how);
    set_state(r, INDEX_BROKEN, text);
    pipe_queue_clear(&r->queue);
    r->rest = (struct bytes){0};
    r->suspect |= crashed;
    r->loading = false;
    r->links = r->bytes = 0;
    retry_later(r, now_us);
}

static void watch(struct recorder *r, int64_t now_us) {
    char how[80];
    bool crashed;
    if (r->child.pid > 0 && now_us - r->heard_us > (int64_t)RECORDER_SILENCE_MS * US) {
        index_child_kill(&r->child);
        r->suspect = true;
        r->heard_us = now_us;
        log_warn("index-hung", "silent_ms=%d", RECORDER_SILENCE_MS);
    }
    if (r->broken || now_us - r->reaped_us >= REAP_US) {
        r->reaped_us = now_us;
        if (index_child_ended(&r->child, &crashed, how, sizeof how))
            lose_child(r, crashed, how, now_us);
    }
    if (r->child.pid == 0 && now_us >= r->retry_at_us)
        start(r, now_us);
}

/* ---- asking the workers for all they hold ---- */

static bool usable(const struct recorder *r) {
    return r->child.fd >= 0 && (r->state == INDEX_OK || r->state == INDEX_REBUILDING);
}

static bool is_refilling(const struct recorder *r, int64_t now_us) {
    if (r->resync_wanted || r->inventory_due)
        return true;
    bool asked = r->state == INDEX_REBUILDING && now_us < r->resync_us + REFILL_SHOWN_US;
    for (size_t i = 0; i < r->n_known; i++)
        asked |= r->known[i].asked;
    return asked && now_us < r->refill_until_us;
}

static int64_t resync_due_us(const struct recorder *r) {
    int64_t due_us = r->resync_us > 0 ? r->resync_us + r->resync_wait_ms * US : 0;
    int64_t quiet_us = r->skipped_us > 0 ? r->skipped_us + (int64_t)RECORDER_RESYNC_MS * US : 0;
    return quiet_us > due_us ? quiet_us : due_us;
}

/* The inventories of a large pool may be what fills the queue. */
static void space_resyncs(struct recorder *r) {
    bool fits = r->skipped == r->skipped_before;
    r->resync_wait_ms = fits ? RECORDER_RESYNC_MS : 2 * r->resync_wait_ms;
    if (r->resync_wait_ms > RECORDER_RESYNC_MOST_MS)
        r->resync_wait_ms = RECORDER_RESYNC_MOST_MS;
    r->skipped_before = r->skipped;
}

static void resync(struct recorder *r, int64_t now_us) {
    if (!r->resync_wanted || r->loading || !usable(r) || r->queue.bytes > 0 ||
        now_us < resync_due_us(r))
        return;
    r->resync_wanted = false;
    r->resync_us = now_us;
    space_resyncs(r);
    for (size_t i = 0; i < r->n_known; i++) {
        if (!r->known[i].live)
            continue;
        r->known[i].asked = true;
        push_worker(r, &r->known[i].worker, now_us);
    }
    r->inventory_due = true;
    r->refill_until_us = now_us + (int64_t)RECORDER_REFILL_MS * US;
}

int64_t recorder_turn(struct recorder *r, int64_t now_us) {
    if (is_off(r))
        return INT64_MAX;
    watch(r, now_us);
    flush(r);
    resync(r, now_us);
    int64_t due_us = r->child.pid == 0 ? r->retry_at_us
                     : r->broken       ? now_us + REAP_US / 10
                                       : r->heard_us + (int64_t)RECORDER_SILENCE_MS * US + US;
    if (r->resync_wanted && usable(r) && r->queue.bytes == 0 && resync_due_us(r) < due_us)
        due_us = resync_due_us(r) + US;
    return due_us;
}

/* ---- records in ---- */

static void take_status(struct recorder *r, const struct pipe_status *s) {
    r->links = s->links;
    r->bytes = s->bytes;
    if (s->resync != r->resync)
        r->resync_wanted = true;
    r->resync = s->resync;
    if (s->state == INDEX_OK || s->state == INDEX_REBUILDING)
        r->suspect = false;
    if (s->state >= INDEX_OK && s->state <= INDEX_REBUILDING)
        set_state(r, (enum index_state)s->state, s->text);
}

static struct bytes text_bytes(const struct index_text *t) {
    return (struct bytes){(const uint8_t *)t->text, t->size};
}

static bool recorded_links(struct recorder *r, const struct pipe_record *record,
                           struct event *out) {
    const struct known *k = find_known(r, record->incarnation);
    if (!k)
        return false;
    *out = (struct event){.type = EVENT_LINKS};
    out->links.recorded = true;
    out->links.told = (struct msg_links){.incarnation = record->incarnation, .held = record->held};
    out->links.worker = text_bytes(&k->worker.name);
    out->links.model = text_bytes(&k->worker.model);
    out->links.template_id = text_bytes(&k->worker.template_id);
    memcpy(out->links.fingerprint, k->worker.fingerprint, sizeof out->links.fingerprint);
    return true;
}

/* True when there is something for the core. */
static bool take(struct recorder *r, const struct pipe_record *record, struct event *out) {
    switch (record->type) {
    case PIPE_WORKER:
        if (r->loading)
            (void)keep_known(r, &record->worker->worker);
        return false;
    case PIPE_LINKS:
        return r->loading && recorded_links(r, record, out);
    case PIPE_LOADED:
        r->loading = false;
        return false;
    case PIPE_STATUS:
        take_status(r, record->status);
        return false;
    case PIPE_VOID:
        return false;
    }
    return false;
}

bool recorder_next(struct recorder *r, struct event *out, int64_t now_us) {
    if (is_off(r))
        return false;
    if (r->inventory_due) {
        r->inventory_due = false;
        *out = (struct event){.type = EVENT_INVENTORY};
        return true;
    }
    for (;;) {
        struct pipe_record record;
        while (pipe_next(&r->rest, &record))
            if (take(r, &record, out))
                return true;
        if (!r->readable || r->child.fd < 0)
            return false;
        ssize_t n = recv(r->child.fd, r->packet.bytes, sizeof r->packet.bytes, MSG_DONTWAIT);
        r->readable = n > 0;
        r->broken |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
        if (n > 0) {
            r->heard_us = now_us;
            r->rest = (struct bytes){r->packet.bytes, (size_t)n};
        }
    }
}

void recorder_heard(struct recorder *r) {
    r->readable = true;
}

bool recorder_await(struct recorder *r, int64_t end_us) {
    if (!r->loading || r->child.fd < 0 || r->broken)
        return false;
    int64_t left_ms = (end_us - clock_us()) / US;
    struct pollfd p = {.fd = r->child.fd, .events = POLLIN};
    r->readable = left_ms > 0 && poll(&p, 1, (int)left_ms) > 0;
    return r->readable;
}

/* ---- stats ---- */

void recorder_stats(const struct recorder *r, struct pool_stats *out, int64_t now_us) {
    out->index_state = r->state;
    if (usable(r))
        out->index_state = is_refilling(r, now_us) ? INDEX_REBUILDING : INDEX_OK;
    out->index_text = (struct bytes){(const uint8_t *)r->text, strlen(r->text)};
    out->index_links = r->links;
    out->index_bytes = r->bytes;
    out->index_skipped = r->skipped;
}
