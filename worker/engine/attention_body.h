/* attention_body.h - attention_kernels.h on vec16; each attention_*.c includes it for its
 * instruction set, after defining KERNELS and how much its registers hold: FEW_QUERIES by FEW_PAGES
 * sums of scores, FEW_QUERIES by FEW_VECTORS sums of values, MANY_ROWS by
 * MANY_VECTORS sums of either. */
#include <stdbool.h>
#include <string.h>

#include "worker/engine/attention_kernels.h"
#include "worker/engine/vec16.h"

#define LOG2_E 1.44269504F
#define LINE_BYTES 64
#define TO_L2 2       /* what is asked for early would push out what the first cache holds now */
#define AHEAD 8       /* rows of a panel */
#define SOFTEN_ROWS 4 /* that go through the softmax together */

/* 16 elements; those of Q8_0 times their scales. */
V_INLINE vec16 load_elements(enum kv_type type, const uint8_t *at, vec16 scale) {
    if (type == KV_F32)
        return v_load((const float *)(const void *)at);
    if (type == KV_F16)
        return v_load_half((const uint16_t *)(const void *)at);
    return v_mul(scale, v_load_i8(at));
}

V_INLINE size_t element_bytes(enum kv_type type) {
    return type == KV_F32 ? 4 : type == KV_F16 ? 2 : 1;
}

V_INLINE vec16 load_key_scales(const struct kv_layout *l, const uint8_t *page, int32_t block) {
    const uint8_t *at = page + l->key_scales + (size_t)block * KV_POSITIONS * 2;
    return v_load_half((const uint16_t *)(const void *)at);
}

V_INLINE vec16 load_value_scale(const struct kv_layout *l, const uint8_t *page, int32_t position,
                                int32_t d) {
    size_t at = (size_t)position * (size_t)l->blocks + (size_t)(d / KV_BLOCK);
    return v_set1_half(page + l->value_scales + at * 2);
}

/* ---- softmax ---- */

/* The highest of the first n scores of each of n_x rows. */
V_INLINE void highest_of(int n_x, const float *s, int32_t n, float *highest) {
    vec16 most[SOFTEN_ROWS];
    int32_t i = 0;
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++)
        most[x] = v_set1(s[x * ATTEND_BLOCK]);
    for (; i + V_LANES <= n; i += V_LANES)
#pragma GCC unroll 4
        for (int x = 0; x < n_x; x++)
            most[x] = v_max(most[x], v_load(s + x * ATTEND_BLOCK + i));
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++)
        highest[x] = v_highest(most[x]);
    for (; i < n; i++)
        for (int x = 0; x < n_x; x++) {
            float f = s[x * ATTEND_BLOCK + i];
            highest[x] = f > highest[x] ? f : highest[x];
        }
}

/* n_x rows side by side: each alone would wait for its own sums. */
V_INLINE void soften_rows(int n_x, float *s, int32_t n, float *top, float *total) {
    vec16 log2_e = v_set1(LOG2_E), below[SOFTEN_ROWS], sum[SOFTEN_ROWS];
    int32_t i = 0;
    highest_of(n_x, s, n, top);
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++) {
        top[x] *= LOG2_E;
        below[x] = v_set1(-top[x]);
        sum[x] = v_set1(0);
    }
    for (; i + V_LANES <= n; i += V_LANES)
#pragma GCC unroll 4
        for (int x = 0; x < n_x; x++) {
            float *at = s + x * ATTEND_BLOCK + i;
            vec16 w = v_exp2_below(v_fma(v_load(at), log2_e, below[x]));
            v_store(at, w);
            sum[x] = v_add(sum[x], w);
        }
    for (int x = 0; x < n_x && i < n; x++) {
        float *at = s + x * ATTEND_BLOCK + i;
        v_store_n(at, v_exp2_below(v_fma(v_load_n(at, n - i), log2_e, below[x])), n - i);
        sum[x] = v_add(sum[x], v_load_n(at, n - i)); /* zeros past the end */
    }
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++)
        total[x] = v_sum(sum[x]);
}

