/* log.h - one line per event on standard error: time, level, a stable id, then facts.
 *
 *     log_warn("worker-lost", "worker=%u silent_ms=%u", id, ms);
 *     2026-03-01T12:00:00.123Z warn worker-lost worker=3 silent_ms=2004
 *
 * A line is written with one write(2), so lines of several threads and processes do not mix.
 * Control characters in facts are replaced, so that a peer's text cannot forge a line. */
#ifndef QUIRE_COMMON_LOG_H
#define QUIRE_COMMON_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

/* The lowest level that is written; LOG_INFO at start. Not to be called while other threads log. */
void log_set_level(enum log_level level);

/* "debug", "info", "warn", "error", "off" -> *out; -1 for any other text. */
int log_parse_level(const char *text, enum log_level *out);

/* Lines become JSON objects: {"time", "level", "event", and each fact "name=value" as a member}.
 * What stands between facts without a name belongs to the one before it, or is "text". All values
 * are strings but whole and decimal numbers. As log_set_level for threads. */
void log_set_json(bool on);

void log_write(enum log_level level, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(id, ...) log_write(LOG_DEBUG, id, __VA_ARGS__)
#define log_info(id, ...) log_write(LOG_INFO, id, __VA_ARGS__)
#define log_warn(id, ...) log_write(LOG_WARN, id, __VA_ARGS__)
#define log_error(id, ...) log_write(LOG_ERROR, id, __VA_ARGS__)

#endif
