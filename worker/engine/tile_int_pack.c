/* tile_int_pack.c - quantised weights as tiles; tile_int_inside.h has the layout.
 *
 * Packing moves bits and changes no number: whatever the file says, any bytes at all, comes out as
 * the same quantised value and the same scales. */
#include <string.h>

#include "common/must.h"
#include "worker/engine/tile_int_inside.h"

/* 32 inputs of one output. */
struct block {
    uint8_t q[TILE_INT_BLOCK];
    uint16_t d, m;                /* halves; of K types the super-block's */
    uint8_t scale[2], minimum[2]; /* K types: as in the tile */
};

static void nibbles(const uint8_t *src, uint8_t *q) {
    for (int j = 0; j < 16; j++) {
        q[j] = src[j] & 15;
        q[j + 16] = src[j] >> 4;
    }
}

static void fifth_bits(uint32_t high, uint8_t *q) {
    for (int j = 0; j < 32; j++)
        q[j] |= (uint8_t)((high >> j & 1) << 4);
}

static void read_small(enum quant_type type, const uint8_t *src, struct block *out) {
    out->d = quant_u16(src);
    src += 2;
    if (type == QUANT_Q4_1 || type == QUANT_Q5_1) {
        out->m = quant_u16(src);
        src += 2;
    }
    if (type == QUANT_Q8_0) {
        for (int j = 0; j < 32; j++)
            out->q[j] = src[j] ^ 0x80;
    } else if (type == QUANT_Q5_0 || type == QUANT_Q5_1) {
        nibbles(src + 4, out->q);
        fifth_bits(quant_u32(src), out->q);
    } else {
        nibbles(src, out->q);
    }
}

/* Sub-block j (0..7) of a super-block. */
static void read_q2_k(const uint8_t *src, int j, struct block *out) {
    const uint8_t *qs = src + 16 + 32 * (j / 4);
    for (int l = 0; l < 32; l++)
        out->q[l] = qs[l] >> (2 * (j % 4)) & 3;
    for (int h = 0; h < 2; h++) {
        out->scale[h] = src[2 * j + h] & 15;
        out->minimum[h] = src[2 * j + h] >> 4;
    }
    out->d = quant_u16(src + 80);
    out->m = quant_u16(src + 82);
}

static void read_q3_k(const uint8_t *src, int j, struct block *out) {
    const uint8_t *mask = src, *qs = src + 32 + 32 * (j / 4), *s = src + 96;
    for (int l = 0; l < 32; l++)
        out->q[l] = (uint8_t)((qs[l] >> (2 * (j % 4)) & 3) | (mask[l] >> j & 1) << 2);
    for (int h = 0; h < 2; h++) {
        int g = 2 * j + h, low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
        out->scale[h] = (uint8_t)((low | (s[8 + g % 4] >> (2 * (g / 4)) & 3) << 4) - 32);
    }
    out->d = quant_u16(src + 108);
}

static void read_q45_k(const uint8_t *src, int j, bool five, struct block *out) {
    const uint8_t *high = src + 16, *qs = src + (five ? 48 : 16) + 32 * (j / 2);
    for (int l = 0; l < 32; l++)
        out->q[l] = qs[l] >> (4 * (j % 2)) & 15;
    for (int l = 0; five && l < 32; l++)
        out->q[l] |= (uint8_t)((high[l] >> j & 1) << 4);
    quant_k_scale(src + 4, j, &out->scale[0], &out->minimum[0]);
    out->d = quant_u16(src);
    out->m = quant_u16(src + 2);
}

static void read_q6_k(const uint8_t *src, int j, struct block *out) {
    int k = j % 4;
    const uint8_t *low = src + 64 * (j / 4) + 32 * (k % 2), *high = src + 128 + 32 * (j / 4);
    for (int l = 0; l < 32; l++)
        out->q[l] = (uint8_t)((low[l] >> (4 * (k / 2)) & 15) | (high[l] >> (2 * k) & 3) << 4);
    for (int h = 0; h < 2; h++)
        out->scale[h] = src[192 + 2 * j + h];
    out->d = quant_u16(src + 208);
}

static void read_iq4_xs(const uint8_t *src, int j, struct block *out) {
    nibbles(src + 8 + 16 * j, out->q);
    int low = src[4 + j / 2] >> (4 * (j % 2)) & 15;
    int scale = low | (quant_u16(src + 2) >> (2 * j) & 3) << 4;
    out->scale[0] = out->scale[1] = (uint8_t)(scale - 32);
    out->d = quant_u16(src);
}

/* Block b (of 32 inputs) of a weight row. */
static void read_block(enum quant_type type, const uint8_t *row, int32_t b, struct block *out) {
    const struct quant_traits *t = quant_traits(type);
    int32_t per = (int32_t)t->block / TILE_INT_BLOCK;
    const uint8_t *src = row + (size_t)(b / per) * t->block_bytes;
    int j = b % per;
    switch (type) {
    case QUANT_Q2_K:
        read_q2_k(src, j, out);
        break;
    case QUANT_Q3_K:
        read_q3_k(src, j, out);
        break;
    case QUANT_Q4_K:
        read_q45_k(src, j, false, out);
        break;
    case QUANT_Q5_K:
        read_q45_k(src, j, true, out);
        break;
    case QUANT_Q6_K:
        read_q6_k(src, j, out);
        break;
    case QUANT_IQ4_XS:
        read_iq4_xs(src, j, out);
        break;
    default:
        read_small(type, src, out);
        break;
    }
}

