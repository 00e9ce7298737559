/* schema_decode.c - from a frame to a struct, by the schema's rows.
 *
 * Lists make it two passes: the first adds up how many bytes all arrays of the message need and
 * checks that against the schema's bound, the second fills one block of that size. Both read the
 * same bytes with the same checks, so the second can't run past the block; MUST says so. A message
 * without lists, as each token's, takes one pass and no allocation. */
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "proto/schema_value.h"

#define NO_FIELD SIZE_MAX
#define SEEN_VERSION (UINT64_C(1) << 63)
#define SEEN_TYPE (UINT64_C(1) << 62)

struct arena {
    uint8_t *at;
    size_t left;
};

static int decode_map(const struct schema *s, struct cursor *c, uint8_t *out, struct arena *arena,
                      const enum message_type *top, struct error *e);

/* ---- keys ---- */

static int read_map_head(const struct schema *s, struct cursor *c, uint32_t *n, struct error *e) {
    struct value head;
    int rc = cursor_next(c, &head, e);
    if (rc != 0)
        return rc;
    if (head.kind != VALUE_MAP)
        return error_set(e, ERR_BAD_MESSAGE, "%s is %s, not a map", s->name,
                         value_kind_name(head.kind));
    *n = head.count;
    return 0;
}

static int read_key(struct cursor *c, struct bytes *key, struct error *e) {
    struct value value;
    int rc = cursor_next(c, &value, e);
    if (rc != 0)
        return rc;
    if (value.kind != VALUE_STR)
        return error_set(e, ERR_BAD_MESSAGE, "a key is %s, not a string",
                         value_kind_name(value.kind));
    *key = value.bytes;
    return 0;
}

/* The row of a key, tried first at `guess`: peers write keys in the table's order. */
static size_t find_field(const struct schema *s, struct bytes key, size_t guess) {
    for (size_t k = 0; k < s->n_fields; k++) {
        size_t i = guess + k < s->n_fields ? guess + k : guess + k - s->n_fields;
        const struct field *f = &s->fields[i];
        if (f->key_size == key.size && memcmp(f->key, key.data, key.size) == 0)
            return i;
    }
    return NO_FIELD;
}

/* ---- lists ---- */

static size_t rounded(size_t bytes) {
    return (bytes + 15) & ~(size_t)15;
}

static int read_list_head(const struct list *list, struct cursor *c, uint32_t *n, struct error *e) {
    struct value head;
    int rc = cursor_next(c, &head, e);
    if (rc != 0)
        return rc;
    if (head.kind != VALUE_ARRAY)
        return schema_wrong_type("an array", &head, e);
    if (head.count > list->items_max)
        return error_set(e, ERR_LIMIT, "has %u entries, %u are allowed", head.count,
                         list->items_max);
    *n = head.count;
    return 0;
}

static int measure_map(const struct schema *s, struct cursor *c, size_t block_max, size_t *bytes,
                       struct error *e);

static int measure_list(const struct list *list, struct cursor *c, size_t block_max, size_t *bytes,
                        struct error *e) {
    uint32_t n;
    int rc = read_list_head(list, c, &n, e);
    if (rc != 0)
        return rc;
    *bytes += rounded(n * list->element_bytes); /* both bounded by the schema */
    if (*bytes > block_max)
        return error_set(e, ERR_LIMIT, "has too many entries in all its lists");
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        if (list->element != NULL && list->element->block_max > 0)
            rc = measure_map(list->element, c, block_max, bytes, e);
        else
            rc = cursor_skip(c, e);
        if (rc != 0)
            error_prefix(e, "entry %u", i);
    }
    return rc;
}

static int measure_map(const struct schema *s, struct cursor *c, size_t block_max, size_t *bytes,
                       struct error *e) {
    uint32_t n = 0;
    size_t guess = 0;
    int rc = read_map_head(s, c, &n, e);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct bytes key;
        rc = read_key(c, &key, e);
        if (rc != 0)
            break;
        size_t row = find_field(s, key, guess);
        if (row != NO_FIELD && s->fields[row].type == TYPE_LIST)
            rc = measure_list(s->fields[row].list, c, block_max, bytes, e);
        else if (row != NO_FIELD && s->fields[row].type == TYPE_MAP &&
                 s->fields[row].map->block_max > 0)
            rc = measure_map(s->fields[row].map, c, block_max, bytes, e);
        else
            rc = cursor_skip(c, e);
        if (rc != 0 && row != NO_FIELD)
            error_prefix(e, "%s", s->fields[row].key);
        guess = row != NO_FIELD ? row + 1 : guess;
    }
    return rc;
}

