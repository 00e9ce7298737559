/* notes.c - which id and level each note has. What a client can cause at will is debug, so that it
 * can't fill the log. */
#include "broker/shell/notes.h"

#include "common/log.h"
#include "common/must.h"

static const struct {
    const char *id;
    enum log_level level;
} lines[NOTES] = {
    [NOTE_WORKER_UP] = {"worker-up", LOG_INFO},
    [NOTE_WORKER_BACK] = {"worker-back", LOG_INFO},
    [NOTE_WORKER_REPLACED] = {"worker-replaced", LOG_WARN},
    [NOTE_WORKER_LOST] = {"worker-lost", LOG_WARN},
    [NOTE_WORKER_LEFT] = {"worker-left", LOG_INFO},
    [NOTE_WORKER_DRAINING] = {"worker-draining", LOG_INFO},
    [NOTE_WORKER_DRAINED] = {"worker-drained", LOG_INFO},
    [NOTE_WORKER_UNDRAINED] = {"worker-undrained", LOG_INFO},
    [NOTE_WORKER_REFUSED] = {"worker-refused", LOG_WARN},
    [NOTE_REQUEST_RESENT] = {"request-resent", LOG_INFO},
    [NOTE_REQUEST_FAILED] = {"request-failed", LOG_INFO},
    [NOTE_CONTENT_REFUSED] = {"content-refused", LOG_WARN},
    [NOTE_CLIENT_CUT] = {"client-cut-off", LOG_WARN},
    [NOTE_CLIENT_GONE] = {"client-gone", LOG_DEBUG},
    [NOTE_SLEPT] = {"broker-slept", LOG_WARN},
};

void notes_log(const struct action *a) {
    MUST(a->type == ACTION_NOTE && (unsigned)a->note < NOTES);
    if (a->worker.size > 0)
        log_write(lines[a->note].level, lines[a->note].id, "worker=%s %s", a->worker.text, a->text);
    else
        log_write(lines[a->note].level, lines[a->note].id, "%s", a->text);
}
