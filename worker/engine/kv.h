/* kv.h - how keys and values are stored: their types, and one head's part of a page.
 *
 * Keys lie with the positions of a page side by side, so that a vector holds one dimension of 16
 * positions; values lie position by position, so that a vector holds 16 dimensions of one position.
 * A head's part of a page is
 *     keys          [head_dim][KV_POSITIONS]
 *     key scales    [blocks][KV_POSITIONS] halves, Q8_0 only
 *     values        [KV_POSITIONS][width]
 *     value scales  [KV_POSITIONS][blocks] halves, Q8_0 only
 * each beginning at a multiple of 64 bytes. Dimensions past head_dim are in no result. */
#ifndef QUIRE_ENGINE_KV_H
#define QUIRE_ENGINE_KV_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define KV_POSITIONS 16 /* of a page */
#define KV_BLOCK 32     /* dimensions that share a scale; the last block may have fewer */

/* F16, F32: the value itself. Q8_0: scale * q, q in -127..127, which f32 holds exactly. */
enum kv_type { KV_F16, KV_F32, KV_Q8_0 };
#define KV_TYPES 3

struct kv_layout {
    enum kv_type type;
    int32_t head_dim;
    int32_t width;                           /* of a value: head_dim rounded up to 16 */
    int32_t blocks;                          /* of KV_BLOCK dimensions */
    size_t element_bytes;                    /* of a key's or value's dimension, without scales */
    size_t key_scales, values, value_scales; /* offsets in bytes; keys are at 0 */
    size_t bytes;                            /* of all */
};

struct kv_layout kv_layout_of(enum kv_type type, int32_t head_dim);

const char *kv_type_name(enum kv_type type); /* "f16", "f32", "q8_0" */
/* NULL or empty text is F16. ERR_USAGE for what is no name. */
int kv_type_parse(const char *text, enum kv_type *out, struct error *e);

#endif
