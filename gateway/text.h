/* text.h - text that grows up to a bound, for bodies and events under construction.
 *
 * Adding never fails by itself: what memory or the bound refused sets `failed`, which is asked once
 * at the end. A failed text keeps what it had. */
#ifndef QUIRE_GATEWAY_TEXT_H
#define QUIRE_GATEWAY_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data; /* owned; not terminated */
    size_t size, room;
    size_t max; /* bytes */
    bool failed;
};

void text_init(struct text *t, size_t max);
void text_close(struct text *t); /* a zeroed one is fine; leaves it as text_init did */
void text_add(struct text *t, const char *data, size_t bytes);
void text_print(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Compact JSON of value; takes the caller's reference. NULL (memory ran out) sets failed. */
void text_json(struct text *t, json_t *value);
/* "event: NAME\n" (NULL: no such line) and "data: JSON\n\n"; takes the reference. */
void text_event(struct text *t, const char *name, json_t *value);
/* Drops the first `bytes` bytes. */
void text_drop(struct text *t, size_t bytes);

#endif
