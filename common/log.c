/* log.c - the log sink: standard error, one write per line. */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/utf8.h"

#define LOG_LINE_BYTES 1024 /* a longer line is cut */
#define LOG_JSON_BYTES 4096 /* facts that do not fit are left out */
#define LOG_JSON_SPARE 8    /* for what ends the line */

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static enum log_level lowest = LOG_INFO;
static bool as_json;

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

void log_set_json(bool on) {
    as_json = on;
}

/* ---- JSON ---- */

/* A line under construction; what does not fit is left out. */
struct line {
    char text[LOG_JSON_BYTES];
    size_t used;
};

static void add(struct line *l, const char *s, size_t n) {
    if (n > sizeof l->text - LOG_JSON_SPARE - l->used)
        return;
    memcpy(l->text + l->used, s, n);
    l->used += n;
}

static void add_string(struct line *l, const char *s, size_t n) {
    add(l, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            add(l, "\\", 1);
        add(l, s + i, 1); /* control characters are gone already */
    }
    add(l, "\"", 1);
}

/* JSON's numbers, without exponents and leading zeros. */
static bool is_number(const char *s, size_t n) {
    size_t i = n > 0 && s[0] == '-', digits = i;
    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    if (i == digits || i - digits > 15 || (s[digits] == '0' && i - digits > 1))
        return false;
    if (i < n && s[i] == '.') {
        digits = ++i;
        while (i < n && s[i] >= '0' && s[i] <= '9')
            i++;
        if (i == digits)
            return false;
    }
    return i == n;
}

/* The length of a fact's name at s, 0 when there is none. */
static size_t name_length(const char *s, const char *end) {
    const char *p = s;
    while (p < end && ((*p >= 'a' && *p <= 'z') || *p == '_' || (*p >= '0' && *p <= '9')))
        p++;
    return p < end && p > s && *p == '=' ? (size_t)(p - s) : 0;
}

/* Where the fact that begins at s ends: before the next one, or at the end. */
static const char *fact_end(const char *s, const char *end) {
    for (const char *p = s; p < end; p++)
        if (*p == ' ' && name_length(p + 1, end) > 0)
            return p;
    return end;
}

static void add_facts(struct line *l, const char *s, const char *end) {
    while (s < end) {
        size_t name = name_length(s, end);
        const char *value = name ? s + name + 1 : s, *stop = fact_end(value, end);
        size_t n = (size_t)(stop - value);
        /* All of it or none. */
        if (2 * n + name + 8 > sizeof l->text - LOG_JSON_SPARE - l->used)
            return;
        add(l, ",", 1);
        add_string(l, name ? s : "text", name ? name : 4);
        add(l, ":", 1);
        if (name && is_number(value, n))
            add(l, value, n);
        else
            add_string(l, value, n);
        s = stop + 1;
    }
}

/* time, level and id are parts of `plain`, whose facts begin at `facts`. */
static size_t make_json(struct line *l, const char *time, enum log_level level, const char *id,
                        const char *facts, size_t bytes) {
    static const char *const names[] = {"{\"time\":", ",\"level\":", ",\"event\":"};
    const char *values[] = {time, level_names[level], id};
    uint8_t repaired[UTF8_REPAIRED_BYTES(LOG_LINE_BYTES)];
    for (size_t i = 0; i < 3; i++) {
        add(l, names[i], strlen(names[i]));
        add_string(l, values[i], strlen(values[i]));
    }
    size_t n = utf8_repair(repaired, (const uint8_t *)facts, bytes);
    add_facts(l, (const char *)repaired, (const char *)repaired + n);
    l->text[l->used++] = '}';
    l->text[l->used++] = '\n';
    return l->used;
}

/* ---- lines ---- */

static void make_time(char out[32]) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out + used, 32 - used, ".%03ldZ", now.tv_nsec / 1000000L);
}

void log_write(enum log_level level, const char *id, const char *format, ...) {
    if (level < lowest)
        return;
    char line[LOG_LINE_BYTES], time[32];
    make_time(time);
    int n = snprintf(line, sizeof line, "%s %s %s ", time, level_names[level], id);
    size_t head = n > 0 ? (size_t)n : 0, used = head;
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
    struct line json = {.used = 0};
    ssize_t written; /* a log that cannot be written has nowhere to complain */
    if (as_json && head <= used) {
        size_t bytes = make_json(&json, time, level, id, line + head, used - head);
        written = write(STDERR_FILENO, json.text, bytes);
    } else {
        line[used++] = '\n';
        written = write(STDERR_FILENO, line, used);
    }
    (void)written;
}
