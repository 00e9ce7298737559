/* body.h - the body of a request while it arrives: as large as what came, not as what was promised,
 * and counted with the bodies of all others. */
#ifndef QUIRE_GATEWAY_HTTP_BODY_H
#define QUIRE_GATEWAY_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/api/fault.h"

struct body {
    char *data; /* owned; not terminated */
    size_t size, room;
    uint64_t declared; /* Content-Length */
    bool chunked;
};

/* Adds a piece. -1 with 413 (above `max`), or 503 when all bodies together (*used, kept up to date)
 * would be more than `memory` bytes or there is no memory. */
int body_add(struct body *b, const char *data, size_t bytes, size_t max, size_t memory,
             size_t *used, struct fault *f);
void body_drop(struct body *b, size_t *used); /* frees the bytes */

#endif
