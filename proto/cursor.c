/* cursor.c - the msgpack format, read defensively.
 *
 * The first byte of a value says its kind and either its size or how many big-endian bytes hold the
 * size. Every array element takes at least one byte and every map pair two, so a count above that
 * cannot be true; refusing it here is what makes "allocate count elements" safe for callers. */
#include "proto/cursor.h"

#include <string.h>

#include "proto/limits.h"

static int cut_short(struct error *e) {
    return error_set(e, ERR_BAD_MESSAGE, "the message ends inside a value");
}

const char *value_kind_name(enum value_kind kind) {
    static const char *const names[] = {
        [VALUE_NIL] = "nil",        [VALUE_BOOL] = "a boolean",   [VALUE_UINT] = "an integer",
        [VALUE_INT] = "an integer", [VALUE_FLOAT] = "a float",    [VALUE_STR] = "a string",
        [VALUE_BIN] = "a binary",   [VALUE_EXT] = "an extension", [VALUE_ARRAY] = "an array",
        [VALUE_MAP] = "a map",
    };
    return names[kind];
}

/* A big-endian unsigned number of 1, 2, 4 or 8 bytes. False when the run is shorter. */
static bool take_number(struct cursor *c, size_t size, uint64_t *out) {
    if (cursor_left(c) < size)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < size; i++)
        n = n << 8 | c->at[i];
    c->at += size;
    *out = n;
    return true;
}

static int take_bytes(struct cursor *c, enum value_kind kind, uint64_t size, struct value *out,
                      struct error *e) {
    if (size > cursor_left(c))
        return error_set(e, ERR_BAD_MESSAGE, "%s declares %llu bytes where %zu are left",
                         value_kind_name(kind), (unsigned long long)size, cursor_left(c));
    out->kind = kind;
    out->bytes = (struct bytes){c->at, (size_t)size};
    c->at += size;
    return 0;
}

static int take_count(struct cursor *c, enum value_kind kind, uint64_t count, struct value *out,
                      struct error *e) {
    size_t room = kind == VALUE_MAP ? cursor_left(c) / 2 : cursor_left(c);
    if (count > room)
        return error_set(e, ERR_BAD_MESSAGE, "%s declares %llu entries where %zu bytes are left",
                         value_kind_name(kind), (unsigned long long)count, cursor_left(c));
    out->kind = kind;
    out->count = (uint32_t)count;
    return 0;
}

static void set_signed(struct value *out, int64_t n) {
    if (n >= 0) {
        out->kind = VALUE_UINT;
        out->uint = (uint64_t)n;
    } else {
        out->kind = VALUE_INT;
        out->sint = n;
    }
}

