/* kv.c - where the parts of a head lie in a page, and the names of types. */
#include "worker/engine/kv.h"

#include <string.h>

#define PART_ALIGN 64 /* bytes */

static const char *const names[KV_TYPES] = {
    [KV_F16] = "f16",
    [KV_F32] = "f32",
    [KV_Q8_0] = "q8_0",
};

static size_t aligned(size_t bytes) {
    return (bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
}

struct kv_layout kv_layout_of(enum kv_type type, int32_t head_dim) {
    struct kv_layout l = {.type = type,
                          .head_dim = head_dim,
                          .width = (head_dim + 15) / 16 * 16,
                          .blocks = (head_dim + KV_BLOCK - 1) / KV_BLOCK,
                          .element_bytes = type == KV_F32   ? 4
                                           : type == KV_F16 ? 2
                                                            : 1};
    size_t scales = type == KV_Q8_0 ? (size_t)l.blocks * KV_POSITIONS * sizeof(uint16_t) : 0;
    l.key_scales = aligned((size_t)head_dim * KV_POSITIONS * l.element_bytes);
    l.values = l.key_scales + aligned(scales);
    l.value_scales = l.values + aligned((size_t)l.width * KV_POSITIONS * l.element_bytes);
    l.bytes = l.value_scales + aligned(scales);
    return l;
}

const char *kv_type_name(enum kv_type type) {
    return names[type];
}

int kv_type_parse(const char *text, enum kv_type *out, struct error *e) {
    *out = KV_F16;
    if (text == NULL || text[0] == '\0')
        return 0;
    for (int i = 0; i < KV_TYPES; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum kv_type)i;
            return 0;
        }
    return error_set(e, ERR_USAGE, "kv-type: \"%s\" is not f16, f32 or q8_0", text);
}