static uint8_t *take(struct arena *arena, size_t bytes) {
    MUST(arena->left >= bytes);
    uint8_t *at = arena->at;
    arena->at += bytes;
    arena->left -= bytes;
    return at;
}

static int decode_text_item(const struct schema *s, const struct list *list, struct cursor *c,
                            uint8_t *at, struct error *e) {
    struct value v;
    int rc = cursor_next(c, &v, e);
    if (rc == 0)
        rc = schema_check_text(&v, 1, list->text_max, s->range_code, e);
    if (rc == 0)
        memcpy(at, &v.bytes, sizeof v.bytes);
    return rc;
}

static int decode_list(const struct schema *s, const struct field *f, struct cursor *c,
                       uint8_t *out, struct arena *arena, struct error *e) {
    const struct list *list = f->list;
    uint32_t n;
    int rc = read_list_head(list, c, &n, e);
    if (rc != 0 || n == 0)
        return rc;
    uint8_t *items = take(arena, rounded(n * list->element_bytes));
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = items + i * list->element_bytes;
        if (list->element != NULL) {
            schema_defaults(list->element, at);
            rc = decode_map(list->element, c, at, arena, NULL, e);
        } else {
            rc = decode_text_item(s, list, c, at, e);
        }
        if (rc != 0) {
            error_prefix(e, "entry %u", i);
            return rc;
        }
    }
    size_t count = n;
    memcpy(out + f->offset, &items, sizeof items);
    memcpy(out + f->count_offset, &count, sizeof count);
    return 0;
}

/* ---- maps ---- */

static int set_gate(const struct field *f, uint8_t *out, struct error *e) {
    if (f->gate == GATE_BOOL) {
        bool on = true;
        memcpy(out + f->gate_offset, &on, sizeof on);
    } else if (f->gate == GATE_ENUM) {
        int chosen, wanted = f->gate_value;
        memcpy(&chosen, out + f->gate_offset, sizeof chosen);
        if (chosen != 0 && chosen != wanted)
            return error_set(e, ERR_BAD_MESSAGE, "stands beside a key that excludes it");
        memcpy(out + f->gate_offset, &wanted, sizeof wanted);
    }
    return 0;
}

static int decode_field(const struct schema *s, const struct field *f, struct cursor *c,
                        uint8_t *out, struct arena *arena, struct error *e) {
    int rc = f->gate != GATE_NONE ? set_gate(f, out, e) : 0;
    if (rc != 0)
        return rc;
    if (f->type == TYPE_MAP)
        return decode_map(f->map, c, out + f->offset, arena, NULL, e);
    if (f->type == TYPE_LIST)
        return decode_list(s, f, c, out, arena, e);
    struct value v;
    rc = cursor_next(c, &v, e);
    return rc == 0 ? schema_store(s, f, &v, out + f->offset, e) : rc;
}

static int check_version(struct cursor *c, struct error *e) {
    struct value v;
    int rc = cursor_next(c, &v, e);
    if (rc != 0)
        return rc;
    if (v.kind != VALUE_UINT)
        return schema_wrong_type("an integer", &v, e);
    if (v.uint < PROTO_VERSION_MIN || v.uint > PROTO_VERSION_MAX)
        return error_set(e, ERR_BAD_VERSION, "protocol version %llu is not one of %d..%d",
                         (unsigned long long)v.uint, PROTO_VERSION_MIN, PROTO_VERSION_MAX);
    return 0;
}

static int check_type(enum message_type type, struct cursor *c, struct error *e) {
    struct value v;
    int rc = cursor_next(c, &v, e);
    if (rc != 0)
        return rc;
    const char *name = message_name(type);
    if (v.kind != VALUE_STR || v.bytes.size != strlen(name) ||
        memcmp(v.bytes.data, name, v.bytes.size) != 0)
        return error_set(e, ERR_BAD_MESSAGE, "is not %s", name);
    return 0;
}

