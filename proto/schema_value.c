/* schema_value.c - one value into one field: its type, its range, its place in the struct.
 *
 * Nothing is converted but what no reader could take in two ways: an integer however it was
 * encoded, and an integer where a float belongs. */
#include "proto/schema_value.h"

#include <string.h>

#include "common/must.h"
#include "common/utf8.h"

int schema_wrong_type(const char *wanted, const struct value *got, struct error *e) {
    return error_set(e, ERR_BAD_MESSAGE, "%s where %s belongs", value_kind_name(got->kind), wanted);
}

static int store_unsigned(const struct schema *s, const struct field *f, const struct value *v,
                          uint8_t *at, struct error *e) {
    if (v->kind != VALUE_UINT && v->kind != VALUE_INT)
        return schema_wrong_type("an integer", v, e);
    if (v->kind == VALUE_INT || v->uint < (uint64_t)f->min || v->uint > f->max)
        return error_set(e, s->range_code, "must be %lld..%llu", (long long)f->min,
                         (unsigned long long)f->max);
    if (f->type == TYPE_U64) {
        memcpy(at, &v->uint, sizeof v->uint);
    } else {
        uint32_t n = (uint32_t)v->uint;
        memcpy(at, &n, sizeof n);
    }
    return 0;
}

static int store_i32(const struct schema *s, const struct field *f, const struct value *v,
                     uint8_t *at, struct error *e) {
    if (v->kind != VALUE_UINT && v->kind != VALUE_INT)
        return schema_wrong_type("an integer", v, e);
    bool fits = v->kind == VALUE_INT
                    ? v->sint >= f->min
                    : v->uint <= f->max && (f->min < 0 || v->uint >= (uint64_t)f->min);
    if (!fits)
        return error_set(e, s->range_code, "must be %lld..%llu", (long long)f->min,
                         (unsigned long long)f->max);
    int32_t n = (int32_t)v->sint; /* the same bits as uint, which is at most INT32_MAX here */
    memcpy(at, &n, sizeof n);
    return 0;
}

static int store_f32(const struct schema *s, const struct field *f, const struct value *v,
                     uint8_t *at, struct error *e) {
    double wide;
    if (v->kind == VALUE_FLOAT)
        wide = v->real;
    else if (v->kind == VALUE_UINT)
        wide = (double)v->uint;
    else if (v->kind == VALUE_INT)
        wide = (double)v->sint;
    else
        return schema_wrong_type("a number", v, e);
    /* The range's ends are floats, so rounding to float can't leave it. */
    if (!(wide >= (double)f->low && wide <= (double)f->high))
        return error_set(e, s->range_code, "must be %g..%g", (double)f->low, (double)f->high);
    float n = (float)wide;
    memcpy(at, &n, sizeof n);
    return 0;
}

static int store_enum(const struct schema *s, const struct field *f, const struct value *v,
                      uint8_t *at, struct error *e) {
    if (v->kind != VALUE_STR)
        return schema_wrong_type("a string", v, e);
    for (uint64_t i = 0; i < f->max; i++) {
        if (strlen(f->names[i]) == v->bytes.size &&
            memcmp(f->names[i], v->bytes.data, v->bytes.size) == 0) {
            int n = (int)i + 1;
            memcpy(at, &n, sizeof n);
            return 0;
        }
    }
    return error_set(e, s->range_code, "is none of the words that SPEC.md lists, as \"%s\"",
                     f->names[0]);
}

int schema_check_text(const struct value *v, int64_t min, uint64_t max, int range_code,
                      struct error *e) {
    if (v->kind != VALUE_STR)
        return schema_wrong_type("a string", v, e);
    if (v->bytes.size > max)
        return error_set(e, ERR_LIMIT, "has %zu bytes, %llu are allowed", v->bytes.size,
                         (unsigned long long)max);
    if (v->bytes.size < (uint64_t)min)
        return error_set(e, range_code, "must not be empty");
    if (!utf8_valid(v->bytes.data, v->bytes.size))
        return error_set(e, ERR_BAD_MESSAGE, "is not valid UTF-8");
    return 0;
}

static int store_binary(const struct field *f, const struct value *v, uint8_t *at,
                        struct error *e) {
    if (v->kind != VALUE_BIN)
        return schema_wrong_type("a binary", v, e);
    if (f->type == TYPE_FIXED) {
        if (v->bytes.size != f->max)
            return error_set(e, ERR_BAD_MESSAGE, "has %zu bytes, not %llu", v->bytes.size,
                             (unsigned long long)f->max);
        memcpy(at, v->bytes.data, v->bytes.size);
        return 0;
    }
    if (v->bytes.size > f->max)
        return error_set(e, ERR_LIMIT, "has %zu bytes, %llu are allowed", v->bytes.size,
                         (unsigned long long)f->max);
    if (f->unit > 1 && v->bytes.size % f->unit != 0)
        return error_set(e, ERR_BAD_MESSAGE, "has %zu bytes, not a multiple of %u", v->bytes.size,
                         f->unit);
    memcpy(at, &v->bytes, sizeof v->bytes);
    return 0;
}

int schema_store(const struct schema *s, const struct field *f, const struct value *v, uint8_t *at,
                 struct error *e) {
    switch ((enum field_type)f->type) {
    case TYPE_BOOL:
        if (v->kind != VALUE_BOOL)
            return schema_wrong_type("a boolean", v, e);
        memcpy(at, &v->boolean, sizeof v->boolean);
        return 0;
    case TYPE_U32:
    case TYPE_U64:
        return store_unsigned(s, f, v, at, e);
    case TYPE_I32:
        return store_i32(s, f, v, at, e);
    case TYPE_F32:
        return store_f32(s, f, v, at, e);
    case TYPE_ENUM:
        return store_enum(s, f, v, at, e);
    case TYPE_TEXT: {
        int rc = schema_check_text(v, f->min, f->max, s->range_code, e);
        if (rc == 0)
            memcpy(at, &v->bytes, sizeof v->bytes);
        return rc;
    }
    case TYPE_BIN:
    case TYPE_FIXED:
        return store_binary(f, v, at, e);
    case TYPE_MAP:
    case TYPE_LIST:
        break;
    }
    MUST(!"scalar row");
    return ERR_INTERNAL;
}
