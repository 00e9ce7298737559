/* kernels_dot.h - products of a few rows of activations with weights of every type that has a fused
 * kernel; part of kernels_body.h.
 *
 * Few rows are bound by memory: a tile of TILE_WEIGHTS weight rows is expanded in registers and
 * multiplied with up to TILE_ROWS rows of activations, which are in the first caches. */
#ifndef QUIRE_ENGINE_KERNELS_DOT_H
#define QUIRE_ENGINE_KERNELS_DOT_H

#include "worker/engine/kernels.h"
#include "worker/engine/vec16.h"

/* ---- sixteen or thirty-two weights ---- */

V_INLINE vec16 load_plain(enum quant_type type, const uint8_t *row, int32_t i) {
    switch (type) {
    case QUANT_F16:
        return v_load_half((const uint16_t *)(const void *)row + i);
    case QUANT_BF16:
        return v_load_bf16((const uint16_t *)(const void *)row + i);
    default:
        return v_load((const float *)(const void *)row + i);
    }
}

V_INLINE vec16 load_plain_n(enum quant_type type, const uint8_t *row, int32_t i, int32_t n) {
    switch (type) {
    case QUANT_F16:
        return v_load_half_n((const uint16_t *)(const void *)row + i, n);
    case QUANT_BF16:
        return v_load_bf16_n((const uint16_t *)(const void *)row + i, n);
    default:
        return v_load_n((const float *)(const void *)row + i, n);
    }
}

V_INLINE int32_t block32_bytes(enum quant_type type) {
    switch (type) {
    case QUANT_Q4_1:
        return 20;
    case QUANT_Q5_0:
        return 22;
    case QUANT_Q5_1:
        return 24;
    case QUANT_Q8_0:
        return 34;
    default:
        return 18; /* Q4_0, IQ4_NL */
    }
}

/* The 32 values of one block of a type with blocks of 32: the first half of them and the second. */
#if V_TABLES
V_INLINE void load_nibbles(enum quant_type type, const uint8_t *b, const float *iq4, vec16 v[2]) {
    vec16 d = v_set1_half(b);
    vec16i lo = v_bytes(b + block32_bytes(type) - 16), hi = v_high_nibbles(lo);
    float first = type == QUANT_Q4_0 ? -8 : type == QUANT_Q5_0 ? -16 : 0;
    vec16 table = v_mul(d, type == QUANT_IQ4_NL ? v_load(iq4) : v_steps(first));
    vec16 upper = v_mul(d, v_steps(first + 16));
    if (type == QUANT_Q4_1 || type == QUANT_Q5_1) {
        vec16 m = v_set1_half(b + 2);
        table = v_add(table, m);
        upper = v_add(upper, m);
    }
    if (type == QUANT_Q5_0 || type == QUANT_Q5_1) {
        uint32_t bits = quant_u32(b + block32_bytes(type) - 20);
        v[0] = v_pick_either(table, upper, bits & 0xffff, lo);
        v[1] = v_pick_either(table, upper, bits >> 16, hi);
    } else {
        v[0] = v_pick(table, lo);
        v[1] = v_pick(table, hi);
    }
}
#else
V_INLINE void load_nibbles(enum quant_type type, const uint8_t *b, const float *iq4, vec16 v[2]) {
    vec16 d = v_set1_half(b);
    vec16i bytes = v_bytes(b + block32_bytes(type) - 16);
    vec16i lo = v_low_nibbles(bytes), hi = v_high_nibbles(bytes);
    if (type == QUANT_Q5_0 || type == QUANT_Q5_1) {
        uint32_t bits = quant_u32(b + block32_bytes(type) - 20);
        lo = v_add_bit4(lo, bits & 0xffff);
        hi = v_add_bit4(hi, bits >> 16);
    }
    if (type == QUANT_IQ4_NL) {
        v[0] = v_mul(d, v_lookup(lo, iq4));
        v[1] = v_mul(d, v_lookup(hi, iq4));
        return;
    }
    int32_t offset = type == QUANT_Q4_0 ? 8 : type == QUANT_Q5_0 ? 16 : 0;
    v[0] = v_mul(d, v_float_minus(lo, offset));
    v[1] = v_mul(d, v_float_minus(hi, offset));
    if (type == QUANT_Q4_1 || type == QUANT_Q5_1) {
        vec16 m = v_set1_half(b + 2);
        v[0] = v_add(v[0], m);
        v[1] = v_add(v[1], m);
    }
}
#endif

