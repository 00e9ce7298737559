/* schema_encode.c - from a struct to a frame, by the schema's rows; and the rows' defaults.
 *
 * Bytes go through msgpack-c's packer into a buffer that grows by doubling. A failed allocation
 * sets `failed` and turns all later writes into nothing, so that only the end has to look. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "proto/schema.h"

#define FIRST_CAPACITY 256

struct writer {
    struct wire_buffer *buffer;
    bool failed;
};

static void encode_map(const struct schema *s, const uint8_t *in, msgpack_packer *p,
                       const enum message_type *top);

void wire_buffer_clear(struct wire_buffer *b) {
    free(b->data);
    *b = (struct wire_buffer){0};
}

static bool reserve(struct wire_buffer *b, size_t more) {
    size_t needed;
    if (!size_add(b->size, more, &needed))
        return false;
    if (needed <= b->capacity)
        return true;
    size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        if (!size_mul(capacity, 2, &capacity))
            return false;
    uint8_t *data = realloc(b->data, capacity);
    if (data == NULL)
        return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

static int append(void *context, const char *data, size_t size) {
    struct writer *w = context;
    if (w->failed || !reserve(w->buffer, size)) {
        w->failed = true;
        return -1;
    }
    memcpy(w->buffer->data + w->buffer->size, data, size);
    w->buffer->size += size;
    return 0;
}

/* ---- defaults ---- */

static void set_default(const struct field *f, uint8_t *at) {
    bool on = f->initial != 0;
    int32_t narrow = (int32_t)f->initial;
    uint32_t narrow_u = (uint32_t)f->initial;
    switch ((enum field_type)f->type) {
    case TYPE_BOOL:
        memcpy(at, &on, sizeof on);
        break;
    case TYPE_U32:
        memcpy(at, &narrow_u, sizeof narrow_u);
        break;
    case TYPE_U64:
        memcpy(at, &f->initial, sizeof f->initial);
        break;
    case TYPE_I32:
    case TYPE_ENUM:
        memcpy(at, &narrow, sizeof narrow);
        break;
    case TYPE_F32:
        memcpy(at, &f->initial_f, sizeof f->initial_f);
        break;
    case TYPE_MAP:
        schema_defaults(f->map, at);
        break;
    case TYPE_TEXT:
    case TYPE_BIN:
    case TYPE_FIXED:
    case TYPE_LIST:
        break; /* empty, which memset did */
    }
}

void schema_defaults(const struct schema *s, void *out) {
    memset(out, 0, s->bytes);
    for (size_t i = 0; i < s->n_fields; i++)
        if (s->fields[i].initial != 0 || s->fields[i].type == TYPE_F32 ||
            s->fields[i].type == TYPE_MAP)
            set_default(&s->fields[i], (uint8_t *)out + s->fields[i].offset);
}

/* ---- which rows are written ---- */

static bool gate_open(const struct field *f, const uint8_t *in) {
    bool on;
    int chosen;
    switch ((enum gate)f->gate) {
    case GATE_BOOL:
        memcpy(&on, in + f->gate_offset, sizeof on);
        return on;
    case GATE_ENUM:
        memcpy(&chosen, in + f->gate_offset, sizeof chosen);
        return chosen == f->gate_value;
    case GATE_NONE:
        break;
    }
    return true;
}

static bool is_written(const struct field *f, const uint8_t *in);

static size_t count_written(const struct schema *s, const uint8_t *in) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_fields; i++)
        n += is_written(&s->fields[i], in);
    return n;
}

static size_t list_count(const struct field *f, const uint8_t *in) {
    size_t n;
    memcpy(&n, in + f->count_offset, sizeof n);
    return n;
}

