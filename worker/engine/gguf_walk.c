/* gguf_walk.c - one walk over a GGUF's header that believes nothing.
 *
 * A reader moves over the mapped bytes and every read asks first whether that much is left. Counts
 * are checked against what the bytes that are left could hold at best, before anything is taken
 * for them; so the directory's memory is a small multiple of the file's size, whatever the file
 * says. Products and sums use checked arithmetic. Nothing after this checks again: what the
 * directory says has been held against the map. */
#include "worker/engine/gguf_inside.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Limits of this reader; far above any real file, and below what would overflow an index. */
#define MAX_KEYS ((uint64_t)1 << 16)
#define MAX_TENSORS ((uint64_t)1 << 17)
#define MAX_NAME_BYTES 63u                     /* a tensor's name */
#define MAX_KEY_BYTES 65535u                   /* the specification's */
#define MAX_STRING_BYTES ((uint64_t)1 << 30)   /* the reference reader's */
#define MAX_ARRAY_ELEMENTS ((uint64_t)1 << 30) /* the reference reader's */
#define MIN_ALIGNMENT 8u                       /* the specification's */
#define DEFAULT_ALIGNMENT 32u
#define MIN_KEY_RECORD_BYTES 14u    /* length, one byte of name, type, one byte of value */
#define MIN_TENSOR_RECORD_BYTES 25u /* length, one byte of name, dimensions, type, offset */

/* ---- the reader ---- */

struct reader {
    const uint8_t *base;
    size_t size, at; /* at <= size */
    struct error *e;
};

static size_t left(const struct reader *r) {
    return r->size - r->at;
}

static int cut_short(struct reader *r, const char *what) {
    return error_set(r->e, ERR_BAD_MODEL, "the file ends inside %s, at byte %zu of %zu", what,
                     r->at, r->size);
}

static int read_u32(struct reader *r, const char *what, uint32_t *out) {
    if (left(r) < 4)
        return cut_short(r, what);
    *out = gguf_u32(r->base + r->at);
    r->at += 4;
    return 0;
}

static int read_u64(struct reader *r, const char *what, uint64_t *out) {
    if (left(r) < 8)
        return cut_short(r, what);
    *out = gguf_u64(r->base + r->at);
    r->at += 8;
    return 0;
}

static int read_string(struct reader *r, const char *what, uint64_t max, struct bytes *out) {
    size_t start = r->at;
    uint64_t n = 0;
    int rc = read_u64(r, what, &n);
    if (rc != 0)
        return rc;
    if (n > max)
        return error_set(r->e, ERR_BAD_MODEL,
                         "%s at byte %zu claims %" PRIu64 " bytes, more than the limit of %" PRIu64,
                         what, start, n, max);
    if (n > left(r))
        return error_set(r->e, ERR_BAD_MODEL,
                         "%s at byte %zu claims %" PRIu64 " bytes, but only %zu are left", what,
                         start, n, left(r));
    out->data = r->base + r->at;
    out->size = (size_t)n;
    r->at += (size_t)n;
    return 0;
}

/* ---- keys ---- */

size_t gguf_value_bytes(uint32_t type) {
    static const uint8_t sizes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < VALUE_TYPES ? sizes[type] : 0;
}

const char *gguf_value_name(uint32_t type) {
    static const char *const names[VALUE_TYPES] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                                   "i32", "f32", "bool", "string", "array",
                                                   "u64", "i64", "f64"};
    return type < VALUE_TYPES ? names[type] : "unknown";
}

static int walk_strings(struct reader *r, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct bytes s;
        int rc = read_string(r, "a string", MAX_STRING_BYTES, &s);
        if (rc != 0) {
            error_prefix(r->e, "element %zu", i);
            return rc;
        }
    }
    return 0;
}

static int read_array(struct reader *r, struct gguf_key *k) {
    uint64_t count = 0;
    int rc = read_u32(r, "an array's element type", &k->element_type);
    if (rc == 0)
        rc = read_u64(r, "an array's length", &count);
    if (rc != 0)
        return rc;
    if (k->element_type >= VALUE_TYPES || k->element_type == VALUE_ARRAY)
        return error_set(r->e, ERR_BAD_MODEL, "an array of element type %" PRIu32 " is not allowed",
                         k->element_type);
    bool strings = k->element_type == VALUE_STRING;
    size_t each = strings ? 8 : gguf_value_bytes(k->element_type);
    if (count > MAX_ARRAY_ELEMENTS)
        return error_set(r->e, ERR_BAD_MODEL,
                         "an array claims %" PRIu64 " elements, more than the limit of %" PRIu64,
                         count, MAX_ARRAY_ELEMENTS);
    if (count > left(r) / each)
        return error_set(r->e, ERR_BAD_MODEL,
                         "an array claims %" PRIu64 " elements of %s, but only %zu bytes are left",
                         count, gguf_value_name(k->element_type), left(r));
    k->count = (size_t)count;
    k->value = r->base + r->at;
    if (strings)
        return walk_strings(r, k->count);
    r->at += k->count * each;
    return 0;
}

