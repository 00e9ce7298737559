/* tile_int_inside.h - how quantised weights lie in a tile; for tile_int*.c only.
 *
 * A tile is a sequence of blocks of 32 inputs. Types with super-blocks of 256 inputs have, before
 * every eighth block, a head with what the super-block shares. o counts the tile's 32 outputs, g
 * groups of 4 inputs (0..7), j inputs of a group (0..3):
 *
 *     head    half d[o], then, with minima, half dmin[o]       (types with super-blocks only)
 *     block   scales: half d[o], or half d[o] and half m[o], or bytes, as enum tile_int_scales says
 *             8 bits:  u8 [g][o][j]
 *             4 to 6:  u8 [g of 0..3][o][j]: low four bits of g, and of g + 4 above them
 *             5:       then u8 [o][j]: bit g is bit 4 of group g
 *             6:       then u8 [2][o][j]: bits 4 and 5 of group g at bit g / 2 * 2 of byte g % 2
 *
 * The stored numbers are 0 .. 2^bits - 1. What they mean is number - offset, or, of types with a
 * table, table[number] - offset, where the table holds 0..255.
 *
 * The products of a block, x being the quantised activations, sx their scale:
 *
 *     SCALES_HALF      sum = fma(d * sx, (float)dot, sum)
 *     SCALES_HALF_MIN  the same, then sum = fma(m, sx * (float)total, sum)
 *     SCALES_K32_MIN   sum = fma(d * scale * sx, (float)dot, sum)
 *                      sum = fma(-(dmin * minimum), sx * (float)total, sum)
 *     SCALES_K16       sum = fma(d * scale[0] * sx, (float)dot[0], sum), then of [1]: the first and
 *                      the second 16 inputs
 *     SCALES_K16_MIN   the same, then minima as of K32_MIN: of [0], then of [1]
 *
 * with dot = sum of (number - offset) * x and total = sum of x, exact in 32 bits (and in a float).
 * Products of three are taken from the left. */
#ifndef QUIRE_ENGINE_TILE_INT_INSIDE_H
#define QUIRE_ENGINE_TILE_INT_INSIDE_H

#include "worker/engine/tile_int.h"

#define TILE_INT_BLOCK 32  /* inputs */
#define TILE_INT_SUPER 8   /* blocks in a super-block */
#define TILE_INT_GROUPS 8  /* of 4 inputs in a block */
#define TILE_INT_PLANE 128 /* bytes: 4 inputs of every output */
#define TILE_INT_ROWS 64   /* whose sums are on the stack at a time */

enum tile_int_scales {
    SCALES_HALF,     /* half d[o] */
    SCALES_HALF_MIN, /* half d[o], half m[o] */
    SCALES_K32_MIN,  /* u8 scale[o], u8 minimum[o]; in the head d and dmin */
    SCALES_K16,      /* i8 scale[2][o]; in the head d */
    SCALES_K16_MIN,  /* i8 scale[2][o], u8 minimum[2][o]; in the head d and dmin */
};

struct tile_int_plan {
    int bits, offset;
    bool table;
    enum tile_int_scales scales;
};

/* Folded into constants where the type is one. */
static inline struct tile_int_plan tile_int_plan(enum quant_type type) {
    switch (type) {
    case QUANT_Q4_0:
        return (struct tile_int_plan){4, 8, false, SCALES_HALF};
    case QUANT_Q4_1:
        return (struct tile_int_plan){4, 0, false, SCALES_HALF_MIN};
    case QUANT_Q5_0:
        return (struct tile_int_plan){5, 16, false, SCALES_HALF};
    case QUANT_Q5_1:
        return (struct tile_int_plan){5, 0, false, SCALES_HALF_MIN};
    case QUANT_Q8_0:
        return (struct tile_int_plan){8, 128, false, SCALES_HALF};
    case QUANT_IQ4_NL:
        return (struct tile_int_plan){4, 128, true, SCALES_HALF};
    case QUANT_Q2_K:
        return (struct tile_int_plan){4, 0, false, SCALES_K16_MIN};
    case QUANT_Q3_K:
        return (struct tile_int_plan){4, 4, false, SCALES_K16};
    case QUANT_Q4_K:
        return (struct tile_int_plan){4, 0, false, SCALES_K32_MIN};
    case QUANT_Q5_K:
        return (struct tile_int_plan){5, 0, false, SCALES_K32_MIN};
    case QUANT_Q6_K:
        return (struct tile_int_plan){6, 32, false, SCALES_K16};
    case QUANT_IQ4_XS:
        return (struct tile_int_plan){4, 128, true, SCALES_K16};
    case QUANT_F32:
    case QUANT_F16:
    case QUANT_BF16:
        break;
    }
    return (struct tile_int_plan){0, 0, false, SCALES_HALF};
}

/* The table of IQ4_NL and IQ4_XS, 128 above its values. */
#define TILE_INT_TABLE 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241

static inline bool tile_int_has_minimum(struct tile_int_plan p) {
    return p.scales == SCALES_HALF_MIN || p.scales == SCALES_K32_MIN || p.scales == SCALES_K16_MIN;
}

static inline bool tile_int_has_head(struct tile_int_plan p) {
    return p.scales >= SCALES_K32_MIN;
}

/* Sizes in bytes. */
static inline size_t tile_int_head_bytes(struct tile_int_plan p) {
    if (!tile_int_has_head(p))
        return 0;
    return tile_int_has_minimum(p) ? 4 * TILE_OUTPUTS : 2 * TILE_OUTPUTS;
}

static inline size_t tile_int_scale_bytes(struct tile_int_plan p) {
    return p.scales == SCALES_HALF_MIN || p.scales == SCALES_K16_MIN ? 4 * TILE_OUTPUTS
                                                                     : 2 * TILE_OUTPUTS;
}

static inline size_t tile_int_block_bytes(struct tile_int_plan p) {
    return tile_int_scale_bytes(p) + (size_t)p.bits * TILE_INT_PLANE;
}

/* The best kernels of each set for one type; NULL where this build has no such set. */
tile_kernel *tile_int_portable(enum quant_type type);
tile_kernel *tile_int_avx2(enum quant_type type);
tile_kernel *tile_int_avxvnni(enum quant_type type);
tile_kernel *tile_int_avx512(enum quant_type type);
tile_kernel *tile_int_avx512vnni(enum quant_type type);

#endif