static bool all_zero(const uint8_t *at, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* Required keys always; of the others those that differ from their default. */
static bool is_written(const struct field *f, const uint8_t *in) {
    if (f->gate != GATE_NONE)
        return gate_open(f, in);
    if (f->required)
        return true;
    const uint8_t *at = in + f->offset;
    uint8_t initial[sizeof(uint64_t)];
    struct bytes run;
    int chosen;
    switch ((enum field_type)f->type) {
    case TYPE_MAP:
        return count_written(f->map, at) > 0;
    case TYPE_LIST:
        return list_count(f, in) > 0;
    case TYPE_TEXT:
    case TYPE_BIN:
        memcpy(&run, at, sizeof run);
        return run.size > 0;
    case TYPE_BOOL:
        set_default(f, initial);
        return memcmp(at, initial, sizeof(bool)) != 0;
    case TYPE_U64:
        set_default(f, initial);
        return memcmp(at, initial, sizeof(uint64_t)) != 0;
    case TYPE_U32:
    case TYPE_I32:
    case TYPE_F32:
        set_default(f, initial);
        return memcmp(at, initial, sizeof(uint32_t)) != 0;
    case TYPE_ENUM:
        memcpy(&chosen, at, sizeof chosen);
        return chosen != 0 && chosen != (int)f->initial;
    case TYPE_FIXED:
        return !all_zero(at, (size_t)f->max);
    }
    return true;
}

/* ---- values ---- */

static void pack_text(msgpack_packer *p, const void *text, size_t size) {
    (void)msgpack_pack_str(p, size);
    if (size > 0)
        (void)msgpack_pack_str_body(p, text, size);
}

static void pack_binary(msgpack_packer *p, const void *data, size_t size) {
    (void)msgpack_pack_bin(p, size);
    if (size > 0)
        (void)msgpack_pack_bin_body(p, data, size);
}

static void encode_list(const struct field *f, const uint8_t *in, msgpack_packer *p) {
    const struct list *list = f->list;
    const uint8_t *items;
    size_t n = list_count(f, in);
    memcpy(&items, in + f->offset, sizeof items);
    (void)msgpack_pack_array(p, n);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = items + i * list->element_bytes;
        if (list->element != NULL) {
            encode_map(list->element, at, p, NULL);
        } else {
            struct bytes text;
            memcpy(&text, at, sizeof text);
            pack_text(p, text.data, text.size);
        }
    }
}

static void encode_number(const struct field *f, const uint8_t *at, msgpack_packer *p) {
    uint64_t wide;
    uint32_t narrow;
    int32_t sint;
    float real;
    switch ((enum field_type)f->type) {
    case TYPE_U64:
        memcpy(&wide, at, sizeof wide);
        (void)msgpack_pack_uint64(p, wide);
        break;
    case TYPE_I32:
        memcpy(&sint, at, sizeof sint);
        (void)msgpack_pack_int32(p, sint);
        break;
    case TYPE_F32:
        memcpy(&real, at, sizeof real);
        (void)msgpack_pack_float(p, real);
        break;
    default:
        memcpy(&narrow, at, sizeof narrow);
        (void)msgpack_pack_uint32(p, narrow);
        break;
    }
}

static void encode_field(const struct field *f, const uint8_t *in, msgpack_packer *p) {
    const uint8_t *at = in + f->offset;
    struct bytes run;
    bool on;
    int chosen;
    pack_text(p, f->key, f->key_size);
    switch ((enum field_type)f->type) {
    case TYPE_BOOL:
        memcpy(&on, at, sizeof on);
        (void)(on ? msgpack_pack_true(p) : msgpack_pack_false(p));
        break;
    case TYPE_U32:
    case TYPE_U64:
    case TYPE_I32:
    case TYPE_F32:
        encode_number(f, at, p);
        break;
    case TYPE_ENUM:
        memcpy(&chosen, at, sizeof chosen);
        MUST(chosen >= 1 && (uint64_t)chosen <= f->max);
        pack_text(p, f->names[chosen - 1], strlen(f->names[chosen - 1]));
        break;
    case TYPE_TEXT:
        memcpy(&run, at, sizeof run);
        pack_text(p, run.data, run.size);
        break;
    case TYPE_BIN:
        memcpy(&run, at, sizeof run);
        pack_binary(p, run.data, run.size);
        break;
    case TYPE_FIXED:
        pack_binary(p, at, (size_t)f->max);
        break;
    case TYPE_MAP:
        encode_map(f->map, at, p, NULL);
        break;
    case TYPE_LIST:
        encode_list(f, in, p);
        break;
    }
}

static void encode_map(const struct schema *s, const uint8_t *in, msgpack_packer *p,
                       const enum message_type *top) {
    (void)msgpack_pack_map(p, count_written(s, in) + (top != NULL ? 2 : 0));
    if (top != NULL) {
        pack_text(p, "v", 1);
        (void)msgpack_pack_uint32(p, PROTO_VERSION_MAX);
        pack_text(p, "t", 1);
        pack_text(p, message_name(*top), strlen(message_name(*top)));
    }
    for (size_t i = 0; i < s->n_fields; i++)
        if (is_written(&s->fields[i], in))
            encode_field(&s->fields[i], in, p);
}

int message_encode(enum message_type type, const struct schema *s, const void *in,
                   struct wire_buffer *out) {
    struct writer writer = {out, false};
    size_t before = out->size;
    msgpack_packer packer;
    msgpack_packer_init(&packer, &writer, append);
    encode_map(s, in, &packer, &type);
    if (writer.failed) {
        out->size = before;
        return ERR_NOMEM;
    }
    return 0;
}
