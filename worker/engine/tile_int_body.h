/* tile_int_body.h - products of quantised tiles with vectors; included once for each set.
 *
 * A block's weights are unpacked into registers once, then all rows run over them; the rows' sums
 * wait on the stack. The includer's header gives LANES (outputs of a vector), VECS (vectors that
 * registers hold a block of), ROWS_AT_ONCE (rows
 * that registers hold sums for), SIGNED_BYTES (whether bytes above 127 must be signed before dots
 * take them) and the operations below by their names. Every step is one that tile_int_inside.h
 * names, or exact. */
#include <string.h>

#include "worker/engine/tile_int_inside.h"

#define INLINE static inline __attribute__((always_inline))
/* How far ahead of what is read it is fetched into the second cache, and from there into the first.
 * Few rows wait for memory; one prefetch for both leaves too few reads under way. */
#define PREFETCH_FAR_BYTES 16384
#define PREFETCH_NEAR_BYTES 2048

/* A block of LANES * VECS outputs. */
struct lanes {
    vec_i w[VECS][TILE_INT_GROUPS];
    vec_f scale[VECS][2], minimum[VECS][2];
};

/* Numbers that dots take as signed, and so without their offset. */
INLINE bool wide_numbers(struct tile_int_plan p) {
    return p.bits == 8 || p.table;
}

/* Whether the two halves of a block have scales of their own. */
INLINE bool two_halves(struct tile_int_plan p) {
    return p.scales == SCALES_K16 || p.scales == SCALES_K16_MIN;
}

INLINE vec_i shifted(vec_i x, int left) {
    if (left == 0)
        return x;
    return left > 0 ? shift_left(x, left) : shift_right(x, -left);
}

INLINE void unpack_numbers(const uint8_t *at, struct tile_int_plan p, vec_i *w) {
    const vec_i low = all_bytes(15);
    if (p.bits == 8) {
        UNROLL for (int g = 0; g < TILE_INT_GROUPS; g++) w[g] = load(at + g * TILE_INT_PLANE);
    } else {
        UNROLL for (int g = 0; g < 4; g++) {
            vec_i both = load(at + g * TILE_INT_PLANE);
            w[g] = and(both, low);
            w[g + 4] = and(shift_right(both, 4), low);
        }
    }
    if (p.bits == 5) {
        vec_i fifth = load(at + 4 * TILE_INT_PLANE);
        UNROLL for (int g = 0; g < TILE_INT_GROUPS; g++) w[g] =
            or_masked(w[g], shifted(fifth, 4 - g), all_bytes(0x10));
    }
    if (p.bits == 6) {
        vec_i upper[2] = {load(at + 4 * TILE_INT_PLANE), load(at + 5 * TILE_INT_PLANE)};
        UNROLL for (int g = 0; g < TILE_INT_GROUPS; g++) w[g] =
            or_masked(w[g], shifted(upper[g % 2], 4 - g / 2 * 2), all_bytes(0x30));
    }
    if (p.table) {
        UNROLL for (int g = 0; g < TILE_INT_GROUPS; g++) w[g] = looked_up(w[g]);
    }
    if (SIGNED_BYTES && wide_numbers(p)) {
        UNROLL for (int g = 0; g < TILE_INT_GROUPS; g++) w[g] = xor(w[g], all_bytes(0x80));
    }
}

/* at, head: of the tile's output `first`, as far as the first array goes. */
INLINE void unpack_scales(const uint8_t *at, const uint8_t *head, int first,
                          enum tile_int_scales scales, vec_f *scale, vec_f *minimum) {
    const uint8_t *halves = at + 2 * first;
    switch (scales) {
    case SCALES_HALF_MIN:
        minimum[0] = load_halves(halves + 2 * TILE_OUTPUTS);
        scale[0] = load_halves(halves);
        break;
    case SCALES_HALF:
        scale[0] = load_halves(halves);
        break;
    case SCALES_K32_MIN:
        scale[0] = times(load_halves(head + 2 * first), load_unsigned(at + first));
        break;
    case SCALES_K16:
    case SCALES_K16_MIN:
        UNROLL for (int h = 0; h < 2; h++) scale[h] =
            times(load_halves(head + 2 * first), load_signed(at + h * TILE_OUTPUTS + first));
        break;
    }
    const uint8_t *dmin = head + 2 * TILE_OUTPUTS + 2 * first;
    if (scales == SCALES_K32_MIN)
        minimum[0] = negative(times(load_halves(dmin), load_unsigned(at + TILE_OUTPUTS + first)));
    if (scales == SCALES_K16_MIN) {
        UNROLL for (int h = 0; h < 2; h++) {
            vec_f m = load_unsigned(at + (2 + h) * TILE_OUTPUTS + first);
            minimum[h] = negative(times(load_halves(dmin), m));
        }
    }
}

