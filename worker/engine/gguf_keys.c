/* gguf_keys.c - typed access to the keys of an open GGUF.
 *
 * Converters write integers in whatever width they like, so any integer type is taken where its
 * value fits. Floats, flags and strings must be what they are. */
#include "worker/engine/gguf_inside.h"

#include <inttypes.h>
#include <string.h>

/* Finds key. 0 with *out set, 0 with *out NULL when it may be absent, or ERR_BAD_MODEL. */
static int look_up(const struct gguf *g, const char *key, bool *found, const struct gguf_key **out,
                   struct error *e) {
    *out = gguf_find_key(g, (struct bytes){(const uint8_t *)key, strlen(key)});
    if (found != NULL)
        *found = *out != NULL;
    else if (*out == NULL)
        return error_set(e, ERR_BAD_MODEL, "the key %s is missing", key);
    return 0;
}

static int wrong_type(const char *key, const struct gguf_key *k, const char *wanted,
                      struct error *e) {
    return error_set(e, ERR_BAD_MODEL, "the key %s is of type %s, but %s is needed", key,
                     gguf_value_name(k->type), wanted);
}

/* Reads an integer of any width; false for other types. Values above INT64_MAX (u64 only) are
 * clamped to it, which is outside of every range a caller asks for. */
static bool read_integer(uint32_t type, const uint8_t *p, int64_t *out) {
    switch (type) {
    case VALUE_U8:
        *out = p[0];
        return true;
    case VALUE_I8:
        *out = (int8_t)p[0];
        return true;
    case VALUE_U16:
        *out = gguf_u16(p);
        return true;
    case VALUE_I16:
        *out = (int16_t)gguf_u16(p);
        return true;
    case VALUE_U32:
        *out = gguf_u32(p);
        return true;
    case VALUE_I32:
        *out = (int32_t)gguf_u32(p);
        return true;
    case VALUE_U64:
        *out = gguf_u64(p) > INT64_MAX ? INT64_MAX : (int64_t)gguf_u64(p);
        return true;
    case VALUE_I64:
        *out = (int64_t)gguf_u64(p);
        return true;
    default:
        return false;
    }
}

static float read_float(const uint8_t *p) {
    uint32_t bits = gguf_u32(p);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

int gguf_get_u32(const struct gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                 bool *found, struct error *e) {
    const struct gguf_key *k;
    int rc = look_up(g, key, found, &k, e);
    if (rc != 0 || k == NULL)
        return rc;
    int64_t value;
    if (!read_integer(k->type, k->value, &value))
        return wrong_type(key, k, "an integer", e);
    if (value < (int64_t)min || value > (int64_t)max)
        return error_set(e, ERR_BAD_MODEL,
                         "the key %s is %" PRId64 ", outside of %" PRIu32 " to %" PRIu32, key,
                         value, min, max);
    *out = (uint32_t)value;
    return 0;
}

int gguf_get_f32(const struct gguf *g, const char *key, float *out, bool *found, struct error *e) {
    const struct gguf_key *k;
    int rc = look_up(g, key, found, &k, e);
    if (rc != 0 || k == NULL)
        return rc;
    if (k->type == VALUE_F32) {
        *out = read_float(k->value);
    } else if (k->type == VALUE_F64) {
        uint64_t bits = gguf_u64(k->value);
        double d;
        memcpy(&d, &bits, sizeof d);
        *out = (float)d;
    } else {
        return wrong_type(key, k, "f32", e);
    }
    return 0;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *out, bool *found, struct error *e) {
    const struct gguf_key *k;
    int rc = look_up(g, key, found, &k, e);
    if (rc != 0 || k == NULL)
        return rc;
    if (k->type != VALUE_BOOL)
        return wrong_type(key, k, "bool", e);
    *out = k->value[0] != 0;
    return 0;
}

int gguf_get_string(const struct gguf *g, const char *key, struct bytes *out, bool *found,
                    struct error *e) {
    const struct gguf_key *k;
    int rc = look_up(g, key, found, &k, e);
    if (rc != 0 || k == NULL)
        return rc;
    if (k->type != VALUE_STRING)
        return wrong_type(key, k, "string", e);
    *out = (struct bytes){k->value, k->count};
    return 0;
}

int gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out, bool *found,
                   struct error *e) {
    const struct gguf_key *k;
    int rc = look_up(g, key, found, &k, e);
    if (rc != 0 || k == NULL)
        return rc;
    if (k->type != VALUE_ARRAY)
        return wrong_type(key, k, "an array", e);
    *out = (struct gguf_array){k->element_type, k->count, k->value};
    return 0;
}

struct bytes gguf_next_string(const uint8_t **cursor) {
    struct bytes s = {*cursor + 8, (size_t)gguf_u64(*cursor)};
    *cursor = s.data + s.size;
    return s;
}

int64_t gguf_array_int(const struct gguf_array *a, size_t i) {
    int64_t value = 0;
    (void)read_integer(a->element_type, a->data + i * gguf_value_bytes(a->element_type), &value);
    return value;
}

float gguf_array_f32(const struct gguf_array *a, size_t i) {
    return read_float(a->data + i * 4);
}