static double real_of(uint64_t bits, size_t size) {
    if (size == 4) {
        uint32_t narrow = (uint32_t)bits;
        float f;
        memcpy(&f, &narrow, sizeof f);
        return (double)f;
    }
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static int64_t sign_extend(uint64_t bits, size_t size) {
    switch (size) {
    case 1:
        return (int8_t)(uint8_t)bits;
    case 2:
        return (int16_t)(uint16_t)bits;
    case 4:
        return (int32_t)(uint32_t)bits;
    default:
        return (int64_t)bits;
    }
}

/* What a first byte of 0xc0..0xdf says: the kind, and how many bytes of number or size follow. */
struct head {
    enum { HEAD_NONE, HEAD_SIMPLE, HEAD_NUMBER, HEAD_SIGNED, HEAD_BYTES, HEAD_COUNT } form;
    enum value_kind kind;
    size_t number_size;
    size_t extra; /* bytes beside the declared size: the type byte of an extension */
    size_t fixed; /* fixext: its size, where no number follows */
};

static const struct head heads[32] = {
    [0x00] = {HEAD_SIMPLE, VALUE_NIL, 0, 0, 0},   [0x02] = {HEAD_SIMPLE, VALUE_BOOL, 0, 0, 0},
    [0x03] = {HEAD_SIMPLE, VALUE_BOOL, 0, 0, 0},  [0x04] = {HEAD_BYTES, VALUE_BIN, 1, 0, 0},
    [0x05] = {HEAD_BYTES, VALUE_BIN, 2, 0, 0},    [0x06] = {HEAD_BYTES, VALUE_BIN, 4, 0, 0},
    [0x07] = {HEAD_BYTES, VALUE_EXT, 1, 1, 0},    [0x08] = {HEAD_BYTES, VALUE_EXT, 2, 1, 0},
    [0x09] = {HEAD_BYTES, VALUE_EXT, 4, 1, 0},    [0x0a] = {HEAD_NUMBER, VALUE_FLOAT, 4, 0, 0},
    [0x0b] = {HEAD_NUMBER, VALUE_FLOAT, 8, 0, 0}, [0x0c] = {HEAD_NUMBER, VALUE_UINT, 1, 0, 0},
    [0x0d] = {HEAD_NUMBER, VALUE_UINT, 2, 0, 0},  [0x0e] = {HEAD_NUMBER, VALUE_UINT, 4, 0, 0},
    [0x0f] = {HEAD_NUMBER, VALUE_UINT, 8, 0, 0},  [0x10] = {HEAD_SIGNED, VALUE_INT, 1, 0, 0},
    [0x11] = {HEAD_SIGNED, VALUE_INT, 2, 0, 0},   [0x12] = {HEAD_SIGNED, VALUE_INT, 4, 0, 0},
    [0x13] = {HEAD_SIGNED, VALUE_INT, 8, 0, 0},   [0x14] = {HEAD_BYTES, VALUE_EXT, 0, 1, 1},
    [0x15] = {HEAD_BYTES, VALUE_EXT, 0, 1, 2},    [0x16] = {HEAD_BYTES, VALUE_EXT, 0, 1, 4},
    [0x17] = {HEAD_BYTES, VALUE_EXT, 0, 1, 8},    [0x18] = {HEAD_BYTES, VALUE_EXT, 0, 1, 16},
    [0x19] = {HEAD_BYTES, VALUE_STR, 1, 0, 0},    [0x1a] = {HEAD_BYTES, VALUE_STR, 2, 0, 0},
    [0x1b] = {HEAD_BYTES, VALUE_STR, 4, 0, 0},    [0x1c] = {HEAD_COUNT, VALUE_ARRAY, 2, 0, 0},
    [0x1d] = {HEAD_COUNT, VALUE_ARRAY, 4, 0, 0},  [0x1e] = {HEAD_COUNT, VALUE_MAP, 2, 0, 0},
    [0x1f] = {HEAD_COUNT, VALUE_MAP, 4, 0, 0},
};

static int take_headed(struct cursor *c, uint8_t first, struct value *out, struct error *e) {
    const struct head *head = &heads[first - 0xc0];
    uint64_t number = 0;
    if (head->number_size > 0 && !take_number(c, head->number_size, &number))
        return cut_short(e);
    switch (head->form) {
    case HEAD_SIMPLE:
        out->kind = head->kind;
        out->boolean = first == 0xc3;
        return 0;
    case HEAD_NUMBER:
        out->kind = head->kind;
        if (head->kind == VALUE_FLOAT)
            out->real = real_of(number, head->number_size);
        else
            out->uint = number;
        return 0;
    case HEAD_SIGNED:
        set_signed(out, sign_extend(number, head->number_size));
        return 0;
    case HEAD_BYTES:
        return take_bytes(c, head->kind, number + head->fixed + head->extra, out, e);
    case HEAD_COUNT:
        return take_count(c, head->kind, number, out, e);
    case HEAD_NONE:
        break;
    }
    return error_set(e, ERR_BAD_MESSAGE, "byte 0x%02x begins no msgpack value", first);
}

int cursor_next(struct cursor *c, struct value *out, struct error *e) {
    if (c->at == c->end)
        return cut_short(e);
    uint8_t first = *c->at++;
    if (first <= 0x7f) {
        out->kind = VALUE_UINT;
        out->uint = first;
        return 0;
    }
    if (first <= 0x8f)
        return take_count(c, VALUE_MAP, first & 0x0f, out, e);
    if (first <= 0x9f)
        return take_count(c, VALUE_ARRAY, first & 0x0f, out, e);
    if (first <= 0xbf)
        return take_bytes(c, VALUE_STR, first & 0x1f, out, e);
    if (first >= 0xe0) {
        set_signed(out, (int8_t)first);
        return 0;
    }
    return take_headed(c, first, out, e);
}

int cursor_skip(struct cursor *c, struct error *e) {
    uint64_t owed[LIMIT_DEPTH]; /* values still to read on each open level */
    size_t depth = 0;
    do {
        struct value value;
        int rc = cursor_next(c, &value, e);
        if (rc != 0)
            return rc;
        if (depth > 0)
            owed[depth - 1]--;
        if (value.kind == VALUE_ARRAY || value.kind == VALUE_MAP) {
            if (depth == LIMIT_DEPTH)
                return error_set(e, ERR_LIMIT, "values are nested deeper than %d", LIMIT_DEPTH);
            owed[depth++] = (uint64_t)value.count * (value.kind == VALUE_MAP ? 2 : 1);
        }
        while (depth > 0 && owed[depth - 1] == 0)
            depth--;
    } while (depth > 0);
    return 0;
}
