/* target.h - the target of a request line: path and query (RFC 9112, 3.2). */
#ifndef QUIRE_GATEWAY_HTTP_TARGET_H
#define QUIRE_GATEWAY_HTTP_TARGET_H

#include <stddef.h>

#include "gateway/api/fault.h"

#define TARGET_PARAMETERS 16
#define TARGET_BYTES 4096 /* a longer one is refused */

struct target {
    char *text;       /* owned; cut into the parts below */
    const char *host; /* of an absolute target: its authority; else NULL */
    const char *path; /* "*" for OPTIONS of the whole server */
    struct {
        const char *name, *value; /* decoded */
    } query[TARGET_PARAMETERS];
    size_t n_query;
};

/* 400 for what is no target, 414 when it is too long. */
int target_read(struct target *t, const char *text, struct fault *f);
void target_close(struct target *t);
/* Decodes %XX in place; -1: bad digits, or a NUL. plus: '+' is a space. */
int target_decode(char *text, int plus);

#endif
