/* gemm_block.h - the block of outputs that registers hold, for tile_float_body.h only.
 *
 * A block is n_r rows of activations by n_v vectors of outputs, both known when compiled. Weights
 * of one k are loaded once for all its rows and every activation is spread over a vector once for
 * both vectors of weights, so that loads stay behind multiply-adds.
 *
 * What hardware does not foresee is asked for in time: the activations of the next block, which lie
 * in many places, the outputs, and weights farther along. A wish past the end of an array fails
 * without harm. */
#ifndef QUIRE_ENGINE_GEMM_BLOCK_H
#define QUIRE_ENGINE_GEMM_BLOCK_H

#include "worker/engine/gemm.h"
#include "worker/engine/vec16.h"

#define BLOCK_VECTORS 2
#define BLOCK_MOST_ROWS 14
#define BLOCK_STEP 4    /* k of a turn of the loop */
#define BLOCK_TRIPLES 5 /* pointers to rows: every third */
#define LINE_FLOATS 16

struct block {
    const float *x;
    size_t x_stride;
    const uint8_t *b;
    size_t b_stride; /* values */
    float *y;
    size_t y_stride;
    int32_t n_k, n_o;     /* n_o: outputs that exist, 1 to n_v vectors */
    bool accumulate;      /* sums begin with y */
    bool add;             /* y += sum */
    const float *next_x;  /* of the block after this one */
    const uint8_t *ahead; /* weights to ask for, and how far to go with every k */
    size_t ahead_step;
};

V_INLINE size_t value_bytes(enum quant_type type) {
    return type == QUANT_F32 ? 4 : 2;
}

V_INLINE vec16 load_weights(enum quant_type type, const uint8_t *b) {
    if (type == QUANT_F16)
        return v_load_half((const uint16_t *)(const void *)b);
    if (type == QUANT_BF16)
        return v_load_bf16((const uint16_t *)(const void *)b);
    return v_load((const float *)(const void *)b);
}

struct block_sums {
    vec16 of[BLOCK_MOST_ROWS][BLOCK_VECTORS];
};

V_INLINE float *part_of(const struct block *c, int r, int v) {
    return c->y + (size_t)r * c->y_stride + v * V_LANES;
}

V_INLINE void begin_block(int n_r, int n_v, const struct block *c, struct block_sums *s) {
    int32_t last = c->n_o - (n_v - 1) * V_LANES;
#pragma GCC unroll 14
    for (int r = 0; r < n_r; r++)
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++)
            s->of[r][v] = v_set1(0);
    if (!c->accumulate)
        return;
#pragma GCC unroll 14
    for (int r = 0; r < n_r; r++)
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++)
            s->of[r][v] = v_load_n(part_of(c, r, v), v + 1 < n_v ? V_LANES : last);
}

V_INLINE void end_block(int n_r, int n_v, const struct block *c, struct block_sums *s) {
    int32_t last = c->n_o - (n_v - 1) * V_LANES;
    if (c->add)
#pragma GCC unroll 14
        for (int r = 0; r < n_r; r++)
#pragma GCC unroll 2
            for (int v = 0; v < n_v; v++) {
                vec16 y = v_load_n(part_of(c, r, v), v + 1 < n_v ? V_LANES : last);
                s->of[r][v] = v_add(y, s->of[r][v]);
            }
#pragma GCC unroll 14
    for (int r = 0; r < n_r; r++)
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++)
            v_store_n(part_of(c, r, v), s->of[r][v], v + 1 < n_v ? V_LANES : last);
}

/* The rows of a block as few pointers: row 3i + j is j strides after the i-th, which is an address
 * that an instruction can hold. The empty assembler keeps compilers from making one of each row. */
struct block_rows {
    const float *third[BLOCK_TRIPLES];
    size_t stride;
};

V_INLINE void keep_pointers(int n_r, struct block_rows *x) {
#pragma GCC unroll 5
    for (int i = 0; 3 * i < n_r; i++)
        __asm__("" : "+r"(x->third[i]));
}

V_INLINE void one_k(enum quant_type type, int n_r, int n_v, const struct block_rows *x, int j,
                    const uint8_t *b, struct block_sums *s) {
    vec16 w[BLOCK_VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < n_v; v++)
        w[v] = load_weights(type, b + (size_t)v * V_LANES * value_bytes(type));
#pragma GCC unroll 14
    for (int r = 0; r < n_r; r++) {
        vec16 a = v_set1(x->third[r / 3][(size_t)(r % 3) * x->stride + (size_t)j]);
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++)
            s->of[r][v] = v_fma(w[v], a, s->of[r][v]);
    }
}

/* Lines of the next block's rows that a turn asks for: all rows in the time that it takes to use up
 * a line. Few rows are not worth it, since weights keep memory busy then. */
V_INLINE int lines_of_turn(int n_r) {
    int turns = LINE_FLOATS / BLOCK_STEP;
    return n_r > 4 ? (n_r + turns - 1) / turns : 0;
}

V_INLINE void run_block(enum quant_type type, int n_r, int n_v, const struct block *c) {
    struct block_sums s;
    begin_block(n_r, n_v, c, &s);
    struct block_rows x = {.stride = c->x_stride};
#pragma GCC unroll 5
    for (int i = 0; 3 * i < n_r; i++)
        x.third[i] = c->x + (size_t)(3 * i) * c->x_stride;
    const uint8_t *b = c->b, *ahead = c->ahead;
    const size_t step = c->b_stride * value_bytes(type), ahead_step = c->ahead_step;
    const int asked = lines_of_turn(n_r);
    const float *y = c->y;
    size_t y_step = c->y_stride;
    int32_t k = 0;
    for (; k + BLOCK_STEP <= c->n_k; k += BLOCK_STEP) {
        keep_pointers(n_r, &x);
        const float *next = c->next_x + (size_t)(k % LINE_FLOATS / BLOCK_STEP * asked) * x.stride +
                            (k - k % LINE_FLOATS);
        __builtin_prefetch(y, 1, 3);
        __builtin_prefetch(y + LINE_FLOATS, 1, 3);
        y += y_step;
        y_step = k == BLOCK_STEP * (n_r - 1) ? 0 : y_step;
#pragma GCC unroll 4
        for (int j = 0; j < BLOCK_STEP; j++) {
            if (j < asked)
                __builtin_prefetch(next + (size_t)j * x.stride, 0, 2);
            __builtin_prefetch(ahead, 0, 2);
            ahead += ahead_step;
            one_k(type, n_r, n_v, &x, j, b, &s);
            b += step;
        }
#pragma GCC unroll 5
        for (int i = 0; 3 * i < n_r; i++)
            x.third[i] += BLOCK_STEP;
    }
    for (; k < c->n_k; k++) {
        one_k(type, n_r, n_v, &x, 0, b, &s);
        b += step;
#pragma GCC unroll 5
        for (int i = 0; 3 * i < n_r; i++)
            x.third[i]++;
    }
    end_block(n_r, n_v, c, &s);
}

#endif
