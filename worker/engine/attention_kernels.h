/* attention_kernels.h - the arithmetic of attention over one block of positions.
 *
 * A block is ATTEND_BLOCK positions that begin at a multiple of ATTEND_BLOCK. What a query gets
 * from a block of which it sees n positions is defined to the bit, in every instruction set:
 *
 *     score[t]  = fma(key[t][d], q[d], ..) over d in order, from 0
 *     top       = the highest of score[0..n-1], times log2 e
 *     weight[t] = 2^(fma(score[t], log2 e, -top)), as v_exp2_below computes it
 *     total     = sums of weight[t] with equal t mod 16, each in order, added up in v_sum's tree
 *     sum[d]    = fma(weight[t], value[t][d], ..) over t = 0..n-1 in order, from 0
 *
 * and blocks are folded, in order, into the first:
 *
 *     both = max(top, top'), f = 2^(top - both), f' = 2^(top' - both)
 *     top = both, total = fma(total', f', total * f), sum[d] = fma(sum'[d], f', sum[d] * f)
 *
 * At the end out[d] = sum[d] * (1 / total). Positions that a query does not see are in none of it.
 */
#ifndef QUIRE_ENGINE_ATTENTION_KERNELS_H
#define QUIRE_ENGINE_ATTENTION_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "worker/engine/kv.h"
#include "worker/engine/quant_inside.h"

#define ATTEND_BLOCK 256 /* positions; a multiple of KV_POSITIONS */
#define ATTEND_BLOCK_PAGES (ATTEND_BLOCK / KV_POSITIONS)
#define ATTEND_PANEL 32 /* positions, or dimensions, side by side in expanded keys and values */

/* What queries have of the positions so far. */
struct attend_part {
    float *top, *total; /* [queries] */
    float *sums;        /* [queries][width]; dimensions past head_dim are unused */
};

/* Some queries of one position with one block, straight from its pages. */
struct attend_few {
    const struct kv_layout *layout;
    const uint8_t *const *pages; /* the head's part of each page of the block */
    const uint8_t *const *ahead; /* pages that will be read next, as many */
    int32_t seen;                /* positions, 1..ATTEND_BLOCK */
    const float *q;              /* [queries][head_dim] */
    int32_t queries;
    float *scores;           /* [queries][ATTEND_BLOCK]: scratch */
    struct attend_part part; /* written */
};

struct attend_kernels {
    void (*few)(const struct attend_few *j);
    /* 16 positions of a page as keys[..][head_dim][ATTEND_PANEL] from position `at` of a block */
    void (*expand_keys)(const struct kv_layout *l, const uint8_t *page, int32_t at, float *keys);
    /* the first n positions as values[..][ATTEND_BLOCK][ATTEND_PANEL]; panels are of dimensions */
    void (*expand_values)(const struct kv_layout *l, const uint8_t *page, int32_t at, int32_t n,
                          float *values);
    /* scores[rows][ATTEND_BLOCK] of q[rows][head_dim] with the first n positions; more may be
     * written, up to the next multiple of 16 */
    void (*score)(const struct kv_layout *l, const float *q, int32_t rows, const float *keys,
                  int32_t n, float *scores);
    /* scores[rows][ATTEND_BLOCK], n of each, become weights; top and total [rows] as above */
    void (*soften)(float *scores, int32_t rows, int32_t n, float *top, float *total);
    /* sums[rows][width] from positions begin .. end - 1; those with begin > 0 go on from there */
    void (*weigh)(const struct kv_layout *l, const float *weights, int32_t rows,
                  const float *values, int32_t begin, int32_t end, float *sums);
    void (*fold)(const struct kv_layout *l, const struct attend_part *into,
                 const struct attend_part *from, int32_t queries);
    /* out: [queries][head_dim] */
    void (*finish)(const struct kv_layout *l, const struct attend_part *part, int32_t queries,
                   float *out);
    /* Puts the key and value of one position (0..15) of one head, rounded, into its page. */
    void (*place)(const struct kv_layout *l, const float *key, const float *value, int32_t position,
                  uint8_t *page);
};

/* Falls back to lesser sets; all give the same bits. */
const struct attend_kernels *attend_kernels_of(enum quant_isa isa);

extern const struct attend_kernels attend_portable, attend_avx2, attend_avx512;

#endif
