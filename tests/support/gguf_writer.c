/* gguf_writer.c - see gguf_writer.h. */
#include "tests/support/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

static void append(struct gguf_bytes_list *b, const void *data, size_t n) {
    if (b->capacity - b->size < n) {
        size_t capacity = (b->size + n) * 2;
        b->data = realloc(b->data, capacity);
        MUST(b->data != NULL);
        b->capacity = capacity;
    }
    if (n > 0)
        memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void append_u32(struct gguf_bytes_list *b, uint32_t v) {
    uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    append(b, bytes, sizeof bytes);
}

static void append_u64(struct gguf_bytes_list *b, uint64_t v) {
    append_u32(b, (uint32_t)v);
    append_u32(b, (uint32_t)(v >> 32));
}

static void append_string(struct gguf_bytes_list *b, const char *s) {
    append_u64(b, strlen(s));
    append(b, s, strlen(s));
}

static bool edited(struct gguf_writer *w, const char *name, int what) {
    if (w->edit.name == NULL || (int)w->edit.what != what || strcmp(w->edit.name, name) != 0)
        return false;
    w->edit.used = true;
    return true;
}

void gguf_writer_open(struct gguf_writer *w) {
    *w = (struct gguf_writer){.version = 3, .alignment = 32};
}

void gguf_writer_close(struct gguf_writer *w) {
    free(w->keys.data);
    free(w->tensors);
    memset(w, 0, sizeof *w);
}

void gguf_put_raw(struct gguf_writer *w, const char *key, uint32_t type, const void *value,
                  size_t bytes) {
    if (edited(w, key, EDIT_DROP))
        return;
    if (edited(w, key, EDIT_VALUE)) {
        type = w->edit.type;
        value = w->edit.value;
        bytes = w->edit.value_bytes;
    }
    append_string(&w->keys, key);
    append_u32(&w->keys, type);
    append(&w->keys, value, bytes);
    w->n_keys++;
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t value) {
    gguf_put_raw(w, key, GW_U32, &value, sizeof value);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float value) {
    gguf_put_raw(w, key, GW_F32, &value, sizeof value);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool value) {
    uint8_t byte = value;
    gguf_put_raw(w, key, GW_BOOL, &byte, 1);
}

static void put_list(struct gguf_writer *w, const char *key, uint32_t type,
                     struct gguf_bytes_list *b) {
    gguf_put_raw(w, key, type, b->data, b->size);
    free(b->data);
}

void gguf_put_string(struct gguf_writer *w, const char *key, const char *value) {
    struct gguf_bytes_list b = {0};
    append_string(&b, value);
    put_list(w, key, GW_STRING, &b);
}

void gguf_put_strings(struct gguf_writer *w, const char *key, char *const *values, size_t n) {
    struct gguf_bytes_list b = {0};
    append_u32(&b, GW_STRING);
    append_u64(&b, n);
    for (size_t i = 0; i < n; i++)
        append_string(&b, values[i]);
    put_list(w, key, GW_ARRAY, &b);
}

static void put_fours(struct gguf_writer *w, const char *key, uint32_t type, const void *values,
                      size_t n) {
    struct gguf_bytes_list b = {0};
    append_u32(&b, type);
    append_u64(&b, n);
    append(&b, values, n * 4);
    put_list(w, key, GW_ARRAY, &b);
}

void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t n) {
    put_fours(w, key, GW_I32, values, n);
}

void gguf_put_f32s(struct gguf_writer *w, const char *key, const float *values, size_t n) {
    put_fours(w, key, GW_F32, values, n);
}

struct gguf_writer_tensor *gguf_put_tensor(struct gguf_writer *w, const char *name, uint32_t type,
                                           uint32_t n_dims, const int64_t *ne, size_t bytes) {
    if (edited(w, name, EDIT_DROP))
        return NULL;
    w->tensors = realloc(w->tensors, (w->tensor_count + 1) * sizeof *w->tensors);
    MUST(w->tensors != NULL && strlen(name) < sizeof w->tensors->name && n_dims <= 4);
    struct gguf_writer_tensor *t = &w->tensors[w->tensor_count++];
    *t = (struct gguf_writer_tensor){
        .type = type, .n_dims = n_dims, .offset = w->data_bytes, .bytes = bytes};
    memcpy(t->name, name, strlen(name));
    if (n_dims > 0)
        memcpy(t->ne, ne, n_dims * sizeof *ne);
    if (edited(w, name, EDIT_SHAPE))
        memcpy(t->ne, w->edit.ne, n_dims * sizeof *ne);
    if (edited(w, name, EDIT_TYPE))
        t->type = w->edit.type;
    w->data_bytes += (bytes + w->alignment - 1) / w->alignment * w->alignment;
    w->n_tensors++;
    return t;
}

uint8_t *gguf_writer_header(const struct gguf_writer *w, size_t *bytes) {
    struct gguf_bytes_list b = {0};
    append(&b, "GGUF", 4);
    append_u32(&b, w->version);
    append_u64(&b, w->n_tensors);
    append_u64(&b, w->n_keys);
    append(&b, w->keys.data, w->keys.size);
    for (size_t i = 0; i < w->tensor_count; i++) {
        const struct gguf_writer_tensor *t = &w->tensors[i];
        append_string(&b, t->name);
        append_u32(&b, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++)
            append_u64(&b, (uint64_t)t->ne[d]);
        append_u32(&b, t->type);
        append_u64(&b, t->offset);
    }
    while (b.size % w->alignment != 0)
        append(&b, "", 1);
    *bytes = b.size;
    return b.data;
}

uint8_t *gguf_writer_image(const struct gguf_writer *w, size_t *bytes, size_t *data_start) {
    size_t header;
    uint8_t *image = gguf_writer_header(w, &header);
    *bytes = header + (size_t)w->data_bytes;
    if (data_start != NULL)
        *data_start = header;
    image = realloc(image, *bytes);
    MUST(image != NULL);
    memset(image + header, 0, (size_t)w->data_bytes);
    return image;
}

void write_whole_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    MUST(f != NULL);
    MUST(fwrite(data, 1, bytes, f) == bytes);
    MUST(fclose(f) == 0);
}
