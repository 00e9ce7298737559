/* body.c - bodies of requests. */
#include "gateway/http/body.h"

#include <stdlib.h>
#include <string.h>

#define BODY_FIRST_BYTES ((size_t)16 << 10)
#define BODY_RETRY_MS 1000

static int body_grow(struct body *b, size_t need, size_t max, size_t memory, size_t *used,
                     struct fault *f) {
    size_t room = b->room ? b->room : BODY_FIRST_BYTES;
    while (room < need)
        room = room > max / 2 ? max : 2 * room;
    if (!b->chunked && room > b->declared)
        room = (size_t)b->declared; /* never less than need: MHD gives no more than was declared */
    if (room < need)
        room = need;
    size_t more = room - b->room;
    char *grown = more <= memory && *used <= memory - more ? realloc(b->data, room) : NULL;
    if (grown == NULL) {
        fault_set(f, 503, ERR_BUSY, "", "the bodies of all requests take %zu bytes; try again",
                  *used);
        f->retry_ms = BODY_RETRY_MS;
        return -1;
    }
    b->data = grown;
    b->room = room;
    *used += more;
    return 0;
}

int body_add(struct body *b, const char *data, size_t bytes, size_t max, size_t memory,
             size_t *used, struct fault *f) {
    if (bytes > max - b->size)
        return fault_set(f, 413, ERR_LIMIT, "", "the body is larger than %zu bytes", max);
    if (bytes > b->room - b->size && body_grow(b, b->size + bytes, max, memory, used, f) < 0)
        return -1;
    memcpy(b->data + b->size, data, bytes);
    b->size += bytes;
    return 0;
}

void body_drop(struct body *b, size_t *used) {
    free(b->data);
    *used -= b->room;
    b->data = NULL;
    b->size = b->room = 0;
}
