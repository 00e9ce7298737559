/* cursor.h - reads msgpack values one by one from a run of bytes that nobody has checked.
 *
 * Nothing is believed before it is checked: a string's length and an array's count are compared
 * with the bytes that are left, so a few bytes that declare gigabytes are refused at once. Values
 * borrow from the run. Nothing here allocates or recurses. */
#ifndef QUIRE_PROTO_CURSOR_H
#define QUIRE_PROTO_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

struct cursor {
    const uint8_t *at, *end;
};

enum value_kind {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_UINT, /* an integer >= 0, however it was encoded */
    VALUE_INT,  /* an integer < 0 */
    VALUE_FLOAT,
    VALUE_STR,
    VALUE_BIN,
    VALUE_EXT,
    VALUE_ARRAY, /* `count` values follow */
    VALUE_MAP,   /* `count` pairs of values follow */
};

struct value {
    enum value_kind kind;
    union {
        bool boolean;
        uint64_t uint;
        int64_t sint;
        double real;
        struct bytes bytes; /* STR, BIN, EXT */
        uint32_t count;     /* ARRAY, MAP; no more than the bytes left could hold */
    };
};

static inline struct cursor cursor_over(struct bytes run) {
    return (struct cursor){run.data, run.size > 0 ? run.data + run.size : run.data};
}

static inline size_t cursor_left(const struct cursor *c) {
    return (size_t)(c->end - c->at);
}

/* Reads one value: a scalar or string whole, of an array or map the head. ERR_BAD_MESSAGE when the
 * bytes end inside it or its first byte is none of msgpack's; *c is then not to be used further. */
int cursor_next(struct cursor *c, struct value *out, struct error *e);

/* Passes over one value with all that is in it. ERR_BAD_MESSAGE as above; ERR_LIMIT for arrays and
 * maps nested deeper than LIMIT_DEPTH. */
int cursor_skip(struct cursor *c, struct error *e);

/* "a map", "a string"...: for sentences. */
const char *value_kind_name(enum value_kind kind);

#endif
