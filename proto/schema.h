/* schema.h - a message as a table: one row per key, used for decoding, for encoding and for
 * defaults.
 *
 * Private to proto/. A row says where in the struct the value lives, what the wire holds and which
 * values are accepted:
 *
 *     static const struct field fields[] = {
 *         FIELD_ID("id", struct msg_progress, id),
 *         FIELD_U32("done", struct msg_progress, done, 0, UINT32_MAX, 0),
 *     };
 *
 * Rules that all messages share: a key without a default is required; a key whose value is the
 * default is not written; unknown keys are skipped, known ones may come once, in any order; a
 * string is UTF-8. Nested maps have a schema of their own, lists become arrays in the one block
 * that the decoded message owns. */
#ifndef QUIRE_PROTO_SCHEMA_H
#define QUIRE_PROTO_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/message.h"

enum field_type {
    TYPE_BOOL,
    TYPE_U32,
    TYPE_U64,
    TYPE_I32,
    TYPE_F32,
    TYPE_ENUM,  /* a string of `names`; the struct holds an int, 1 for the first. Where the row has
                   a default, 0 in a struct to encode stands for it */
    TYPE_TEXT,  /* a string, struct bytes */
    TYPE_BIN,   /* a binary, struct bytes, of a multiple of `unit` bytes */
    TYPE_FIXED, /* a binary of exactly `max` bytes, an array in the struct; its default is zeros */
    TYPE_MAP,   /* a struct inside the struct */
    TYPE_LIST,  /* a pointer to elements and a size_t count */
};

/* A key that belongs to a choice the struct itself holds. Encoding writes the key only when the
 * gate has the row's value; decoding the key sets the gate, and refuses a second choice. */
enum gate { GATE_NONE, GATE_BOOL, GATE_ENUM };

struct list {
    const struct schema *element; /* NULL: strings of 1..text_max bytes */
    size_t element_bytes;
    uint32_t items_max;
    uint32_t text_max;
};

struct field {
    const char *key;
    uint8_t key_size;
    uint8_t type;
    uint8_t gate;
    uint8_t gate_value;
    uint8_t unit; /* TYPE_BIN: what its size is a multiple of; 0: any size */
    bool required;
    uint32_t offset, gate_offset, count_offset;
    int64_t min;     /* of a number, or of a string's bytes */
    uint64_t max;    /* the same; TYPE_ENUM: number of names */
    int64_t initial; /* default of integers, enums, booleans */
    float low, high; /* TYPE_F32: range, NaN is never in it */
    float initial_f;
    union {
        const char *const *names;
        const struct schema *map;
        const struct list *list;
    };
};

struct schema {
    const char *name; /* for sentences */
    const struct field *fields;
    size_t n_fields;  /* at most SCHEMA_FIELDS_MAX */
    size_t bytes;     /* of the struct */
    int range_code;   /* code for a value out of range: ERR_BAD_MESSAGE or ERR_BAD_REQUEST */
    size_t block_max; /* bytes its lists may take together; 0 = no lists in it */
};

#define SCHEMA_FIELDS_MAX 60

#define SCHEMA(label, table, owner, code, block)                                                   \
    { label, table, sizeof(table) / sizeof((table)[0]), sizeof(owner), code, block }

/* The offset of a member whose size must be what the row's type writes; a mismatch does not
 * compile. */
#define FIELD_AT(owner, member, size)                                                              \
    (uint32_t)(offsetof(owner, member) +                                                           \
               0 * sizeof(char[sizeof(((owner *)0)->member) == (size) ? 1 : -1]))
#define FIELD_HEAD(text, kind, owner, member, size)                                                \
    .key = text, .key_size = sizeof(text) - 1, .type = kind, .offset = FIELD_AT(owner, member, size)

#define FIELD_BOOL(text, owner, member, start)                                                     \
    { FIELD_HEAD(text, TYPE_BOOL, owner, member, 1), .initial = start }
#define FIELD_U32(text, owner, member, lo, hi, start)                                              \
    { FIELD_HEAD(text, TYPE_U32, owner, member, 4), .min = lo, .max = hi, .initial = start }
#define FIELD_U64(text, owner, member)                                                             \
    { FIELD_HEAD(text, TYPE_U64, owner, member, 8), .max = UINT64_MAX }