static void soften(float *s, int32_t rows, int32_t n, float *top, float *total) {
    for (; rows >= SOFTEN_ROWS; rows -= SOFTEN_ROWS) {
        soften_rows(SOFTEN_ROWS, s, n, top, total);
        s += SOFTEN_ROWS * ATTEND_BLOCK;
        top += SOFTEN_ROWS;
        total += SOFTEN_ROWS;
    }
    for (; rows > 0; rows--, s += ATTEND_BLOCK)
        soften_rows(1, s, n, top++, total++);
}

/* top and total of up to 16 queries; the factors of what they had and of what comes. */
V_INLINE void fold_totals(const struct attend_part *into, const struct attend_part *from,
                          int32_t first, int32_t n, float *had, float *comes) {
    vec16 a = v_load_n(into->top + first, n), b = v_load_n(from->top + first, n);
    vec16 both = v_max(a, b);
    vec16 f = v_exp2_below(v_sub(a, both)), g = v_exp2_below(v_sub(b, both));
    vec16 total = v_mul(v_load_n(into->total + first, n), f);
    total = v_fma(v_load_n(from->total + first, n), g, total);
    v_store_n(into->top + first, both, n);
    v_store_n(into->total + first, total, n);
    v_store(had, f);
    v_store(comes, g);
}

static void fold(const struct kv_layout *l, const struct attend_part *into,
                 const struct attend_part *from, int32_t queries) {
    for (int32_t first = 0; first < queries; first += V_LANES) {
        int32_t n = queries - first < V_LANES ? queries - first : V_LANES;
        float had[V_LANES], comes[V_LANES];
        fold_totals(into, from, first, n, had, comes);
        for (int32_t i = 0; i < n; i++) {
            float *to = into->sums + (size_t)(first + i) * (size_t)l->width;
            const float *add = from->sums + (size_t)(first + i) * (size_t)l->width;
            vec16 f = v_set1(had[i]), g = v_set1(comes[i]);
            for (int32_t d = 0; d < l->width; d += V_LANES)
                v_store(to + d, v_fma(v_load(add + d), g, v_mul(v_load(to + d), f)));
        }
    }
}

static void finish(const struct kv_layout *l, const struct attend_part *part, int32_t queries,
                   float *out) {
    for (int32_t i = 0; i < queries; i++, out += l->head_dim) {
        const float *sums = part->sums + (size_t)i * (size_t)l->width;
        vec16 f = v_set1(1.0F / part->total[i]);
        for (int32_t d = 0; d < l->head_dim; d += V_LANES) {
            int32_t n = l->head_dim - d < V_LANES ? l->head_dim - d : V_LANES;
            v_store_n(out + d, v_mul(v_load(sums + d), f), n);
        }
    }
}

/* ---- few queries, straight from pages ---- */

/* Scores of n_x queries with all positions of n_p pages. Meanwhile the values of the same pages are
 * asked for, which will be read next; a page is too short for hardware to foresee. */
V_INLINE void score_pages(enum kv_type type, int n_x, int n_p, const struct attend_few *j,
                          int32_t first, const float *q, float *scores) {
    const struct kv_layout *l = j->layout;
    const int32_t step = (int32_t)(LINE_BYTES / (KV_POSITIONS * element_bytes(type)));
    const uint8_t *pages[FEW_PAGES];
    vec16 sum[FEW_QUERIES][FEW_PAGES], scale[FEW_PAGES];
#pragma GCC unroll 4
    for (int p = 0; p < n_p; p++) {
        pages[p] = j->pages[first + p];
        scale[p] = v_set1(0);
#pragma GCC unroll 4
        for (int x = 0; x < n_x; x++)
            sum[x][p] = v_set1(0);
    }
    for (int32_t d = 0; d < l->head_dim; d++) {
        size_t at = (size_t)d * KV_POSITIONS * element_bytes(type);
        if (type == KV_Q8_0 && d % KV_BLOCK == 0) {
#pragma GCC unroll 4
            for (int p = 0; p < n_p; p++)
                scale[p] = load_key_scales(l, pages[p], d / KV_BLOCK);
        }
        if (d % step == 0) {
#pragma GCC unroll 4
            for (int p = 0; p < n_p; p++)
                __builtin_prefetch(pages[p] + l->values + at, 0, TO_L2);
        }
        vec16 k[FEW_PAGES];
#pragma GCC unroll 4
        for (int p = 0; p < n_p; p++)
            k[p] = load_elements(type, pages[p] + at, scale[p]);
#pragma GCC unroll 4
        for (int x = 0; x < n_x; x++) {
            vec16 a = v_set1(q[(size_t)x * (size_t)l->head_dim + (size_t)d]);
#pragma GCC unroll 4
            for (int p = 0; p < n_p; p++)
                sum[x][p] = v_fma(k[p], a, sum[x][p]);
        }
    }
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++)
#pragma GCC unroll 4
        for (int p = 0; p < n_p; p++)
            v_store(scores + x * ATTEND_BLOCK + (first + p) * KV_POSITIONS, sum[x][p]);
}