static int read_value(struct reader *r, struct gguf_key *k) {
    int rc = read_u32(r, "a value's type", &k->type);
    if (rc != 0)
        return rc;
    if (k->type >= VALUE_TYPES)
        return error_set(r->e, ERR_BAD_MODEL, "value type %" PRIu32 " does not exist", k->type);
    if (k->type == VALUE_ARRAY)
        return read_array(r, k);
    if (k->type == VALUE_STRING) {
        struct bytes s;
        rc = read_string(r, "a string", MAX_STRING_BYTES, &s);
        if (rc != 0)
            return rc;
        k->value = s.data;
        k->count = s.size;
        return 0;
    }
    size_t n = gguf_value_bytes(k->type);
    if (left(r) < n)
        return cut_short(r, "a value");
    k->value = r->base + r->at;
    k->count = 1;
    r->at += n;
    return 0;
}

static int read_key(struct gguf *g, struct reader *r) {
    char shown[GGUF_SHOWN_BYTES];
    struct gguf_key *k = &g->keys[g->n_keys];
    size_t start = r->at;
    int rc = read_string(r, "a key's name", MAX_KEY_BYTES, &k->name);
    if (rc != 0)
        return rc;
    if (k->name.size == 0)
        return error_set(r->e, ERR_BAD_MODEL, "the key at byte %zu has an empty name", start);
    if (gguf_find_key(g, k->name) != NULL)
        return error_set(r->e, ERR_BAD_MODEL, "the key '%s' occurs twice",
                         gguf_show(k->name, shown));
    rc = read_value(r, k);
    if (rc != 0) {
        error_prefix(r->e, "key '%s'", gguf_show(k->name, shown));
        return rc;
    }
    name_table_add(&g->key_table, k->name, g->n_keys);
    g->n_keys++;
    return 0;
}

static int read_keys(struct gguf *g, struct reader *r, uint64_t count) {
    if (count > MAX_KEYS || count > left(r) / MIN_KEY_RECORD_BYTES)
        return error_set(r->e, ERR_BAD_MODEL,
                         "the header claims %" PRIu64 " keys; %zu bytes cannot hold them "
                         "(limit %" PRIu64 ")",
                         count, left(r), MAX_KEYS);
    if (count == 0)
        return 0;
    g->keys = calloc((size_t)count, sizeof *g->keys);
    if (g->keys == NULL || name_table_open(&g->key_table, (size_t)count) != 0)
        return error_set(r->e, ERR_NOMEM, "out of memory for %" PRIu64 " keys", count);
    for (uint64_t i = 0; i < count; i++) {
        int rc = read_key(g, r);
        if (rc != 0) {
            error_prefix(r->e, "key %" PRIu64 " of %" PRIu64, i + 1, count);
            return rc;
        }
    }
    return 0;
}

/* ---- tensors ---- */

static int read_shape(struct reader *r, struct gguf_tensor *t) {
    uint32_t n_dims = 0;
    int rc = read_u32(r, "a tensor's number of dimensions", &n_dims);
    if (rc != 0)
        return rc;
    if (n_dims > GGUF_MAX_DIMS)
        return error_set(r->e, ERR_BAD_MODEL, "%" PRIu32 " dimensions are more than %d", n_dims,
                         GGUF_MAX_DIMS);
    t->n_dims = (int)n_dims;
    int64_t elements = 1;
    for (int d = 0; d < GGUF_MAX_DIMS; d++) {
        uint64_t n = 1;
        if (d < t->n_dims && (rc = read_u64(r, "a tensor's dimensions", &n)) != 0)
            return rc;
        if (n == 0 || n > INT64_MAX)
            return error_set(r->e, ERR_BAD_MODEL, "dimension %d is %" PRId64, d, (int64_t)n);
        t->ne[d] = (int64_t)n;
        if (__builtin_mul_overflow(elements, t->ne[d], &elements))
            return error_set(r->e, ERR_BAD_MODEL,
                             "the product of its dimensions does not fit in 63 bits");
    }
    return 0;
}