/* a of the first 16 inputs' total and b of the second's, as multiply_pairs takes them. */
INLINE vec_i pair_of(int a, int b) {
    return all_words((int32_t)((uint32_t)(a & 0xffff) | (uint32_t)b << 16));
}

/* The quantised activations of rows from one on, at one block; the next row's are so much further.
 */
struct activations {
    const int8_t *q;
    const float *scale;
    const int16_t *totals;
    size_t q_stride, scale_stride, totals_stride;
};

/* acc[r][v] = the dot products of groups first .. first + count - 1 of row r, less offsets: a of
 * the first 16 inputs' total and b of the second's. */
INLINE void dots_of(vec_i acc[ROWS_AT_ONCE][VECS], const struct lanes *x,
                    const struct activations *a, int rows, int first, int count,
                    struct tile_int_plan p) {
    const int offset = SIGNED_BYTES && wide_numbers(p) ? 0 : -p.offset;
    const vec_i offsets = pair_of(first == 0 ? offset : 0, first + count == 8 ? offset : 0);
    UNROLL for (int r = 0; r < rows; r++) {
        vec_i start = no_words();
        if (offset != 0)
            start = multiply_pairs(all_words_at(a->totals + (size_t)r * a->totals_stride), offsets);
        UNROLL for (int v = 0; v < VECS; v++) acc[r][v] = start;
    }
    add_dots(acc, x->w, a->q, a->q_stride, rows, first, count, p);
}

/* Of the inputs whose totals `ones` picks. */
INLINE void add_minima(vec_f sum[ROWS_AT_ONCE][VECS], const vec_f *sx, const struct lanes *x,
                       const struct activations *a, int rows, int h, vec_i ones) {
    UNROLL for (int r = 0; r < rows; r++) {
        vec_i total = all_words_at(a->totals + (size_t)r * a->totals_stride);
        vec_f scaled = times(sx[r], to_floats(multiply_pairs(total, ones)));
        UNROLL for (int v = 0; v < VECS; v++) sum[r][v] =
            fused(x->minimum[v][h], scaled, sum[r][v]);
    }
}

/* sums of row r at sums + r * TILE_OUTPUTS */
INLINE void add_rows(const struct lanes *x, const struct activations *a, int rows,
                     struct tile_int_plan p, float *sums) {
    const bool halves = two_halves(p);
    const int parts = halves ? 2 : 1;
    vec_f sum[ROWS_AT_ONCE][VECS], sx[ROWS_AT_ONCE];
    vec_i acc[2][ROWS_AT_ONCE][VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        sx[r] = all_floats(a->scale[(size_t)r * a->scale_stride]);
        UNROLL for (int v = 0; v < VECS; v++) sum[r][v] =
            load_floats(sums + r * TILE_OUTPUTS + v * LANES);
    }
    if (halves || rows == 1) { /* two short chains of one row's, not to wait for one long one */
        dots_of(acc[0], x, a, rows, 0, 4, p);
        dots_of(acc[1], x, a, rows, 4, 4, p);
        if (!halves) {
            UNROLL for (int v = 0; v < VECS; v++) acc[0][0][v] =
                add_words(acc[0][0][v], acc[1][0][v]);
        }
    } else {
        dots_of(acc[0], x, a, rows, 0, 8, p);
    }
    UNROLL for (int h = 0; h < parts; h++) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < VECS; v++) sum[r][v] =
                fused(times(x->scale[v][h], sx[r]), to_floats(acc[h][r][v]), sum[r][v]);
        }
    }
    if (tile_int_has_minimum(p)) {
        UNROLL for (int h = 0; h < parts; h++)
            add_minima(sum, sx, x, a, rows, h, pair_of(h == 0, h == 1 || !halves));
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < VECS; v++)
            store_floats(sums + r * TILE_OUTPUTS + v * LANES, sum[r][v]);
    }
}

