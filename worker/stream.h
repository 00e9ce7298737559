/* stream.h - from token bytes to the text a client may see.
 *
 * Two things hold text back: a character of which only some bytes have come, and an end of the text
 * that may grow into a stop string. Everything else is shown at once. Bytes that can never become a
 * character show as U+FFFD. */
#ifndef QUIRE_WORKER_STREAM_H
#define QUIRE_WORKER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "proto/limits.h"

struct stream_stop {
    uint8_t text[LIMIT_STOP_BYTES];
    uint16_t fallback[LIMIT_STOP_BYTES]; /* of each length - 1: the next shorter match */
    uint16_t size;
    uint16_t index;   /* among all that were given */
    uint16_t matched; /* how much of it the text ends with now */
};

struct stream {
    struct stream_stop *stops; /* owned */
    size_t n_stops;
    uint8_t *text; /* owned: not yet taken; the last `held` bytes may begin a stop string */
    size_t size, held, capacity;
    uint8_t *raw; /* owned: bytes of characters that are not whole yet, then the new piece */
    size_t raw_size, raw_capacity;
    bool stopped; /* a stop string came: it and what follows are gone, held is 0 */
    int32_t stop; /* which one: its index among those given to stream_open; -1: none yet */
};

/* Keeps a copy of the stop strings (UTF-8; empty ones never match). ERR_LIMIT above LIMIT_STOPS of
 * them or LIMIT_STOP_BYTES in one, ERR_NOMEM. */
int stream_open(struct stream *s, const struct bytes *stops, size_t n_stops);

/* Takes all memory that pieces of up to `longest_piece` bytes can need, so that stream_push does
 * not. ERR_NOMEM. */
int stream_reserve(struct stream *s, size_t longest_piece);
void stream_close(struct stream *s); /* a zeroed one is fine */

/* Takes the bytes of the next token. After s->stopped nothing more is taken. ERR_NOMEM. */
int stream_push(struct stream *s, struct bytes piece);

/* No token will follow: what was held back is shown, and half a character becomes U+FFFD. */
int stream_finish(struct stream *s);

/* What may be shown now, borrowed until the next call with s; stream_take then forgets it. */
struct bytes stream_ready(const struct stream *s);
void stream_take(struct stream *s);

#endif
