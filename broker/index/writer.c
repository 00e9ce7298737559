/* writer.c - see writer.h. */
#include "broker/index/writer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

void writer_init(struct writer *w, const struct store_settings *settings, bool anew,
                 int64_t now_ms) {
    *w = (struct writer){.settings = *settings,
                         .state = INDEX_BROKEN,
                         .set_aside_first = anew,
                         .commit_wait_ms = WRITER_COMMIT_MS,
                         .started_ms = now_ms,
                         .retry_ms = WRITER_RETRY_MIN_MS};
    w->place.lock = -1;
    (void)snprintf(w->text, sizeof w->text, "the index is being opened");
}

static void say(struct writer *w, enum index_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct writer *w, enum index_state state, const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vsnprintf(w->text, sizeof w->text, format, args);
    va_end(args);
    w->state = state;
}

static void shut(struct writer *w, int64_t now_ms) {
    store_close(w->store);
    w->store = NULL;
    w->missed = true;
    place_leave(&w->place);
    w->retry_at_ms = now_ms + w->retry_ms;
    w->retry_ms = w->retry_ms * 2 < WRITER_RETRY_MAX_MS ? w->retry_ms * 2 : WRITER_RETRY_MAX_MS;
}

static bool is_full(int why) {
    return why == ENOSPC || why == EDQUOT || why == EFBIG;
}

static void shut_because(struct writer *w, bool full, const char *sentence, int64_t now_ms) {
    say(w, full ? INDEX_FULL : INDEX_BROKEN, "the index is not in use: %s", sentence);
    shut(w, now_ms);
}

/* ---- opening ---- */

static bool set_aside(struct writer *w, const char *why) {
    (void)snprintf(w->lost, sizeof w->lost, "%s", why);
    return place_set_aside(&w->place);
}

/* What is there is checked, and moved away when it is damaged. */
static int prepare(struct writer *w, struct error *e) {
    enum place_content content = PLACE_DAMAGED;
    if (w->set_aside_first)
        (void)error_set(e, ERR_IO, "its writer crashed or hung");
    else
        content = place_check(&w->place, e);
    if (content == PLACE_EMPTY && w->missed && !w->lost[0])
        (void)snprintf(w->lost, sizeof w->lost, "its files were gone");
    if (content == PLACE_DAMAGED && !set_aside(w, e->text))
        return ERR_IO;
    w->set_aside_first = false;
    return 0;
}

/* Tries a second time with nothing there. */
static int open_store(struct writer *w, enum store_fault *fault, struct error *e) {
    int rc = store_open(&w->store, &w->settings, fault, e);
    if (rc == 0 || *fault != STORE_DAMAGED)
        return rc;
    *fault = STORE_UNUSABLE;
    return set_aside(w, e->text) ? store_open(&w->store, &w->settings, fault, e) : rc;
}

/* After FULL it is well again only once something was written. */
static void opened(struct writer *w, int64_t now_ms) {
    place_note(&w->place);
    w->looked_ms = now_ms;
    w->resync += w->missed || w->lost[0];
    w->missed = false;
    if (w->lost[0])
        say(w, INDEX_REBUILDING, "the index was begun anew: %s", w->lost);
    else if (w->state != INDEX_FULL)
        say(w, INDEX_OK, "%s", "");
    w->lost[0] = '\0';
}

static void open_now(struct writer *w, int64_t now_ms) {
    struct error e = {0};
    int why = 0;
    int rc = place_take(&w->place, w->settings.dir, &why, &e);
    if (rc == ERR_BUSY && !w->tried && now_ms - w->started_ms < WRITER_BUSY_MS) {
        w->retry_at_ms = now_ms + WRITER_BUSY_RETRY_MS;
        return;
    }
    w->tried = true;
    if (rc == 0)
        rc = place_has_room(&w->place, &why, &e);
    if (rc == 0)
        rc = prepare(w, &e);
    enum store_fault fault = is_full(why) ? STORE_FULL : STORE_UNUSABLE;
    if (rc == 0)
        rc = open_store(w, &fault, &e);
    if (rc == 0)
        opened(w, now_ms);
    else
        shut_because(w, fault == STORE_FULL, e.text, now_ms);
}

/* ---- while it is open ---- */