#define FIELD_I32(text, owner, member, lo, hi, start)                                              \
    { FIELD_HEAD(text, TYPE_I32, owner, member, 4), .min = lo, .max = hi, .initial = start }
#define FIELD_F32(text, owner, member, lo, hi, start)                                              \
    { FIELD_HEAD(text, TYPE_F32, owner, member, 4), .low = lo, .high = hi, .initial_f = start }
#define FIELD_TEXT(text, owner, member, lo, hi)                                                    \
    { FIELD_HEAD(text, TYPE_TEXT, owner, member, sizeof(struct bytes)), .min = lo, .max = hi }
#define FIELD_BIN(text, owner, member, hi, each)                                                   \
    { FIELD_HEAD(text, TYPE_BIN, owner, member, sizeof(struct bytes)), .max = hi, .unit = each }
#define FIELD_ENUM(text, owner, member, table, start)                                              \
    {                                                                                              \
        FIELD_HEAD(text, TYPE_ENUM, owner, member, 4), .max = sizeof(table) / sizeof((table)[0]),  \
                                                       .names = table, .initial = start            \
    }
#define FIELD_MAYBE_ID(text, owner, member)                                                        \
    { FIELD_HEAD(text, TYPE_FIXED, owner, member, 16), .max = 16 }
#define FIELD_MAP(text, owner, member, shape)                                                      \
    { FIELD_HEAD(text, TYPE_MAP, owner, member, sizeof(((owner *)0)->member)), .map = shape }
#define FIELD_LIST(text, owner, member, count, shape)                                              \
    {                                                                                              \
        FIELD_HEAD(text, TYPE_LIST, owner, member, sizeof(void *)),                                \
            .count_offset = FIELD_AT(owner, count, sizeof(size_t)), .list = shape                  \
    }

/* Rows for keys that must be there. */
#define FIELD_ID(text, owner, member)                                                              \
    { FIELD_HEAD(text, TYPE_FIXED, owner, member, 16), .max = 16, .required = true }
#define FIELD_NEED_BOOL(text, owner, member)                                                       \
    { FIELD_HEAD(text, TYPE_BOOL, owner, member, 1), .required = true }
#define FIELD_NEED_U32(text, owner, member, lo, hi)                                                \
    { FIELD_HEAD(text, TYPE_U32, owner, member, 4), .min = lo, .max = hi, .required = true }
#define FIELD_NEED_U64(text, owner, member)                                                        \
    { FIELD_HEAD(text, TYPE_U64, owner, member, 8), .max = UINT64_MAX, .required = true }
#define FIELD_NEED_I32(text, owner, member, lo, hi)                                                \
    { FIELD_HEAD(text, TYPE_I32, owner, member, 4), .min = lo, .max = hi, .required = true }
#define FIELD_NEED_F32(text, owner, member, lo, hi)                                                \
    { FIELD_HEAD(text, TYPE_F32, owner, member, 4), .low = lo, .high = hi, .required = true }
#define FIELD_NEED_ENUM(text, owner, member, table)                                                \
    {                                                                                              \
        FIELD_HEAD(text, TYPE_ENUM, owner, member, 4), .max = sizeof(table) / sizeof((table)[0]),  \
                                                       .names = table, .required = true            \
    }
#define FIELD_NEED_TEXT(text, owner, member, lo, hi)                                               \
    {                                                                                              \
        FIELD_HEAD(text, TYPE_TEXT, owner, member, sizeof(struct bytes)), .min = lo, .max = hi,    \
                                                                          .required = true         \
    }
#define FIELD_NEED_BIN(text, owner, member, hi)                                                    \
    { FIELD_HEAD(text, TYPE_BIN, owner, member, sizeof(struct bytes)), .max = hi, .required = true }

/* Writes the defaults of all rows into a struct of the schema's size, the rest of it zero. */
void schema_defaults(const struct schema *s, void *out);

/* Decodes a whole frame: the map of message `type`. On failure *out is zeroed and nothing is owned.
 * `block` receives the one allocation that lists live in, or NULL; it may be NULL itself when the
 * schema has no lists. */
int message_decode(enum message_type type, const struct schema *s, struct bytes frame, void *out,
                   void **block, struct error *e);

/* Appends the map of message `type` to *out. ERR_NOMEM leaves *out as long as it was. */
int message_encode(enum message_type type, const struct schema *s, const void *in,
                   struct wire_buffer *out);

#endif
