/* gguf_inside.h - the directory of an open GGUF; for this library and its tests only. */
#ifndef QUIRE_ENGINE_GGUF_INSIDE_H
#define QUIRE_ENGINE_GGUF_INSIDE_H

#include "worker/engine/gguf.h"

/* Type ids of values, as the file has them; gguf.h names those that callers meet. */
enum gguf_value_type {
    VALUE_U8 = 0,
    VALUE_I8 = 1,
    VALUE_U16 = 2,
    VALUE_I16 = 3,
    VALUE_U32 = 4,
    VALUE_I32 = 5,
    VALUE_F32 = 6,
    VALUE_BOOL = 7,
    VALUE_STRING = 8,
    VALUE_ARRAY = 9,
    VALUE_U64 = 10,
    VALUE_I64 = 11,
    VALUE_F64 = 12,
};
#define VALUE_TYPES 13u

/* Bytes of a value of fixed size, 0 for strings, arrays and unknown types. */
size_t gguf_value_bytes(uint32_t type);
/* "u32", "string"; "unknown" for others. Static storage. */
const char *gguf_value_name(uint32_t type);

struct gguf_key {
    struct bytes name;
    uint32_t type;         /* gguf_value_type */
    uint32_t element_type; /* of an array */
    size_t count;          /* elements of an array, bytes of a string, otherwise 1 */
    const uint8_t *value;  /* the value itself, behind any length */
};

/* Open addressing over positions in an array of named things; 0 is an empty slot, else index + 1.
 */
struct name_table {
    uint32_t *slots;
    size_t mask;
};

#define GGUF_HEADER_BYTES 24u /* magic, version, two counts */

struct gguf {
    char *path;
    const uint8_t *map;
    size_t map_bytes;
    bool mapped; /* false: the bytes are somebody else's */
    int64_t mtime_ns;
    uint32_t version;
    size_t alignment;
    struct gguf_key *keys;
    size_t n_keys;
    struct name_table key_table;
    struct gguf_tensor *tensors;
    size_t n_tensors;
    struct name_table tensor_table;
};

/* gguf_open for a file that is already in memory, aligned to 8 bytes. Borrows it until gguf_close;
 * `name` stands for the path in sentences. */
int gguf_open_bytes(struct gguf **out, const char *name, struct bytes image, struct error *e);

/* NULL when absent. */
const struct gguf_key *gguf_find_key(const struct gguf *g, struct bytes name);
const struct gguf_tensor *gguf_find_tensor_bytes(const struct gguf *g, struct bytes name);

/* Room for n names; ERR_NOMEM. No name may be added twice. */
int name_table_open(struct name_table *t, size_t n);
void name_table_add(struct name_table *t, struct bytes name, size_t index);

/* Fills the directory from g->map, checking everything. What it takes is g's even when it fails. */
int gguf_walk(struct gguf *g, struct error *e);

/* A file's text made fit for a sentence: unprintable bytes become '?', long text is cut. */
#define GGUF_SHOWN_BYTES 96
const char *gguf_show(struct bytes text, char out[GGUF_SHOWN_BYTES]);

/* Little-endian reads from anywhere in the map; the caller checked the bounds. */
uint16_t gguf_u16(const uint8_t *p);
uint32_t gguf_u32(const uint8_t *p);
uint64_t gguf_u64(const uint8_t *p);

#endif