/* Fills t->bytes; the shape's product is known to fit in 63 bits. */
static int measure_tensor(struct reader *r, struct gguf_tensor *t, uint32_t type_id) {
    const struct quant_traits *traits = quant_traits(type_id);
    if (traits == NULL)
        return error_set(r->e, ERR_UNSUPPORTED,
                         "its type %" PRId32 " is not one this engine reads (F32, F16, BF16, Q4_0, "
                         "Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS)",
                         (int32_t)type_id);
    t->type = (enum quant_type)type_id;
    if (t->ne[0] % traits->block != 0)
        return error_set(r->e, ERR_BAD_MODEL,
                         "rows of %" PRId64 " values are not whole blocks of %" PRIu32 " (%s)",
                         t->ne[0], traits->block, traits->name);
    size_t n = (size_t)(t->ne[0] / traits->block);
    bool fits = size_mul(n, traits->block_bytes, &n);
    for (int d = 1; d < GGUF_MAX_DIMS; d++)
        fits = fits && size_mul(n, (size_t)t->ne[d], &n);
    if (!fits || n > r->size)
        return error_set(r->e, ERR_BAD_MODEL, "its shape asks for more bytes than the file has");
    t->bytes = n;
    return 0;
}

/* Reads one record. The offset stays in *offset until the data section's start is known. */
static int read_tensor(struct gguf *g, struct reader *r, uint64_t *offset) {
    char shown[GGUF_SHOWN_BYTES];
    struct gguf_tensor *t = &g->tensors[g->n_tensors];
    size_t start = r->at;
    int rc = read_string(r, "a tensor's name", MAX_NAME_BYTES, &t->name);
    if (rc != 0)
        return rc;
    if (t->name.size == 0)
        return error_set(r->e, ERR_BAD_MODEL, "the tensor at byte %zu has an empty name", start);
    if (gguf_find_tensor_bytes(g, t->name) != NULL)
        return error_set(r->e, ERR_BAD_MODEL, "the tensor '%s' occurs twice",
                         gguf_show(t->name, shown));
    uint32_t type_id = 0;
    rc = read_shape(r, t);
    if (rc == 0)
        rc = read_u32(r, "a tensor's type", &type_id);
    if (rc == 0)
        rc = read_u64(r, "a tensor's offset", offset);
    if (rc == 0)
        rc = measure_tensor(r, t, type_id);
    if (rc == 0 && *offset % g->alignment != 0)
        rc = error_set(r->e, ERR_BAD_MODEL,
                       "its offset %" PRIu64 " is not a multiple of the alignment %zu", *offset,
                       g->alignment);
    if (rc != 0) {
        error_prefix(r->e, "tensor '%s'", gguf_show(t->name, shown));
        return rc;
    }
    name_table_add(&g->tensor_table, t->name, g->n_tensors);
    g->n_tensors++;
    return 0;
}

/* Offsets count from the data section; here they become pointers, or the file is refused. */
static int place_tensors(struct gguf *g, struct reader *r, const uint64_t *offsets) {
    size_t data_start;
    if (!size_add(r->at, g->alignment - 1, &data_start))
        data_start = SIZE_MAX; /* fails below for every tensor */
    data_start &= ~(g->alignment - 1);
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        char shown[GGUF_SHOWN_BYTES];
        size_t first, end;
        if (offsets[i] > SIZE_MAX || !size_add(data_start, (size_t)offsets[i], &first) ||
            !size_add(first, t->bytes, &end) || end > r->size)
            return error_set(r->e, ERR_BAD_MODEL,
                             "tensor '%s' needs %zu bytes at offset %" PRIu64
                             " of the data, which starts at byte %zu, but the file has %zu bytes",
                             gguf_show(t->name, shown), t->bytes, offsets[i], data_start, r->size);
        t->data = r->base + first;
    }
    return 0;
}

static int by_address(const void *a, const void *b) {
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a;
    const struct gguf_tensor *y = *(const struct gguf_tensor *const *)b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return (p > q) - (p < q);
}

static int refuse_overlap(struct gguf *g, struct reader *r) {
    const struct gguf_tensor **order = calloc(g->n_tensors, sizeof *order);
    if (order == NULL)
        return error_set(r->e, ERR_NOMEM, "out of memory for %zu tensors", g->n_tensors);
    for (size_t i = 0; i < g->n_tensors; i++)
        order[i] = &g->tensors[i];
    qsort(order, g->n_tensors, sizeof *order, by_address);
    int rc = 0;
    for (size_t i = 1; i < g->n_tensors && rc == 0; i++) {
        const struct gguf_tensor *a = order[i - 1], *b = order[i];
        if ((const uint8_t *)a->data + a->bytes > (const uint8_t *)b->data) {
            char shown_a[GGUF_SHOWN_BYTES], shown_b[GGUF_SHOWN_BYTES];
            rc = error_set(r->e, ERR_BAD_MODEL, "the tensors '%s' and '%s' overlap",
                           gguf_show(a->name, shown_a), gguf_show(b->name, shown_b));
        }
    }
    free(order);
    return rc;
}

