/* bind.h - tensors of a GGUF looked up by name and held against the shape they must have.
 *
 * For model_text.c and model_vision.c. Names are printf formats ("blk.%d.attn_q.weight"). Every
 * function returns 0 or ERR_BAD_MODEL / ERR_UNSUPPORTED with a sentence that names the tensor. */
#ifndef QUIRE_ENGINE_BIND_H
#define QUIRE_ENGINE_BIND_H

#include <string.h>

#include "worker/engine/model.h"

static inline bool bytes_are(struct bytes b, const char *text) {
    return b.size == strlen(text) && memcmp(b.data, text, b.size) == 0;
}

struct binder {
    const struct gguf *g;
    struct error *e;
    float *owned; /* room for every vector of the file that is not f32; the model's in the end */
    size_t used, capacity;
};

/* ERR_NOMEM. On success the caller owns b->owned (free). */
int binder_open(struct binder *b, const struct gguf *g, struct error *e);

int bind_matrix(struct binder *b, struct weight *out, int32_t n_in, int32_t n_out,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A vector, or a table of `rows` of them, in f32: from the map, or expanded into `owned` where the
 * file has F16 or BF16. Values that are not finite are refused. */
int bind_floats(struct binder *b, const float **out, int32_t n, int32_t rows, const char *format,
                ...) __attribute__((format(printf, 5, 6)));
/* The same; NULL where the file has no such tensor. */
int bind_optional(struct binder *b, const float **out, int32_t n, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Hyper-parameters. An integer that some files give as an array with one entry per layer: taken if
 * all entries are equal, ERR_UNSUPPORTED otherwise. found as in gguf_get_u32. */
int bind_count(struct binder *b, const char *key, uint32_t min, uint32_t max, int32_t *out,
               bool *found);
/* Finite and greater than zero. */
int bind_positive(struct binder *b, const char *key, float *out, bool *found);

#endif
