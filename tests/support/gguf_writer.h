/* gguf_writer.h - builds GGUF files key by key and tensor by tensor, sound ones and broken ones.
 *
 * For tests and tools: running out of memory ends the program. A writer is filled, then asked for
 * its header or for a whole image. What makes hostile files easy is `edit`: while keys and tensors
 * are added, the one of that name is left out, replaced or given another shape, so that a test can
 * bend one field of a big sound file without building it again. */
#ifndef QUIRE_TESTS_SUPPORT_GGUF_WRITER_H
#define QUIRE_TESTS_SUPPORT_GGUF_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Value types of the file format. */
enum {
    GW_U8,
    GW_I8,
    GW_U16,
    GW_I16,
    GW_U32,
    GW_I32,
    GW_F32,
    GW_BOOL,
    GW_STRING,
    GW_ARRAY,
    GW_U64,
    GW_I64,
    GW_F64
};

struct gguf_bytes_list {
    uint8_t *data;
    size_t size, capacity;
};

struct gguf_writer_tensor {
    char name[64];
    uint32_t type, n_dims;
    int64_t ne[4];
    uint64_t offset; /* in the data section */
    size_t bytes;
};

struct gguf_edit {
    const char *name; /* NULL: no edit */
    enum { EDIT_DROP, EDIT_VALUE, EDIT_SHAPE, EDIT_TYPE } what;
    uint32_t type;     /* EDIT_VALUE: value type; EDIT_TYPE: tensor type */
    const void *value; /* EDIT_VALUE: the value's bytes as in the file */
    size_t value_bytes;
    int64_t ne[4]; /* EDIT_SHAPE */
    bool used;     /* set when something had that name */
};

struct gguf_writer {
    uint32_t version;   /* 3 */
    uint32_t alignment; /* 32; writes no key */
    uint64_t n_keys;    /* counted; may be overwritten before the header is made */
    uint64_t n_tensors;
    struct gguf_bytes_list keys;
    struct gguf_writer_tensor *tensors;
    size_t tensor_count;
    uint64_t data_bytes;
    struct gguf_edit edit;
};

void gguf_writer_open(struct gguf_writer *w);
void gguf_writer_close(struct gguf_writer *w);

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_put_f32(struct gguf_writer *w, const char *key, float value);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_put_string(struct gguf_writer *w, const char *key, const char *value);
void gguf_put_strings(struct gguf_writer *w, const char *key, char *const *values, size_t n);
void gguf_put_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t n);
void gguf_put_f32s(struct gguf_writer *w, const char *key, const float *values, size_t n);
/* Any type, value bytes as they stand in the file. */
void gguf_put_raw(struct gguf_writer *w, const char *key, uint32_t type, const void *value,
                  size_t bytes);

/* Adds a tensor behind the last one and returns it (borrowed until the next call), or NULL when the
 * edit drops it. `bytes` is what its data takes. */
struct gguf_writer_tensor *gguf_put_tensor(struct gguf_writer *w, const char *name, uint32_t type,
                                           uint32_t n_dims, const int64_t *ne, size_t bytes);

/* Header with padding up to the data; the caller frees it. The file is *bytes + w->data_bytes. */
uint8_t *gguf_writer_header(const struct gguf_writer *w, size_t *bytes);
/* The whole file, data all zero; the caller frees it. *data_start may be NULL. */
uint8_t *gguf_writer_image(const struct gguf_writer *w, size_t *bytes, size_t *data_start);

/* Writes a file; ends the program when it can't. */
void write_whole_file(const char *path, const void *data, size_t bytes);

#endif
