/* random_weight.c - random bytes, except for the scales, which are kept small. */
#include "tests/support/random_weight.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

uint32_t random_bits(struct random_source *r) { /* splitmix64's upper half */
    uint64_t z = r->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

float random_float(struct random_source *r) {
    return (float)(random_bits(r) >> 8) * 0x1p-23F - 1.0F;
}

void random_floats(struct random_source *r, float *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = random_float(r);
}

const enum quant_type random_weight_types[] = {
    QUANT_F32,  QUANT_F16,  QUANT_BF16, QUANT_Q4_0,   QUANT_Q4_1,
    QUANT_Q5_0, QUANT_Q5_1, QUANT_Q8_0, QUANT_Q2_K,   QUANT_Q3_K,
    QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K, QUANT_IQ4_NL, QUANT_IQ4_XS,
};
const int random_weight_type_count =
    (int)(sizeof random_weight_types / sizeof random_weight_types[0]);

/* Where a block keeps its one or two halves (-1: none), and how large they should be. */
struct scales {
    int first, second;
    float size;
};

static struct scales scales_of(enum quant_type type) {
    switch (type) {
    case QUANT_Q4_0:
        return (struct scales){0, -1, 1.0F / 8};
    case QUANT_Q4_1:
        return (struct scales){0, 2, 1.0F / 16};
    case QUANT_Q5_0:
        return (struct scales){0, -1, 1.0F / 16};
    case QUANT_Q5_1:
        return (struct scales){0, 2, 1.0F / 32};
    case QUANT_Q8_0:
    case QUANT_IQ4_NL:
        return (struct scales){0, -1, 1.0F / 128};
    case QUANT_Q2_K:
        return (struct scales){80, 82, 1.0F / 45};
    case QUANT_Q3_K:
        return (struct scales){108, -1, 1.0F / 128};
    case QUANT_Q4_K:
        return (struct scales){0, 2, 1.0F / 960};
    case QUANT_Q5_K:
        return (struct scales){0, 2, 1.0F / 1920};
    case QUANT_Q6_K:
        return (struct scales){208, -1, 1.0F / 4096};
    case QUANT_IQ4_XS:
        return (struct scales){0, -1, 1.0F / 4096};
    default:
        return (struct scales){-1, -1, 1};
    }
}

static void put_half(uint8_t *at, float f) {
    uint16_t h = quant_float_to_half(f);
    memcpy(at, &h, sizeof h);
}

static void fill_block(struct random_source *r, enum quant_type type, uint8_t *b, size_t bytes) {
    float f = random_float(r);
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (type == QUANT_F32) {
        memcpy(b, &f, sizeof f);
        return;
    }
    if (type == QUANT_F16) {
        put_half(b, f);
        return;
    }
    if (type == QUANT_BF16) {
        memcpy(b, (uint8_t *)&bits + 2, 2);
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        b[i] = (uint8_t)random_bits(r);
    struct scales s = scales_of(type);
    put_half(b + s.first, s.size * random_float(r));
    if (s.second >= 0)
        put_half(b + s.second, s.size * random_float(r));
}

struct weight random_weight(struct random_source *r, enum quant_type type, int32_t n_out,
                            int32_t n_in) {
    const struct quant_traits *t = quant_traits(type);
    MUST(t != NULL && (uint32_t)n_in % t->block == 0);
    struct weight w = {.type = type, .n_in = n_in, .n_out = n_out};
    w.row_bytes = quant_row_bytes(type, (size_t)n_in);
    size_t blocks = w.row_bytes * (size_t)n_out / t->block_bytes;
    uint8_t *data = malloc(blocks * t->block_bytes);
    MUST(data != NULL);
    for (size_t i = 0; i < blocks; i++)
        fill_block(r, type, data + i * t->block_bytes, t->block_bytes);
    w.data = data;
    return w;
}