/* n_v vectors of dimensions from d on of the weighted values of n_x queries. Keys of the pages
 * ahead are asked for meanwhile, once for all queries and dimensions. */
V_INLINE void weigh_pages(enum kv_type type, int n_x, int n_v, const struct attend_few *j,
                          int32_t d, bool ask, const float *weights, float *sums) {
    const struct kv_layout *l = j->layout;
    const size_t row = (size_t)l->width * element_bytes(type);
    vec16 sum[FEW_QUERIES][FEW_VECTORS];
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++)
#pragma GCC unroll 4
        for (int v = 0; v < n_v; v++)
            sum[x][v] = v_set1(0);
    for (int32_t t = 0; t < j->seen; t++) {
        const uint8_t *page = j->pages[t / KV_POSITIONS], *ahead = j->ahead[t / KV_POSITIONS];
        int32_t position = t % KV_POSITIONS;
        const uint8_t *at =
            page + l->values + (size_t)position * row + (size_t)d * element_bytes(type);
        for (size_t line = 0; ask && line < row; line += LINE_BYTES)
            __builtin_prefetch(ahead + (size_t)position * row + line, 0, TO_L2);
        vec16 value[FEW_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < n_v; v++) {
            vec16 scale =
                type == KV_Q8_0 ? load_value_scale(l, page, position, d + v * V_LANES) : v_set1(0);
            value[v] = load_elements(type, at + (size_t)v * V_LANES * element_bytes(type), scale);
        }
#pragma GCC unroll 4
        for (int x = 0; x < n_x; x++) {
            vec16 w = v_set1(weights[x * ATTEND_BLOCK + t]);
#pragma GCC unroll 4
            for (int v = 0; v < n_v; v++)
                sum[x][v] = v_fma(w, value[v], sum[x][v]);
        }
    }
#pragma GCC unroll 4
    for (int x = 0; x < n_x; x++)
#pragma GCC unroll 4
        for (int v = 0; v < n_v; v++)
            v_store(sums + (size_t)x * (size_t)l->width + d + v * V_LANES, sum[x][v]);
}

V_INLINE void few_queries(enum kv_type type, int n_x, const struct attend_few *j, int32_t first) {
    const struct kv_layout *l = j->layout;
    const float *q = j->q + (size_t)first * (size_t)l->head_dim;
    float *scores = j->scores + (size_t)first * ATTEND_BLOCK;
    float *sums = j->part.sums + (size_t)first * (size_t)l->width;
    int32_t pages = (j->seen + KV_POSITIONS - 1) / KV_POSITIONS, p = 0, d = 0;
    for (; p + FEW_PAGES <= pages; p += FEW_PAGES)
        score_pages(type, n_x, FEW_PAGES, j, p, q, scores);
    for (; p < pages; p++)
        score_pages(type, n_x, 1, j, p, q, scores);
    soften(scores, n_x, j->seen, j->part.top + first, j->part.total + first);
    for (; d + FEW_VECTORS * V_LANES <= l->width; d += FEW_VECTORS * V_LANES)
        weigh_pages(type, n_x, FEW_VECTORS, j, d, first == 0 && d == 0, scores, sums);
    for (; d < l->width; d += V_LANES)
        weigh_pages(type, n_x, 1, j, d, first == 0 && d == 0, scores, sums);
}

