/* error.c - sentences for failures. */
#include "common/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct code_row {
    int code;
    const char *name;
    int exit_code;
};

static const struct code_row code_rows[] = {
    {ERR_OK, "ok", EX_OK},
    {ERR_INTERNAL, "internal", EX_SOFTWARE},
    {ERR_NOMEM, "out-of-memory", EX_OSERR},
    {ERR_IO, "io", EX_IOERR},
    {ERR_USAGE, "usage", 2},
    {ERR_BAD_MODEL, "bad-model", EX_DATAERR},
    {ERR_UNSUPPORTED, "unsupported", EX_DATAERR},
    {ERR_BAD_MESSAGE, "bad-message", EX_PROTOCOL},
    {ERR_BAD_VERSION, "bad-version", EX_PROTOCOL},
    {ERR_BAD_REQUEST, "bad-request", EX_DATAERR},
    {ERR_BAD_PICTURE, "bad-picture", EX_DATAERR},
    {ERR_LIMIT, "limit", EX_DATAERR},
    {ERR_TOO_LONG, "too-long", EX_DATAERR},
    {ERR_BUSY, "busy", EX_TEMPFAIL},
    {ERR_NO_WORKERS, "no-workers", EX_UNAVAILABLE},
    {ERR_WORKER_LOST, "worker-lost", EX_UNAVAILABLE},
    {ERR_DEADLINE, "deadline", EX_TEMPFAIL},
    {ERR_CANCELLED, "cancelled", 130},
    {ERR_UNKNOWN_MODEL, "unknown-model", EX_NOINPUT},
    {ERR_NOT_FOUND, "not-found", EX_NOINPUT},
    {ERR_SHUTTING_DOWN, "shutting-down", EX_UNAVAILABLE},
    {ERR_TIMEOUT, "timeout", EX_UNAVAILABLE},
};

static const struct code_row *find_row(int code) {
    for (size_t i = 0; i < sizeof code_rows / sizeof code_rows[0]; i++)
        if (code_rows[i].code == code)
            return &code_rows[i];
    return NULL;
}

int error_set(struct error *e, int code, const char *format, ...) {
    if (e == NULL)
        return code;
    va_list args;
    va_start(args, format);
    e->code = code;
    (void)vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    return code;
}

void error_prefix(struct error *e, const char *format, ...) {
    if (e == NULL)
        return;
    char old[ERROR_TEXT_BYTES];
    memcpy(old, e->text, sizeof old);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    size_t at = used < 0 ? 0 : (size_t)used;
    if (at < sizeof e->text - 1)
        (void)snprintf(e->text + at, sizeof e->text - at, ": %s", old);
}

const char *error_name(int code) {
    const struct code_row *row = find_row(code);
    return row ? row->name : "unknown";
}

int error_exit_code(int code) {
    const struct code_row *row = find_row(code);
    return row ? row->exit_code : EX_SOFTWARE;
}