V_INLINE void load_block32(enum quant_type type, const uint8_t *b, const float *iq4, vec16 v[2]) {
    if (type != QUANT_Q8_0) {
        load_nibbles(type, b, iq4, v);
        return;
    }
    vec16 d = v_set1_half(b);
    v[0] = v_mul(d, v_load_i8(b + 2));
    v[1] = v_mul(d, v_load_i8(b + 18));
}

/* ---- tiles: n_w weight rows by n_x activation rows, both known when compiled ---- */

struct sums {
    vec16 of[TILE_WEIGHTS][TILE_ROWS];
};

V_INLINE void store_sums(const struct sums *s, int n_w, int n_x, float *y, int32_t y_stride) {
#pragma GCC unroll 4
    for (int r = 0; r < n_x; r++) {
        float *to = y + (size_t)r * (size_t)y_stride;
#if TILE_WEIGHTS == 4
        if (n_w == 4) {
            v_sum4(s->of[0][r], s->of[1][r], s->of[2][r], s->of[3][r], to);
            continue;
        }
#endif
#pragma GCC unroll 4
        for (int o = 0; o < n_w; o++)
            to[o] = v_sum(s->of[o][r]);
    }
}

/* Adds the products of n_v vectors of weights of each row, at x + i. */
V_INLINE void add_products(struct sums *s, int n_w, int n_x, int n_v, vec16 w[TILE_WEIGHTS][2],
                           const float *x, int32_t n_in) {
#pragma GCC unroll 4
    for (int r = 0; r < n_x; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++) {
            vec16 a = v_load(x + (size_t)r * (size_t)n_in + v * V_LANES);
#pragma GCC unroll 4
            for (int o = 0; o < n_w; o++)
                s->of[o][r] = v_fma(w[o][v], a, s->of[o][r]);
        }
    }
}

/* Asks for the bytes at the same place of the next n_w rows. A tile reads n_w rows side by side,
 * which hardware alone does not foresee: without this, weights come from memory at a third of the
 * speed. Past the end of the weights it is a wish that fails without harm. */
V_INLINE void ask_for_next(int n_w, const uint8_t *at, size_t row_bytes) {
#pragma GCC unroll 4
    for (int o = 0; o < n_w; o++)
        __builtin_prefetch(at + (size_t)(o + n_w) * row_bytes);
}

V_INLINE void add_plain(enum quant_type type, int n_w, int n_x, const uint8_t *w, size_t row_bytes,
                        const float *x, int32_t n_in, int32_t i, struct sums *s) {
    vec16 v[TILE_WEIGHTS][2];
#pragma GCC unroll 4
    for (int o = 0; o < n_w; o++)
        v[o][0] = load_plain(type, w + (size_t)o * row_bytes, i);
    add_products(s, n_w, n_x, 1, v, x + i, n_in);
}

V_INLINE void tile_plain(enum quant_type type, int n_w, int n_x, const uint8_t *w, size_t row_bytes,
                         const float *x, int32_t n_in, struct sums *s) {
    int32_t bytes = type == QUANT_F32 ? 4 : 2;
    int32_t i = 0;
    for (; i + 2 * V_LANES <= n_in; i += 2 * V_LANES) {
        ask_for_next(n_w, w + i * bytes, row_bytes);
        add_plain(type, n_w, n_x, w, row_bytes, x, n_in, i, s);
        if (type == QUANT_F32)
            ask_for_next(n_w, w + (i + V_LANES) * bytes, row_bytes);
        add_plain(type, n_w, n_x, w, row_bytes, x, n_in, i + V_LANES, s);
    }
    if (i + V_LANES <= n_in) {
        add_plain(type, n_w, n_x, w, row_bytes, x, n_in, i, s);
        i += V_LANES;
    }
    if (i == n_in)
        return;
    for (int o = 0; o < n_w; o++) {
        vec16 last = load_plain_n(type, w + (size_t)o * row_bytes, i, n_in - i);
        for (int r = 0; r < n_x; r++) {
            vec16 a = v_load_n(x + (size_t)r * (size_t)n_in + i, n_in - i);
            s->of[o][r] = v_fma(last, a, s->of[o][r]);
        }
    }
}

V_INLINE void add_block32(enum quant_type type, const float *iq4, int n_w, int n_x,
                          const uint8_t *w, size_t row_bytes, const float *x, int32_t n_in,
                          struct sums *s) {
    vec16 v[TILE_WEIGHTS][2];
#pragma GCC unroll 4
    for (int o = 0; o < n_w; o++)
        load_block32(type, w + (size_t)o * row_bytes, iq4, v[o]);
    add_products(s, n_w, n_x, 2, v, x, n_in);
}

