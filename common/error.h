/* error.h - a failure is a stable code and a sentence.
 *
 * Functions that can fail return 0 or a negative code below. Those that can say more than the code
 * also take `struct error *e` and write a sentence that tells what, where and what to do; `e` may
 * be NULL. The codes travel on the wire (proto/SPEC.md, "Error codes"), so their numbers never
 * change; new ones are added at the end. */
#ifndef QUIRE_COMMON_ERROR_H
#define QUIRE_COMMON_ERROR_H

#include <stddef.h>

enum error_code {
    ERR_OK = 0,
    ERR_INTERNAL = -1,       /* our own fault */
    ERR_NOMEM = -2,          /* memory ran out */
    ERR_IO = -3,             /* a file or socket failed; the sentence holds errno's text */
    ERR_USAGE = -4,          /* a flag, setting or argument is wrong */
    ERR_BAD_MODEL = -5,      /* a model file is damaged or inconsistent */
    ERR_UNSUPPORTED = -6,    /* a valid thing that this build does not do */
    ERR_BAD_MESSAGE = -7,    /* a message breaks proto/SPEC.md */
    ERR_BAD_VERSION = -8,    /* a peer speaks no version we speak */
    ERR_BAD_REQUEST = -9,    /* a request's content is wrong (options, roles, empty) */
    ERR_BAD_PICTURE = -10,   /* a picture is damaged, of another format, or too large */
    ERR_LIMIT = -11,         /* a named limit was passed */
    ERR_TOO_LONG = -12,      /* prompt and answer do not fit in the model's context or the pages */
    ERR_BUSY = -13,          /* the queue is full; try again after retry_ms */
    ERR_NO_WORKERS = -14,    /* no live worker serves the model */
    ERR_WORKER_LOST = -15,   /* the worker died and the request can't be sent again */
    ERR_DEADLINE = -16,      /* the request's deadline passed */
    ERR_CANCELLED = -17,     /* the client asked for it */
    ERR_UNKNOWN_MODEL = -18, /* no worker ever announced that model */
    ERR_NOT_FOUND = -19,     /* no such worker, request or file */
    ERR_SHUTTING_DOWN = -20, /* the process is on its way out */
    ERR_TIMEOUT = -21,       /* a peer did not answer in time */
};

#define ERROR_TEXT_BYTES 512

struct error {
    int code;                    /* an error_code, or 0 */
    char text[ERROR_TEXT_BYTES]; /* one sentence, NUL-terminated, cut if longer */
};

/* Writes code and sentence into e (which may be NULL) and returns code, so that a failing function
 * can say: return error_set(e, ERR_IO, "...", ...); */
int error_set(struct error *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence already in e; for callers that know the file or the place. */
void error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The stable lower-case name of a code ("bad-picture"), "unknown" for others. Static storage. */
const char *error_name(int code);

/* The process exit code for an error_code: 0 for OK, 2 for usage, 69.. as in sysexits.h. */
int error_exit_code(int code);

#endif
