/* kernels_body.h - the kernels, written once on vec16; each kernels_*.c includes it for its
 * instruction set, after defining KERNELS, TILE_WEIGHTS, TILE_ROWS and FEW_ROWS.
 *
 * Few rows are bound by memory: a tile of TILE_WEIGHTS weight rows is expanded in registers and
 * multiplied with up to TILE_ROWS rows of activations, which are in the first caches. */
#include "worker/engine/kernels.h"

#include <math.h>

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
        __builtin_prefetch(at + (size_t)(o + 1 * n_w) * row_bytes);
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

/* ---- attention ---- */

/* A part of width n <= 16 of each value, for n_x rows of weights. */
V_INLINE void weigh_part(int n_x, const float *p, int32_t p_stride, const uint16_t *values,
                         int32_t count, int32_t width, float *out, int32_t n) {
    vec16 sum[TILE_ROWS];
#pragma GCC unroll 4
    for (int r = 0; r < n_x; r++)
        sum[r] = v_load_n(out + (size_t)r * (size_t)width, n);
    for (int32_t t = 0; t < count; t++) {
        const uint16_t *from = values + (size_t)t * (size_t)width;
        vec16 v = n == V_LANES ? v_load_half(from) : v_load_half_n(from, n);
#pragma GCC unroll 4
        for (int r = 0; r < n_x; r++)
            sum[r] = v_fma(v_set1(p[(size_t)r * (size_t)p_stride + (size_t)t]), v, sum[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < n_x; r++)
        v_store_n(out + (size_t)r * (size_t)width, sum[r], n);
}

V_INLINE void weigh_rows(int n_x, const float *p, int32_t p_stride, const uint16_t *values,
                         int32_t count, int32_t width, float *out) {
    int32_t d = 0;
    for (; d + V_LANES <= width; d += V_LANES)
        weigh_part(n_x, p, p_stride, values + d, count, width, out + d, V_LANES);
    if (d < width)
        weigh_part(n_x, p, p_stride, values + d, count, width, out + d, width - d);
}

static void weigh_values(const float *p, int32_t p_stride, int32_t rows, const uint16_t *values,
                         int32_t count, int32_t width, float *out) {
    for (; rows >= TILE_ROWS; rows -= TILE_ROWS) {
        weigh_rows(TILE_ROWS, p, p_stride, values, count, width, out);
        p += (size_t)TILE_ROWS * (size_t)p_stride;
        out += (size_t)TILE_ROWS * (size_t)width;
    }
#if TILE_ROWS > 3
    if (rows == 3)
        weigh_rows(3, p, p_stride, values, count, width, out);
    if (rows == 2)
        weigh_rows(2, p, p_stride, values, count, width, out);
#endif
    if (rows == 1)
        weigh_rows(1, p, p_stride, values, count, width, out);
}

static float exponentials(float *s, int32_t n, float highest) {
    vec16 sum = v_set1(0), top = v_set1(highest);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        vec16 e = v_exp(v_sub(v_load(s + i), top));
        v_store(s + i, e);
        sum = v_add(sum, e);
    }
    if (i < n) {
        vec16 e = v_exp(v_sub(v_load_n(s + i, n - i), top));
        v_store_n(s + i, e, n - i);
        sum = v_add(sum, v_load_n(s + i, n - i)); /* zeros past the end */
    }
    return v_sum(sum);
}

static float highest(const float *s, int32_t n) {
    vec16 top = v_set1(s[0]);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        top = v_max(top, v_load(s + i));
    float found = v_highest(top);
    for (; i < n; i++)
        found = s[i] > found ? s[i] : found;
    return found;
}

static void scale(float *s, int32_t n, float factor) {
    vec16 f = v_set1(factor);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(s + i, v_mul(v_load(s + i), f));
    for (; i < n; i++)
        s[i] *= factor;
}

#include "worker/engine/kernels_full.h"

/* ---- element by element ---- */

V_INLINE vec16 silu_times_16(vec16 gate, vec16 up) {
    vec16 below = v_add(v_set1(1), v_exp(v_sub(v_set1(0), gate)));
    return v_mul(v_div(gate, below), up);
}

static void silu_times(float *gate, const float *up, int32_t n) {
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(gate + i, silu_times_16(v_load(gate + i), v_load(up + i)));
    if (i < n)
        v_store_n(gate + i, silu_times_16(v_load_n(gate + i, n - i), v_load_n(up + i, n - i)),
                  n - i);
}

static void rms_norm(const float *x, const float *weight, int32_t n, float eps, float *out) {
    vec16 squares = v_set1(0);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        vec16 a = v_load(x + i);
        squares = v_fma(a, a, squares);
    }
    if (i < n) {
        vec16 a = v_load_n(x + i, n - i);
        squares = v_fma(a, a, squares);
    }
    float factor = 1.0F / sqrtf(v_sum(squares) / (float)n + eps);
    vec16 f = v_set1(factor);
    for (i = 0; i + V_LANES <= n; i += V_LANES)
        v_store(out + i, v_mul(v_mul(v_load(x + i), f), v_load(weight + i)));
    for (; i < n; i++)
        out[i] = x[i] * factor * weight[i];
}