V_INLINE void few_of_type(enum kv_type type, const struct attend_few *j) {
    int32_t first = 0;
    for (; first + FEW_QUERIES <= j->queries; first += FEW_QUERIES)
        few_queries(type, FEW_QUERIES, j, first);
#if FEW_QUERIES > 3
    if (j->queries - first == 3)
        few_queries(type, 3, j, first);
#endif
#if FEW_QUERIES > 2
    if (j->queries - first == 2)
        few_queries(type, 2, j, first);
#endif
#if FEW_QUERIES > 1
    if (j->queries - first == 1)
        few_queries(type, 1, j, first);
#endif
}

static void few(const struct attend_few *j) {
    switch (j->layout->type) {
    case KV_F16:
        few_of_type(KV_F16, j);
        break;
    case KV_F32:
        few_of_type(KV_F32, j);
        break;
    case KV_Q8_0:
        few_of_type(KV_Q8_0, j);
        break;
    }
}

/* ---- many queries: blocks expanded to f32 ---- */

V_INLINE void keys_of_type(enum kv_type type, const struct kv_layout *l, const uint8_t *page,
                           float *to) {
    for (int32_t first = 0; first < l->head_dim; first += KV_BLOCK) {
        int32_t end = l->head_dim - first < KV_BLOCK ? l->head_dim : first + KV_BLOCK;
        vec16 scale = type == KV_Q8_0 ? load_key_scales(l, page, first / KV_BLOCK) : v_set1(0);
        for (int32_t d = first; d < end; d++) {
            const uint8_t *at = page + (size_t)d * KV_POSITIONS * element_bytes(type);
            v_store(to + (size_t)d * ATTEND_PANEL, load_elements(type, at, scale));
        }
    }
}

static void expand_keys(const struct kv_layout *l, const uint8_t *page, int32_t at, float *keys) {
    float *to =
        keys + (size_t)(at / ATTEND_PANEL) * (size_t)l->head_dim * ATTEND_PANEL + at % ATTEND_PANEL;
    if (l->type == KV_F16)
        keys_of_type(KV_F16, l, page, to);
    else if (l->type == KV_F32)
        keys_of_type(KV_F32, l, page, to);
    else
        keys_of_type(KV_Q8_0, l, page, to);
}

/* 16 dimensions of n positions. */
V_INLINE void values_of_type(enum kv_type type, const struct kv_layout *l, const uint8_t *page,
                             int32_t d, int32_t n, float *to) {
    const size_t row = (size_t)l->width * element_bytes(type);
    const uint8_t *from = page + l->values + (size_t)d * element_bytes(type);
    for (int32_t t = 0; t < n; t++, from += row, to += ATTEND_PANEL) {
        vec16 scale = type == KV_Q8_0 ? load_value_scale(l, page, t, d) : v_set1(0);
        v_store(to, load_elements(type, from, scale));
    }
}

static void expand_values(const struct kv_layout *l, const uint8_t *page, int32_t at, int32_t n,
                          float *values) {
    for (int32_t d = 0; d < l->width; d += V_LANES) {
        float *to = values + (size_t)(d / ATTEND_PANEL) * ATTEND_BLOCK * ATTEND_PANEL +
                    (size_t)at * ATTEND_PANEL + d % ATTEND_PANEL;
        if (l->type == KV_F16)
            values_of_type(KV_F16, l, page, d, n, to);
        else if (l->type == KV_F32)
            values_of_type(KV_F32, l, page, d, n, to);
        else
            values_of_type(KV_Q8_0, l, page, d, n, to);
    }
}

/* y[x] = (or, going on, +=) sum over k of x[x][k] * b[k], for n_x rows and n_v vectors of outputs;
 * b: [n_k][ATTEND_PANEL]. Lines of b are asked for early: it is often larger than the first cache.
 */