static void put_half(uint8_t *at, int o, uint16_t h) {
    memcpy(at + 2 * o, &h, sizeof h);
}

static uint32_t word(const uint8_t *q, int g) {
    uint32_t x;
    memcpy(&x, q + 4 * g, sizeof x);
    return x;
}

static void put_word(uint8_t *planes, int plane, int o, uint32_t x) {
    memcpy(planes + plane * TILE_INT_PLANE + 4 * o, &x, sizeof x);
}

static void put_numbers(const uint8_t *q, int bits, int o, uint8_t *at) {
    if (bits == 8) {
        for (int g = 0; g < TILE_INT_GROUPS; g++)
            put_word(at, g, o, word(q, g));
        return;
    }
    for (int g = 0; g < 4; g++)
        put_word(at, g, o, (word(q, g) & 0x0f0f0f0f) | (word(q, g + 4) & 0x0f0f0f0f) << 4);
    uint32_t fifth = 0, upper[2] = {0, 0};
    for (int g = 0; g < TILE_INT_GROUPS; g++) {
        fifth |= (word(q, g) >> 4 & 0x01010101) << g;
        upper[g % 2] |= (word(q, g) >> 4 & 0x03030303) << (g / 2 * 2);
    }
    if (bits == 5)
        put_word(at, 4, o, fifth);
    for (int i = 0; bits == 6 && i < 2; i++)
        put_word(at, 4 + i, o, upper[i]);
}

static void put_scales(const struct block *x, enum tile_int_scales scales, int o, uint8_t *at) {
    switch (scales) {
    case SCALES_HALF:
        put_half(at, o, x->d);
        break;
    case SCALES_HALF_MIN:
        put_half(at, o, x->d);
        put_half(at + 2 * TILE_OUTPUTS, o, x->m);
        break;
    case SCALES_K32_MIN:
        at[o] = x->scale[0];
        at[TILE_OUTPUTS + o] = x->minimum[0];
        break;
    case SCALES_K16:
    case SCALES_K16_MIN:
        for (int h = 0; h < 2; h++)
            at[h * TILE_OUTPUTS + o] = x->scale[h];
        for (int h = 0; scales == SCALES_K16_MIN && h < 2; h++)
            at[(2 + h) * TILE_OUTPUTS + o] = x->minimum[h];
        break;
    }
}

static size_t tile_bytes(enum quant_type type, int32_t n_in) {
    struct tile_int_plan p = tile_int_plan(type);
    size_t blocks = (size_t)n_in / TILE_INT_BLOCK;
    return blocks * tile_int_block_bytes(p) + blocks / TILE_INT_SUPER * tile_int_head_bytes(p);
}

static void pack(const struct weight *w, int32_t first, uint8_t *tile) {
    struct tile_int_plan p = tile_int_plan(w->type);
    MUST(w->n_in % (int32_t)quant_traits(w->type)->block == 0);
    memset(tile, 0, tile_bytes(w->type, w->n_in));
    int32_t outputs = w->n_out - first < TILE_OUTPUTS ? w->n_out - first : TILE_OUTPUTS;
    for (int32_t b = 0; b < w->n_in / TILE_INT_BLOCK; b++) {
        bool head = tile_int_has_head(p) && b % TILE_INT_SUPER == 0;
        for (int o = 0; o < outputs; o++) {
            const uint8_t *row = (const uint8_t *)w->data + (size_t)(first + o) * w->row_bytes;
            struct block x;
            read_block(w->type, row, b, &x);
            uint8_t *at = tile;
            if (head) {
                put_half(at, o, x.d);
                if (tile_int_has_minimum(p))
                    put_half(at + 2 * TILE_OUTPUTS, o, x.m);
                at += tile_int_head_bytes(p);
            }
            put_scales(&x, p.scales, o, at);
            put_numbers(x.q, p.bits, o, at + tile_int_scale_bytes(p));
        }
        tile += tile_int_block_bytes(p) + (head ? tile_int_head_bytes(p) : 0);
    }
}

#define FORMATS(FORMAT)                                                                            \
    FORMAT(Q4_0)                                                                                   \
    FORMAT(Q4_1)                                                                                   \
    FORMAT(Q5_0)                                                                                   \
    FORMAT(Q5_1)                                                                                   \
    FORMAT(Q8_0)                                                                                   \
    FORMAT(Q2_K) FORMAT(Q3_K) FORMAT(Q4_K) FORMAT(Q5_K) FORMAT(Q6_K) FORMAT(IQ4_NL) FORMAT(IQ4_XS)

#define BYTES(type)                                                                                \
    static size_t bytes_##type(int32_t n_in) {                                                     \
        return tile_bytes(QUANT_##type, n_in);                                                     \
    }
FORMATS(BYTES)

const struct tile_format *tile_int_format(enum quant_type type) {
#define ENTRY(type) [QUANT_##type] = {#type "x32", true, bytes_##type, pack},
    static const struct tile_format table[] = {FORMATS(ENTRY)};
    if ((size_t)type >= sizeof table / sizeof table[0] || table[type].bytes == NULL)
        return NULL;
    return &table[type];
}
