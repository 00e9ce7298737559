/* fault.c - faults, and the HTTP status of each of the pool's errors. */
#include "gateway/api/fault.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"

static const struct {
    int code, status;
} statuses[] = {
    {ERR_BAD_REQUEST, 400},   {ERR_UNSUPPORTED, 400},
    {ERR_TOO_LONG, 400},      {ERR_BAD_PICTURE, 422},
    {ERR_LIMIT, 413},         {ERR_BUSY, 429},
    {ERR_NO_WORKERS, 503},    {ERR_UNKNOWN_MODEL, 404},
    {ERR_NOT_FOUND, 404},     {ERR_WORKER_LOST, 502},
    {ERR_DEADLINE, 504},      {ERR_TIMEOUT, 504},
    {ERR_SHUTTING_DOWN, 503}, {ERR_IO, 503},
    {ERR_CANCELLED, 499},
};

int fault_set(struct fault *f, int status, int code, const char *param, const char *format, ...) {
    char text[sizeof f->text];
    *f = (struct fault){.status = status, .code = code};
    (void)snprintf(f->param, sizeof f->param, "%s", param ? param : "");
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* A sentence may quote a body, and was cut somewhere in a character. JSON takes text only. */
    uint8_t repaired[UTF8_REPAIRED_BYTES(sizeof f->text)];
    size_t n = utf8_repair(repaired, (const uint8_t *)text, strlen(text));
    if (n >= sizeof f->text)
        n = utf8_complete(repaired, sizeof f->text - 1);
    memcpy(f->text, repaired, n);
    return -1;
}

int fault_from_pool(struct fault *f, int code, const char *text, uint32_t retry_ms) {
    int status = 500;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].code == code)
            status = statuses[i].status;
    fault_set(f, status, code, "", "%s", text);
    f->retry_ms = retry_ms;
    return -1;
}