V_INLINE void tile_block32(enum quant_type type, int n_w, int n_x, const uint8_t *w,
                           size_t row_bytes, const float *x, int32_t n_in, struct sums *s) {
    float iq4[16];
    if (type == QUANT_IQ4_NL)
        for (int i = 0; i < 16; i++)
            iq4[i] = quant_iq4_values[i];
    int32_t bytes = block32_bytes(type);
    int32_t i = 0;
    for (; i + 64 <= n_in; i += 64, w += 2 * bytes) {
        ask_for_next(n_w, w, row_bytes);
        add_block32(type, iq4, n_w, n_x, w, row_bytes, x + i, n_in, s);
        if (2 * bytes > 64)
            ask_for_next(n_w, w + bytes, row_bytes);
        add_block32(type, iq4, n_w, n_x, w + bytes, row_bytes, x + i + 32, n_in, s);
    }
    if (i < n_in)
        add_block32(type, iq4, n_w, n_x, w, row_bytes, x + i, n_in, s);
}

V_INLINE void tile(enum quant_type type, int n_w, int n_x, const uint8_t *w, size_t row_bytes,
                   const float *x, int32_t n_in, float *y, int32_t y_stride) {
    struct sums s;
#pragma GCC unroll 4
    for (int o = 0; o < n_w; o++)
#pragma GCC unroll 4
        for (int r = 0; r < n_x; r++)
            s.of[o][r] = v_set1(0);
    if (type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16)
        tile_plain(type, n_w, n_x, w, row_bytes, x, n_in, &s);
    else
        tile_block32(type, n_w, n_x, w, row_bytes, x, n_in, &s);
    store_sums(&s, n_w, n_x, y, y_stride);
}

/* One group of n_w weight rows with every row of activations. Only so many sizes of tiles are
 * compiled as pay: three rows are what three query heads make of keys in F16. */
V_INLINE void weight_group(enum quant_type type, int n_w, const uint8_t *w, size_t row_bytes,
                           const float *x, int32_t rows, int32_t n_in, float *y, int32_t y_stride) {
    while (rows > 0) {
        int32_t n = 1;
        if (n_w == 1) {
            tile(type, 1, 1, w, row_bytes, x, n_in, y, y_stride);
        } else if (rows >= TILE_ROWS) {
            n = TILE_ROWS;
            tile(type, n_w, TILE_ROWS, w, row_bytes, x, n_in, y, y_stride);
        } else if (TILE_ROWS > 3 && rows == 3 && type == QUANT_F16) {
            n = 3;
            tile(type, n_w, TILE_ROWS > 3 ? 3 : 1, w, row_bytes, x, n_in, y, y_stride);
        } else if (TILE_ROWS > 2 && rows >= 2) {
            n = 2;
            tile(type, n_w, 2, w, row_bytes, x, n_in, y, y_stride);
        } else {
            tile(type, n_w, 1, w, row_bytes, x, n_in, y, y_stride);
        }
        rows -= n;
        x += (size_t)n * (size_t)n_in;
        y += (size_t)n * (size_t)y_stride;
    }
}

V_INLINE void dot_rows(enum quant_type type, const uint8_t *w, size_t row_bytes, int32_t n_out,
                       const float *x, int32_t rows, int32_t n_in, float *y, int32_t y_stride) {
    int32_t o = 0;
    for (; o + TILE_WEIGHTS <= n_out; o += TILE_WEIGHTS)
        weight_group(type, TILE_WEIGHTS, w + (size_t)o * row_bytes, row_bytes, x, rows, n_in, y + o,
                     y_stride);
    for (; o < n_out; o++)
        weight_group(type, 1, w + (size_t)o * row_bytes, row_bytes, x, rows, n_in, y + o, y_stride);
}

#define DOT_KERNEL(type)                                                                           \
    static void dot_##type(const uint8_t *w, size_t row_bytes, int32_t n_out, const float *x,      \
                           int32_t rows, int32_t n_in, float *y, int32_t y_stride) {               \
        dot_rows(QUANT_##type, w, row_bytes, n_out, x, rows, n_in, y, y_stride);                   \
    }
DOT_KERNEL(F32)
DOT_KERNEL(F16)
DOT_KERNEL(BF16)
DOT_KERNEL(Q4_0)
DOT_KERNEL(Q4_1)
DOT_KERNEL(Q5_0)
DOT_KERNEL(Q5_1)
DOT_KERNEL(Q8_0)
DOT_KERNEL(IQ4_NL)

#endif