/* "v" and "t" of a message's own map. *handled tells that the key was one of them. */
static int decode_envelope(enum message_type type, struct bytes key, struct cursor *c,
                           uint64_t *bit, struct error *e) {
    *bit = 0;
    if (key.size != 1)
        return 0;
    if (key.data[0] == 'v') {
        *bit = SEEN_VERSION;
        return check_version(c, e);
    }
    if (key.data[0] == 't') {
        *bit = SEEN_TYPE;
        return check_type(type, c, e);
    }
    return 0;
}

static int check_complete(const struct schema *s, uint64_t seen, bool top, struct error *e) {
    if (top && (seen & SEEN_VERSION) == 0)
        return error_set(e, ERR_BAD_MESSAGE, "v is missing");
    if (top && (seen & SEEN_TYPE) == 0)
        return error_set(e, ERR_BAD_MESSAGE, "t is missing");
    for (size_t i = 0; i < s->n_fields; i++)
        if (s->fields[i].required && (seen >> i & 1) == 0)
            return error_set(e, ERR_BAD_MESSAGE, "%s is missing", s->fields[i].key);
    return 0;
}

/* Decodes one map into a struct that holds the defaults already. `top` is the type of the message
 * whose own map this is, NULL for maps inside it. */
static int decode_map(const struct schema *s, struct cursor *c, uint8_t *out, struct arena *arena,
                      const enum message_type *top, struct error *e) {
    uint64_t seen = 0;
    uint32_t n = 0;
    size_t guess = 0;
    int rc = read_map_head(s, c, &n, e);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        struct bytes key;
        uint64_t bit = 0;
        size_t row = NO_FIELD;
        rc = read_key(c, &key, e);
        if (rc == 0 && top != NULL)
            rc = decode_envelope(*top, key, c, &bit, e);
        if (rc == 0 && bit == 0) {
            row = find_field(s, key, guess);
            if (row == NO_FIELD) {
                rc = cursor_skip(c, e);
                continue;
            }
            bit = UINT64_C(1) << row;
            guess = row + 1;
            if ((seen & bit) == 0)
                rc = decode_field(s, &s->fields[row], c, out, arena, e);
        }
        if (rc == 0 && (seen & bit) != 0)
            rc = error_set(e, ERR_BAD_MESSAGE, "comes twice");
        if (rc != 0 && bit != 0)
            error_prefix(e, "%.*s", (int)key.size, (const char *)key.data);
        seen |= bit;
    }
    return rc == 0 ? check_complete(s, seen, top != NULL, e) : rc;
}

static int allocate_block(const struct schema *s, struct bytes frame, struct arena *arena,
                          struct error *e) {
    size_t bytes = 0;
    struct cursor c = cursor_over(frame);
    int rc = measure_map(s, &c, s->block_max, &bytes, e);
    if (rc != 0 || bytes == 0)
        return rc;
    arena->at = malloc(bytes);
    if (arena->at == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for %zu bytes of lists", bytes);
    arena->left = bytes;
    return 0;
}

int message_decode(enum message_type type, const struct schema *s, struct bytes frame, void *out,
                   void **block, struct error *e) {
    struct arena arena = {NULL, 0};
    int rc = 0;
    schema_defaults(s, out);
    if (frame.size > LIMIT_HEADER_BYTES)
        rc = error_set(e, ERR_LIMIT, "has %zu bytes, %u are allowed", frame.size,
                       LIMIT_HEADER_BYTES);
    if (rc == 0 && s->block_max > 0)
        rc = allocate_block(s, frame, &arena, e);
    void *owned = arena.at;
    struct cursor c = cursor_over(frame);
    if (rc == 0)
        rc = decode_map(s, &c, out, &arena, &type, e);
    if (rc == 0 && cursor_left(&c) > 0)
        rc = error_set(e, ERR_BAD_MESSAGE, "%zu bytes follow the map", cursor_left(&c));
    if (rc == 0) {
        MUST(block != NULL || owned == NULL);
        if (block != NULL)
            *block = owned;
        return 0;
    }
    free(owned);
    memset(out, 0, s->bytes);
    error_prefix(e, "%s", message_name(type));
    return rc;
}
