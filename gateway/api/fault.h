/* fault.h - what went wrong with an HTTP request, before any dialect puts it in its own shape. */
#ifndef QUIRE_GATEWAY_FAULT_H
#define QUIRE_GATEWAY_FAULT_H

#include <stdint.h>

#include "common/error.h"

struct fault {
    int status;     /* HTTP: 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503.. */
    int code;       /* an error_code; dialects show error_name of it where they have a free field */
    char param[96]; /* the field that is wrong: "messages.0.content.1.image_url"; "" if none */
    char text[512]; /* a sentence */
    uint32_t retry_ms; /* 0: no advice; becomes Retry-After (seconds, rounded up) */
};

/* Fills *f and returns -1, so that a failing function can return it. */
int fault_set(struct fault *f, int status, int code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The status that belongs to an error of the pool: bad-request 400, bad-picture 422, limit 413,
 * too-long 400, busy 429, no-workers 503, unknown-model 404, worker-lost 502, deadline 504,
 * shutting-down and io 503, cancelled 499, all else 500. */
int fault_from_pool(struct fault *f, int code, const char *text, uint32_t retry_ms);

#endif
