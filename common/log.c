/* log.c - the log sink: standard error, one write per line. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES 1024 /* a longer line is cut */

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static enum log_level lowest = LOG_INFO;

void log_set_level(enum log_level level) {
    lowest = level;
}

int log_parse_level(const char *text, enum log_level *out) {
    for (int i = 0; i <= LOG_OFF; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

void log_write(enum log_level level, const char *id, const char *format, ...) {
    if (level < lowest)
        return;
    char line[LOG_LINE_BYTES];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf(line + used, sizeof line - used, ".%03ldZ %s %s ", now.tv_nsec / 1000000L,
                     level_names[level], id);
    used += n > 0 ? (size_t)n : 0;
    if (used < sizeof line - 1) {
        va_list args;
        va_start(args, format);
        n = vsnprintf(line + used, sizeof line - used, format, args);
        va_end(args);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* a log that cannot be written has nowhere to complain */
}