static int read_tensors(struct gguf *g, struct reader *r, uint64_t count) {
    if (count > MAX_TENSORS || count > left(r) / MIN_TENSOR_RECORD_BYTES)
        return error_set(r->e, ERR_BAD_MODEL,
                         "the header claims %" PRIu64 " tensors; %zu bytes cannot hold them "
                         "(limit %" PRIu64 ")",
                         count, left(r), MAX_TENSORS);
    if (count == 0)
        return 0; /* a file of vocabulary only */
    g->tensors = calloc((size_t)count, sizeof *g->tensors);
    uint64_t *offsets = calloc((size_t)count, sizeof *offsets);
    int rc = 0;
    if (g->tensors == NULL || offsets == NULL ||
        name_table_open(&g->tensor_table, (size_t)count) != 0)
        rc = error_set(r->e, ERR_NOMEM, "out of memory for %" PRIu64 " tensors", count);
    for (uint64_t i = 0; i < count && rc == 0; i++) {
        rc = read_tensor(g, r, &offsets[i]);
        if (rc != 0)
            error_prefix(r->e, "tensor %" PRIu64 " of %" PRIu64, i + 1, count);
    }
    if (rc == 0)
        rc = place_tensors(g, r, offsets);
    if (rc == 0)
        rc = refuse_overlap(g, r);
    free(offsets);
    return rc;
}

/* ---- the header ---- */

static int read_version(struct gguf *g, struct reader *r) {
    if (r->size < GGUF_HEADER_BYTES || memcmp(r->base, "GGUF", 4) != 0) {
        char shown[GGUF_SHOWN_BYTES];
        struct bytes first = {r->base, r->size < 4 ? r->size : 4};
        return error_set(r->e, ERR_BAD_MODEL,
                         "not a GGUF file: it has %zu bytes and starts with '%s'", r->size,
                         gguf_show(first, shown));
    }
    g->version = gguf_u32(r->base + 4);
    r->at = 8;
    if (g->version == 2 || g->version == 3)
        return 0;
    if (g->version == 0)
        return error_set(r->e, ERR_BAD_MODEL, "GGUF version 0 does not exist");
    if ((g->version & 0xffff) == 0)
        return error_set(r->e, ERR_UNSUPPORTED,
                         "a big-endian GGUF file; convert it to little "
                         "endian");
    return error_set(r->e, ERR_UNSUPPORTED,
                     "GGUF version %" PRIu32 "; this engine reads versions 2 and 3", g->version);
}

static int read_alignment(struct gguf *g, struct error *e) {
    uint32_t alignment = DEFAULT_ALIGNMENT;
    bool found;
    int rc = gguf_get_u32(g, "general.alignment", MIN_ALIGNMENT, (uint32_t)1 << 31, &alignment,
                          &found, e);
    if (rc != 0)
        return rc;
    if ((alignment & (alignment - 1)) != 0)
        return error_set(e, ERR_BAD_MODEL, "general.alignment is %" PRIu32 ", not a power of two",
                         alignment);
    g->alignment = alignment;
    return 0;
}

static int refuse_split(const struct gguf *g, struct error *e) {
    uint32_t count = 1;
    bool found;
    int rc = gguf_get_u32(g, "split.count", 0, UINT16_MAX, &count, &found, e);
    if (rc == 0 && count > 1)
        rc = error_set(e, ERR_UNSUPPORTED,
                       "the file is one of %" PRIu32 " parts of a split model; join them first "
                       "(llama-gguf-split --merge)",
                       count);
    return rc;
}

int gguf_walk(struct gguf *g, struct error *e) {
    struct reader r = {.base = g->map, .size = g->map_bytes, .e = e};
    uint64_t n_tensors = 0, n_keys = 0;
    int rc = read_version(g, &r);
    if (rc == 0)
        rc = read_u64(&r, "the number of tensors", &n_tensors);
    if (rc == 0)
        rc = read_u64(&r, "the number of keys", &n_keys);
    if (rc == 0)
        rc = read_keys(g, &r, n_keys);
    if (rc == 0)
        rc = read_alignment(g, e);
    if (rc == 0)
        rc = refuse_split(g, e);
    if (rc == 0)
        rc = read_tensors(g, &r, n_tensors);
    return rc;
}