V_INLINE void product(int n_x, int n_v, const float *x, size_t x_stride, const float *b,
                      int32_t n_k, float *y, size_t y_stride, bool go_on) {
    vec16 sum[MANY_ROWS][MANY_VECTORS];
#pragma GCC unroll 12
    for (int r = 0; r < n_x; r++)
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++)
            sum[r][v] = go_on ? v_load(y + (size_t)r * y_stride + v * V_LANES) : v_set1(0);
    for (int32_t k = 0; k < n_k; k++, x++, b += ATTEND_PANEL) {
        vec16 w[MANY_VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++) {
            w[v] = v_load(b + v * V_LANES);
            __builtin_prefetch(b + v * V_LANES + AHEAD * ATTEND_PANEL);
        }
#pragma GCC unroll 12
        for (int r = 0; r < n_x; r++) {
            vec16 a = v_set1(x[(size_t)r * x_stride]);
#pragma GCC unroll 2
            for (int v = 0; v < n_v; v++)
                sum[r][v] = v_fma(w[v], a, sum[r][v]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < n_x; r++)
#pragma GCC unroll 2
        for (int v = 0; v < n_v; v++)
            v_store(y + (size_t)r * y_stride + v * V_LANES, sum[r][v]);
}

/* Blocks of 12, 6, 3 and 1 rows, as registers allow, of n_v vectors. */
V_INLINE void products(int n_v, const float *x, size_t x_stride, int32_t rows, const float *b,
                       int32_t n_k, float *y, size_t y_stride, bool go_on) {
    while (rows > 0) {
        int32_t n = 1;
        if (MANY_ROWS >= 12 && rows >= 12) {
            product(n = 12, n_v, x, x_stride, b, n_k, y, y_stride, go_on);
        } else if (MANY_ROWS >= 6 && rows >= 6) {
            product(n = 6, n_v, x, x_stride, b, n_k, y, y_stride, go_on);
        } else if (MANY_ROWS >= 3 && rows >= 3) {
            product(n = 3, n_v, x, x_stride, b, n_k, y, y_stride, go_on);
        } else {
            product(1, n_v, x, x_stride, b, n_k, y, y_stride, go_on);
        }
        rows -= n;
        x += (size_t)n * x_stride;
        y += (size_t)n * y_stride;
    }
}

/* Outputs 0 .. n_o - 1, a multiple of V_LANES and at most ATTEND_PANEL. */
static void panel_products(const float *x, size_t x_stride, int32_t rows, const float *b,
                           int32_t n_k, float *y, size_t y_stride, int32_t n_o, bool go_on) {
    int32_t o = 0;
    for (; o + MANY_VECTORS * V_LANES <= n_o; o += MANY_VECTORS * V_LANES)
        products(MANY_VECTORS, x, x_stride, rows, b + o, n_k, y + o, y_stride, go_on);
    for (; o < n_o; o += V_LANES)
        products(1, x, x_stride, rows, b + o, n_k, y + o, y_stride, go_on);
}

static int32_t panel_part(int32_t all, int32_t at) {
    return all - at < ATTEND_PANEL ? (all - at + V_LANES - 1) / V_LANES * V_LANES : ATTEND_PANEL;
}

static void score(const struct kv_layout *l, const float *q, int32_t rows, const float *keys,
                  int32_t n, float *scores) {
    size_t hd = (size_t)l->head_dim;
    for (int32_t at = 0; at < n; at += ATTEND_PANEL)
        panel_products(q, hd, rows, keys + (size_t)at * hd, l->head_dim, scores + at, ATTEND_BLOCK,
                       panel_part(n, at), false);
}

static void weigh(const struct kv_layout *l, const float *weights, int32_t rows,
                  const float *values, int32_t begin, int32_t end, float *sums) {
    for (int32_t d = 0; d < l->width; d += ATTEND_PANEL)
        panel_products(weights + begin, ATTEND_BLOCK, rows,
                       values + (size_t)d * ATTEND_BLOCK + (size_t)begin * ATTEND_PANEL,
                       end - begin, sums + d, (size_t)l->width, panel_part(l->width, d), begin > 0);
}

/* ---- into pages ---- */

#define MOST_SCALE 65504.0F /* the largest half */

/* Up to KV_BLOCK values as scale * q; returns the scale's half. */
V_INLINE uint16_t quantise(const float *x, int32_t n, int8_t *q) {
    vec16 most = v_set1(0);
    float whole[KV_BLOCK];
    uint16_t half[V_LANES];
    for (int32_t i = 0; i < n; i += V_LANES) {
        vec16 a = v_load_n(x + i, n - i < V_LANES ? n - i : V_LANES);
        most = v_max(most, v_max(a, v_sub(v_set1(0), a)));
    }
    float scale = v_highest(most) / 127.0F;
    v_store_half_n(half, v_min(v_set1(scale), v_set1(MOST_SCALE)), V_LANES);
    scale = quant_half_to_float(half[0]);
    vec16 by = v_set1(scale > 0 ? 1.0F / scale : 0);
    for (int32_t i = 0; i < n; i += V_LANES) {
        vec16 a = v_mul(v_load_n(x + i, n - i < V_LANES ? n - i : V_LANES), by);
        v_store(whole + i, v_round(v_max(v_min(a, v_set1(127)), v_set1(-127))));
    }
    for (int32_t i = 0; i < n; i++)
        q[i] = (int8_t)whole[i];
    return half[0];
}

static void place_quantised(const struct kv_layout *l, const float *key, const float *value,
                            int32_t position, uint8_t *page) {
    int8_t q[KV_BLOCK];
    int8_t *keys = (int8_t *)page + position;
    int8_t *values = (int8_t *)page + l->values + (size_t)position * (size_t)l->width;
    uint16_t *key_scales = (uint16_t *)(void *)(page + l->key_scales) + position;
    uint16_t *value_scales =
        (uint16_t *)(void *)(page + l->value_scales) + (size_t)position * (size_t)l->blocks;
    for (int32_t b = 0; b < l->blocks; b++) {
        int32_t d = b * KV_BLOCK, n = l->head_dim - d < KV_BLOCK ? l->head_dim - d : KV_BLOCK;
        key_scales[b * KV_POSITIONS] = quantise(key + d, n, q);
        for (int32_t i = 0; i < n; i++)
            keys[(size_t)(d + i) * KV_POSITIONS] = q[i];
        value_scales[b] = quantise(value + d, n, values + d);
    }
}

static void place_halves(const struct kv_layout *l, const float *key, const float *value,
                         int32_t position, uint8_t *page) {
    uint16_t *keys = (uint16_t *)(void *)page + position;
    uint16_t *values = (uint16_t *)(void *)(page + l->values) + (size_t)position * (size_t)l->width;
    for (int32_t d = 0; d < l->head_dim; d += V_LANES) {
        int32_t n = l->head_dim - d < V_LANES ? l->head_dim - d : V_LANES;
        uint16_t halves[V_LANES];
        v_store_half_n(halves, v_load_n(key + d, n), n);
        for (int32_t i = 0; i < n; i++)
            keys[(size_t)(d + i) * KV_POSITIONS] = halves[i];
        v_store_half_n(values + d, v_load_n(value + d, n), n);
    }
}

static void place_floats(const struct kv_layout *l, const float *key, const float *value,
                         int32_t position, uint8_t *page) {
    float *keys = (float *)(void *)page + position;
    float *values = (float *)(void *)(page + l->values) + (size_t)position * (size_t)l->width;
    for (int32_t d = 0; d < l->head_dim; d++)
        keys[(size_t)d * KV_POSITIONS] = key[d];
    memcpy(values, value, (size_t)l->head_dim * sizeof *values);
}

static void place(const struct kv_layout *l, const float *key, const float *value, int32_t position,
                  uint8_t *page) {
    switch (l->type) {
    case KV_F16:
        place_halves(l, key, value, position, page);
        break;
    case KV_F32:
        place_floats(l, key, value, position, page);
        break;
    case KV_Q8_0:
        place_quantised(l, key, value, position, page);
        break;
    }
}

const struct attend_kernels KERNELS = {
    .few = few,
    .expand_keys = expand_keys,
    .expand_values = expand_values,
    .score = score,
    .soften = soften,
    .weigh = weigh,
    .fold = fold,
    .finish = finish,
    .place = place,
};
