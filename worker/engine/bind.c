/* bind.c - see bind.h. Shapes are compared in all dimensions, so that a tensor can never be read
 * past its end by code that trusts the hyper-parameters. */
#include "worker/engine/bind.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES 64 /* a tensor's longest name and a NUL */

static size_t elements(const struct gguf_tensor *t) {
    size_t n = 1; /* the product was checked when the file was opened */
    for (int d = 0; d < GGUF_MAX_DIMS; d++)
        n *= (size_t)t->ne[d];
    return n;
}

static bool is_half(enum quant_type type) {
    return type == QUANT_F16 || type == QUANT_BF16;
}

/* Vectors, and tables of positions: what bind_floats may have to expand. Matrices are bigger by far
 * and are never bound as floats, so only names that can be asked for count. */
static bool may_be_owned(const struct gguf_tensor *t) {
    bool vector = t->ne[1] == 1 && t->ne[2] == 1 && t->ne[3] == 1;
    return is_half(t->type) && (vector || bytes_are(t->name, "v.position_embd.weight"));
}

int binder_open(struct binder *b, const struct gguf *g, struct error *e) {
    *b = (struct binder){.g = g, .e = e};
    for (size_t i = 0; i < gguf_tensor_count(g); i++)
        if (may_be_owned(gguf_tensor_at(g, i)))
            b->capacity += elements(gguf_tensor_at(g, i)); /* 4 bytes for each 2 of the file */
    if (b->capacity == 0)
        return 0;
    b->owned = calloc(b->capacity, sizeof *b->owned);
    if (b->owned == NULL)
        return error_set(e, ERR_NOMEM, "out of memory for %zu values", b->capacity);
    return 0;
}

static int find(struct binder *b, const char *name, const struct gguf_tensor **out) {
    *out = gguf_find_tensor(b->g, name);
    if (*out == NULL)
        return error_set(b->e, ERR_BAD_MODEL, "the tensor %s is missing", name);
    return 0;
}

static int wrong_shape(struct binder *b, const struct gguf_tensor *t, const char *name, int64_t n0,
                       int64_t n1) {
    return error_set(b->e, ERR_BAD_MODEL,
                     "the tensor %s has the shape [%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64
                     "], but [%" PRId64 ", %" PRId64 "] is needed",
                     name, t->ne[0], t->ne[1], t->ne[2], t->ne[3], n0, n1);
}

static bool has_shape(const struct gguf_tensor *t, int64_t n0, int64_t n1) {
    return t->ne[0] == n0 && t->ne[1] == n1 && t->ne[2] == 1 && t->ne[3] == 1;
}

int bind_matrix(struct binder *b, struct weight *out, int32_t n_in, int32_t n_out,
                const char *format, ...) {
    char name[NAME_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct gguf_tensor *t;
    int rc = find(b, name, &t);
    if (rc != 0)
        return rc;
    if (!has_shape(t, n_in, n_out))
        return wrong_shape(b, t, name, n_in, n_out);
    *out = (struct weight){.type = t->type,
                           .n_in = n_in,
                           .n_out = n_out,
                           .row_bytes = quant_row_bytes(t->type, (size_t)n_in),
                           .data = t->data};
    return 0;
}

/* Expands t into b->owned and returns where. */
static const float *expand(struct binder *b, const struct gguf_tensor *t) {
    size_t n = elements(t);
    float *at = b->owned + b->used;
    quant_expand_row(t->type, t->data, at, n);
    b->used += n;
    return at;
}

static int bind_found(struct binder *b, const float **out, int32_t n, int32_t rows,
                      const struct gguf_tensor *t, const char *name) {
    if (!has_shape(t, n, rows))
        return wrong_shape(b, t, name, n, rows);
    if (t->type == QUANT_F32)
        *out = t->data;
    else if (is_half(t->type) && elements(t) <= b->capacity - b->used)
        *out = expand(b, t);
    else
        return error_set(b->e, ERR_UNSUPPORTED,
                         "the tensor %s is of type %s; F32, F16 or BF16 is needed here", name,
                         quant_traits(t->type)->name);
    for (size_t i = 0; i < elements(t); i++)
        if (!isfinite((*out)[i]))
            return error_set(b->e, ERR_BAD_MODEL, "the tensor %s holds %g at position %zu", name,
                             (double)(*out)[i], i);
    return 0;
}

int bind_floats(struct binder *b, const float **out, int32_t n, int32_t rows, const char *format,
                ...) {
    char name[NAME_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct gguf_tensor *t;
    int rc = find(b, name, &t);
    return rc != 0 ? rc : bind_found(b, out, n, rows, t, name);
}

int bind_optional(struct binder *b, const float **out, int32_t n, const char *format, ...) {
    char name[NAME_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct gguf_tensor *t = gguf_find_tensor(b->g, name);
    *out = NULL;
    return t == NULL ? 0 : bind_found(b, out, n, 1, t, name);
}

static int count_of_array(struct binder *b, const char *key, uint32_t min, uint32_t max,
                          const struct gguf_array *a, int32_t *out) {
    switch (a->element_type) {
    case GGUF_TYPE_U32:
    case GGUF_TYPE_I32:
        break;
    default:
        return error_set(b->e, ERR_BAD_MODEL, "the key %s is an array, but not of u32 or i32", key);
    }
    if (a->count == 0)
        return error_set(b->e, ERR_BAD_MODEL, "the key %s is an empty array", key);
    int64_t first = gguf_array_int(a, 0);
    for (size_t i = 1; i < a->count; i++)
        if (gguf_array_int(a, i) != first)
            return error_set(b->e, ERR_UNSUPPORTED,
                             "the key %s differs between layers (%" PRId64 " and %" PRId64
                             "), which this engine does not compute",
                             key, first, gguf_array_int(a, i));
    if (first < (int64_t)min || first > (int64_t)max)
        return error_set(b->e, ERR_BAD_MODEL,
                         "the key %s is %" PRId64 ", outside of %" PRIu32 " to %" PRIu32, key,
                         first, min, max);
    *out = (int32_t)first;
    return 0;
}

int bind_count(struct binder *b, const char *key, uint32_t min, uint32_t max, int32_t *out,
               bool *found) {
    struct gguf_array a;
    bool present;
    if (gguf_get_array(b->g, key, &a, &present, NULL) == 0 && present) {
        if (found != NULL)
            *found = true;
        return count_of_array(b, key, min, max, &a, out);
    }
    uint32_t value = 0;
    int rc = gguf_get_u32(b->g, key, min, max, &value, found, b->e);
    if (rc == 0 && (found == NULL || *found))
        *out = (int32_t)value;
    return rc;
}

int bind_positive(struct binder *b, const char *key, float *out, bool *found) {
    float value = 1;
    int rc = gguf_get_f32(b->g, key, &value, found, b->e);
    if (rc != 0 || (found != NULL && !*found))
        return rc;
    if (!isfinite(value) || value <= 0)
        return error_set(b->e, ERR_BAD_MODEL, "the key %s is %g; it must be finite and above zero",
                         key, (double)value);
    *out = value;
    return 0;
}