V_INLINE vec16 centred(const float *x, int32_t i, int32_t n, vec16 mean) { /* 0 past the end */
    if (n - i >= V_LANES)
        return v_sub(v_load(x + i), mean);
    float part[V_LANES] = {0};
    v_store_n(part, v_sub(v_load_n(x + i, n - i), mean), n - i);
    return v_load(part);
}

static void layer_norm(const float *x, const float *weight, const float *bias, int32_t n, float eps,
                       float *out) {
    vec16 sum = v_set1(0), squares = v_set1(0);
    for (int32_t i = 0; i < n; i += V_LANES)
        sum = v_add(sum, n - i >= V_LANES ? v_load(x + i) : v_load_n(x + i, n - i));
    vec16 mean = v_set1(v_sum(sum) / (float)n);
    for (int32_t i = 0; i < n; i += V_LANES) {
        vec16 a = centred(x, i, n, mean);
        squares = v_fma(a, a, squares);
    }
    vec16 factor = v_set1(1.0F / sqrtf(v_sum(squares) / (float)n + eps));
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        vec16 a = v_mul(v_sub(v_load(x + i), mean), factor);
        v_store(out + i, v_fma(a, v_load(weight + i), v_load(bias + i)));
    }
    if (i < n) {
        vec16 a = v_mul(centred(x, i, n, mean), factor);
        a = v_fma(a, v_load_n(weight + i, n - i), v_load_n(bias + i, n - i));
        v_store_n(out + i, a, n - i);
    }
}

/* (1 + tanh u) / 2 = 1 / (1 + e^-2u): no difference of near numbers, so small results stay exact */
V_INLINE vec16 gelu_16(vec16 x) {
    vec16 cubic = v_fma(v_mul(x, x), v_set1(0.044715F), v_set1(1));
    vec16 u = v_mul(v_mul(x, cubic), v_set1(-2 * 0.7978845608F));
    return v_div(x, v_add(v_set1(1), v_exp(u)));
}

static void gelu(float *x, int32_t n) {
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(x + i, gelu_16(v_load(x + i)));
    if (i < n)
        v_store_n(x + i, gelu_16(v_load_n(x + i, n - i)), n - i);
}

static void rotate(float *x, int32_t n_head, int32_t head_dim, const float *cosines,
                   const float *sines, float factor) {
    for (int32_t h = 0; h < n_head; h++, x += head_dim)
        for (int32_t i = 0; i < head_dim / 2; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = (a * cosines[i] - b * sines[i]) * factor;
            x[2 * i + 1] = (a * sines[i] + b * cosines[i]) * factor;
        }
}

static void to_halves(const float *x, int32_t n, uint16_t *out) {
    for (int32_t i = 0; i < n; i += V_LANES) {
        int32_t count = n - i < V_LANES ? n - i : V_LANES;
        v_store_half_n(out + i, v_load_n(x + i, count), count);
    }
}

static void from_halves(const uint16_t *x, int32_t n, float *out) {
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(out + i, v_load_half(x + i));
    if (i < n)
        v_store_n(out + i, v_load_half_n(x + i, n - i), n - i);
}

_Static_assert(FEW_ROWS <= KERNEL_FEW_ROWS_MAX, "buffers are made for no more rows");

const struct kernels KERNELS = {
    .few_rows = FEW_ROWS,
    .dot = {[QUANT_F32] = dot_F32,
            [QUANT_F16] = dot_F16,
            [QUANT_BF16] = dot_BF16,
            [QUANT_Q4_0] = dot_Q4_0,
            [QUANT_Q4_1] = dot_Q4_1,
            [QUANT_Q5_0] = dot_Q5_0,
            [QUANT_Q5_1] = dot_Q5_1,
            [QUANT_Q8_0] = dot_Q8_0,
            [QUANT_IQ4_NL] = dot_IQ4_NL},
    .weigh_values = weigh_values,
    .exponentials = exponentials,
    .highest = highest,
    .scale = scale,
    .silu_times = silu_times,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .attend_all = attend_all,
    .gelu = gelu,
    .rotate = rotate,
    .to_halves = to_halves,
    .from_halves = from_halves,
};
