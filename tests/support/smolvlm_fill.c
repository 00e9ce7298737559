/* smolvlm_fill.c - random data for the tensors of smolvlm_shape.c, hundreds of megabytes a second.
 *
 * A pool of POOL_BLOCKS blocks of 32 values from a bell curve is drawn once. For each tensor the
 * pool is scaled, encoded in the tensor's type, and then blocks (of 32, or of what the type asks
 * for if that is more) are copied at places that a hash of (seed, tensor, block) chooses. Rows
 * differ, magnitudes are those of a trained model. */
#include "tests/support/smolvlm_shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/quantize.h"

#define BLOCK 32u
#define POOL_BLOCKS 4096u

static uint64_t mix(uint64_t x) { /* splitmix64's finaliser: a hash of a counter */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Sum of four uniform numbers: variance 1, no tails to speak of. */
static float bell(uint64_t seed, uint64_t counter) {
    uint64_t r = mix(seed ^ mix(counter));
    int32_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (int32_t)(r >> (16 * i) & 0xffff);
    return ((float)sum - 131070.0f) * (1.0f / 37836.6f);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool holds(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

struct filling {
    float mean, spread;
};

/* How large a tensor's values are, by its name; wide matrices get smaller values, so that a layer's
 * output is about as large as its input. */
static struct filling filling_of(const struct gguf_writer_tensor *t, int64_t n_in) {
    const char *name = t->name;
    float unit = 1 / sqrtf((float)n_in);
    if (ends_with(name, ".bias"))
        return (struct filling){0, 0.05f};
    if (holds(name, "norm.weight") || holds(name, ".ln1.") || holds(name, ".ln2.") ||
        holds(name, "post_ln"))
        return (struct filling){1, 0.1f};
    if (strcmp(name, "token_embd.weight") == 0)
        return (struct filling){0, 0.05f};
    if (strcmp(name, "v.position_embd.weight") == 0)
        return (struct filling){0, 0.3f};
    if (strcmp(name, "mm.model.fc.weight") == 0)
        return (struct filling){0, 0.15f * unit};
    if (strcmp(name, "output.weight") == 0)
        return (struct filling){0, 2 * unit};
    if (holds(name, "blk.") && (holds(name, "attn_output") || holds(name, "ffn_down")))
        return (struct filling){0, 0.7f * unit};
    return (struct filling){0, unit};
}

/* Tokens that may be answered: the words behind the 256 bytes and the merge of two newlines. */
static bool is_word(const struct smolvlm_shape *s, int64_t id) {
    return id > 256 && id < s->n_vocab - 43;
}

static void fill_tensor(const struct gguf_writer_tensor *t, const float *pool, uint64_t key,
                        uint8_t *data) {
    int64_t n_in = t->n_dims == 4 ? t->ne[0] * t->ne[1] * t->ne[2] : t->ne[0];
    struct filling f = filling_of(t, n_in);
    float *scaled = malloc(POOL_BLOCKS * BLOCK * sizeof *scaled);
    size_t least = quant_traits(t->type)->block, block = least > BLOCK ? least : BLOCK;
    size_t block_bytes = quant_row_bytes((enum quant_type)t->type, block);
    size_t pool_blocks = POOL_BLOCKS * BLOCK / block;
    uint8_t *encoded = malloc(pool_blocks * block_bytes);
    MUST(scaled != NULL && encoded != NULL);
    size_t blocks = (t->bytes + block_bytes - 1) / block_bytes;
    size_t used = blocks < pool_blocks ? blocks : pool_blocks; /* small tensors need few */
    for (size_t i = 0; i < used * block; i++)
        scaled[i] = f.mean + f.spread * pool[i];
    quant_quantize_row((enum quant_type)t->type, scaled, encoded, used * block);
    for (size_t b = 0; b < blocks; b++) {
        size_t left = t->bytes - b * block_bytes;
        memcpy(data + b * block_bytes, encoded + mix(key + b) % used * block_bytes,
               left < block_bytes ? left : block_bytes);
    }
    free(scaled);
    free(encoded);
}

void smolvlm_fill(const struct gguf_writer *w, const struct smolvlm_shape *s, uint64_t seed,
                  uint8_t *data) {
    float *pool = malloc(POOL_BLOCKS * BLOCK * sizeof *pool);
    MUST(pool != NULL);
    for (size_t i = 0; i < POOL_BLOCKS * BLOCK; i++)
        pool[i] = bell(seed, i);
    for (size_t i = 0; i < w->tensor_count; i++) {
        const struct gguf_writer_tensor *t = &w->tensors[i];
        uint8_t *at = data + t->offset;
        fill_tensor(t, pool, mix(seed + (i << 40)), at);
        if (strcmp(t->name, "output.weight") != 0)
            continue;
        size_t row = t->bytes / (size_t)t->ne[1];
        for (int64_t id = 0; id < t->ne[1]; id++)
            if (!is_word(s, id))
                memset(at + (size_t)id * row, 0, row);
    }
    free(pool);
}