INLINE void next_rows(struct activations *a, int rows) {
    a->q += (size_t)rows * a->q_stride;
    a->scale += (size_t)rows * a->scale_stride;
    a->totals += (size_t)rows * a->totals_stride;
}

/* Block b of LANES * VECS outputs, of which the tile's output `first` is the first. */
INLINE void add_block(const uint8_t *at, const uint8_t *head, int first, struct tile_int_plan p,
                      const struct rows *rows, int32_t b, int32_t row, int32_t n,
                      float sums[TILE_INT_ROWS][TILE_OUTPUTS]) {
    struct lanes x;
    UNROLL for (int v = 0; v < VECS; v++) {
        int o = first + v * LANES;
        unpack_scales(at, head, o, p.scales, x.scale[v], x.minimum[v]);
        unpack_numbers(at + tile_int_scale_bytes(p) + 4 * o, p, x.w[v]);
    }
    const size_t blocks = (size_t)(rows->n_in / ROWS_BLOCK);
    const size_t start = (size_t)row * blocks + (size_t)b;
    struct activations a = {rows->q + ROWS_BLOCK * start,
                            rows->scale + start,
                            rows->sums + 2 * start,
                            ROWS_BLOCK * blocks,
                            blocks,
                            2 * blocks};
    const int many = two_halves(p) ? ROWS_AT_ONCE / 2 : ROWS_AT_ONCE; /* halves have two sums */
    int32_t r = 0;
    for (; r + many <= n; r += many, next_rows(&a, many))
        add_rows(&x, &a, many, p, sums[r] + first);
    for (; r < n; r++, next_rows(&a, 1))
        add_rows(&x, &a, 1, p, sums[r] + first);
}

INLINE void put(const struct tile_call *c, int32_t row, const float *sums) {
    float *y = c->y + (ptrdiff_t)row * c->y_stride;
    if (c->outputs == TILE_OUTPUTS) {
        UNROLL for (int o = 0; o < TILE_OUTPUTS; o += LANES) {
            vec_f sum = load_floats(sums + o);
            store_floats(y + o, c->add ? plus(load_floats(y + o), sum) : sum);
        }
        return;
    }
    for (int o = 0; o < c->outputs; o++)
        y[o] = c->add ? y[o] + sums[o] : sums[o];
}

INLINE void prefetch(const uint8_t *at, size_t bytes) {
    _Pragma("GCC unroll 32") for (size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(at + PREFETCH_FAR_BYTES + i, 0, 2);
        __builtin_prefetch(at + PREFETCH_NEAR_BYTES + i, 0, 3);
    }
}

/* n <= TILE_INT_ROWS rows from `row` on. */
INLINE void products_of(const struct tile_call *c, struct tile_int_plan p, int32_t row, int32_t n) {
    __attribute__((aligned(64))) float sums[TILE_INT_ROWS][TILE_OUTPUTS];
    memset(sums, 0, (size_t)n * sizeof sums[0]);
    const uint8_t *at = c->tile, *head = at;
    const int32_t blocks = c->rows->n_in / ROWS_BLOCK;
    for (int32_t b = 0; b < blocks; b++) {
        if (tile_int_has_head(p) && b % TILE_INT_SUPER == 0) {
            head = at;
            at += tile_int_head_bytes(p);
        }
        prefetch(at, tile_int_block_bytes(p));
        for (int first = 0; first < TILE_OUTPUTS; first += LANES * VECS)
            add_block(at, head, first, p, c->rows, b, row, n, sums);
        at += tile_int_block_bytes(p);
    }
    for (int32_t r = 0; r < n; r++)
        put(c, row + r, sums[r]);
}

INLINE void products(const struct tile_call *c, enum quant_type type) {
    const struct tile_int_plan p = tile_int_plan(type);
    for (int32_t r = 0; r < c->rows->n_rows; r += TILE_INT_ROWS) {
        int32_t left = c->rows->n_rows - r;
        products_of(c, p, r, left < TILE_INT_ROWS ? left : TILE_INT_ROWS);
    }
}

#include "worker/engine/tile_int_table.h"