static void failed(struct writer *w, const struct error *e, int64_t now_ms) {
    bool damaged = store_fault_of(w->store) == STORE_DAMAGED;
    int why = 0;
    bool full = store_fault_of(w->store) == STORE_FULL ||
                (!damaged && place_has_room(&w->place, &why, NULL) != 0 && is_full(why));
    if (damaged) {
        store_close(w->store);
        w->store = NULL;
        damaged = set_aside(w, e->text);
    }
    shut_because(w, full, e->text, now_ms);
    if (damaged)
        w->retry_at_ms = now_ms;
}

static void look(struct writer *w, int64_t now_ms) {
    w->looked_ms = now_ms;
    enum place_change change = place_look(&w->place);
    if (change == PLACE_SAME)
        return;
    if (change == PLACE_SHRUNK)
        w->set_aside_first = true; /* it can't even be looked at safely */
    shut_because(w, false,
                 change == PLACE_SHRUNK ? "its file was cut short" : "its files were replaced",
                 now_ms);
    w->retry_at_ms = now_ms;
}

static void commit(struct writer *w, int64_t now_ms) {
    struct error e;
    int64_t begin_ms = clock_ms();
    if (store_commit(w->store, &e) != 0) {
        failed(w, &e, now_ms);
        return;
    }
    int64_t wait_ms = WRITER_COMMIT_SHARE * (clock_ms() - begin_ms);
    w->commit_wait_ms = wait_ms < WRITER_COMMIT_MS        ? WRITER_COMMIT_MS
                        : wait_ms > WRITER_COMMIT_MOST_MS ? WRITER_COMMIT_MOST_MS
                                                          : wait_ms;
    w->retry_ms = WRITER_RETRY_MIN_MS;
    if (w->state == INDEX_FULL)
        say(w, INDEX_OK, "%s", "");
}

void writer_take(struct writer *w, const struct pipe_record *r, int64_t now_ms) {
    struct error e;
    int rc = 0;
    if (!w->store)
        return;
    if (store_pending(w->store) == 0)
        w->pending_since_ms = now_ms;
    if (r->type == PIPE_WORKER)
        rc = store_worker(w->store, &r->worker->worker, &e);
    else if (r->type == PIPE_VOID)
        rc = store_void(w->store, r->incarnation, &e);
    else if (r->type == PIPE_LINKS)
        rc = store_links(w->store, r->incarnation, r->reset, r->held, r->dropped, &e);
    if (rc != 0)
        failed(w, &e, now_ms);
    else if (store_pending(w->store) >= WRITER_BATCH)
        commit(w, now_ms);
}

int64_t writer_turn(struct writer *w, int64_t now_ms) {
    struct error e;
    bool more = false;
    if (!w->store && now_ms >= w->retry_at_ms)
        open_now(w, now_ms);
    if (w->store && now_ms - w->looked_ms >= WRITER_LOOK_MS)
        look(w, now_ms);
    if (w->store && store_sweep(w->store, &more, &e) != 0)
        failed(w, &e, now_ms);
    if (w->store && store_pending(w->store) > 0 &&
        (now_ms - w->pending_since_ms >= w->commit_wait_ms ||
         store_pending(w->store) >= WRITER_BATCH))
        commit(w, now_ms);
    if (!w->store)
        return w->retry_at_ms;
    int64_t due_ms = w->looked_ms + WRITER_LOOK_MS;
    if (store_pending(w->store) > 0 && w->pending_since_ms + w->commit_wait_ms < due_ms)
        due_ms = w->pending_since_ms + w->commit_wait_ms;
    return more ? now_ms + 1 : due_ms;
}

void writer_close(struct writer *w) {
    struct error e;
    if (w->store && store_pending(w->store) > 0 && store_commit(w->store, &e) != 0)
        log_warn("index-state", "dir=%s the last commit failed: %s", w->settings.dir, e.text);
    store_close(w->store);
    w->store = NULL;
    place_leave(&w->place);
}

void writer_tell(struct writer *w, const struct store_listener *to) {
    struct error e;
    if (w->store && store_tell(w->store, to, &e) != 0)
        failed(w, &e, 0);
}

void writer_status(const struct writer *w, struct pipe_status *out) {
    out->state = w->state;
    out->resync = w->resync;
    out->links = w->store ? store_holders(w->store) : 0;
    out->bytes = w->store ? store_bytes(w->store) : 0;
    memcpy(out->text, w->text, sizeof out->text);
}
