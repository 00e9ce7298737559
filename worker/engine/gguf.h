/* gguf.h - a GGUF file, mapped and validated: typed keys and tensors inside the map.
 *
 * Source of the format: the GGUF specification, versions 2 and 3, little endian. Every count,
 * length, offset and product is checked before it is used; a file that breaks a rule is refused
 * with a sentence that names the field and where it stands. Nothing but the directory is copied:
 * tensor data and strings are borrowed from the map and live until gguf_close. */
#ifndef QUIRE_ENGINE_GGUF_H
#define QUIRE_ENGINE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/quant.h"

#define GGUF_MAX_DIMS 4

struct gguf;

struct gguf_tensor {
    struct bytes name;
    enum quant_type type;
    int n_dims;
    int64_t ne[GGUF_MAX_DIMS]; /* ne[0] is contiguous; missing dimensions are 1 */
    const void *data;          /* in the map; quant_row_bytes(type, ne[0]) per row */
    size_t bytes;
};

/* Maps path read-only. *out is the caller's, given back to gguf_close. ERR_NOT_FOUND, ERR_IO,
 * ERR_BAD_MODEL, ERR_UNSUPPORTED (big endian, version, split file), ERR_NOMEM; then *out is NULL */
int gguf_open(struct gguf **out, const char *path, struct error *e);
void gguf_close(struct gguf *g); /* NULL is fine */

const char *gguf_path(const struct gguf *g);
size_t gguf_map_bytes(const struct gguf *g);
int64_t gguf_mtime_ns(const struct gguf *g); /* when the file was last modified, as it was mapped */
/* Takes the map out of this process's resident memory. What is read again comes back from the page
 * cache, or from the disk. */
void gguf_let_go(const struct gguf *g);
size_t gguf_tensor_count(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i);
/* NULL when absent; O(1). */
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name);

/* Keys. `found` may be NULL: then a missing key is an error that names it; otherwise a missing key
 * leaves *out alone and sets *found. A wrong type or a value outside min..max is ERR_BAD_MODEL with
 * key, value and range. Integers of any width and sign are accepted where they fit. */
int gguf_get_u32(const struct gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                 bool *found, struct error *e);
int gguf_get_f32(const struct gguf *g, const char *key, float *out, bool *found, struct error *e);
int gguf_get_bool(const struct gguf *g, const char *key, bool *out, bool *found, struct error *e);
int gguf_get_string(const struct gguf *g, const char *key, struct bytes *out, bool *found,
                    struct error *e);

/* Arrays: borrowed iterators. Strings are walked in order (their lengths were checked at open). */
struct gguf_array {
    uint32_t element_type; /* GGUF value type id */
    size_t count;
    const uint8_t *data; /* first element */
};
int gguf_get_array(const struct gguf *g, const char *key, struct gguf_array *out, bool *found,
                   struct error *e);
#define GGUF_TYPE_U32 4
#define GGUF_TYPE_I32 5
#define GGUF_TYPE_F32 6
#define GGUF_TYPE_BOOL 7
#define GGUF_TYPE_STRING 8
/* Reads the string at *cursor (start it at array.data) and moves the cursor past it. */
struct bytes gguf_next_string(const uint8_t **cursor);
/* Element i of an integer (i32/u32) or f32 array; i < count is the caller's promise. */
int64_t gguf_array_int(const struct gguf_array *a, size_t i);
float gguf_array_f32(const struct gguf_array *a, size_t i);

#endif
