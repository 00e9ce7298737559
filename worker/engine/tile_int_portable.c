/* tile_int_portable.c - products of quantised tiles in plain C: the definition, to the bit, of what
 * every other set computes. */
#include <math.h>
#include <string.h>

#include "worker/engine/tile_int_inside.h"

/* A block, unpacked. */
struct block {
    int16_t value[TILE_INT_BLOCK][TILE_OUTPUTS]; /* number - offset */
    float scale[2][TILE_OUTPUTS];                /* of the first and the second 16 inputs */
    float minimum[2][TILE_OUTPUTS];
};

static float half_at(const uint8_t *at, int o) {
    return quant_half_to_float(quant_u16(at + 2 * o));
}

static int number_at(const uint8_t *at, int bits, int input, int o) {
    int g = input / 4;
    const uint8_t *lane = at + 4 * o + input % 4;
    if (bits == 8)
        return lane[g * TILE_INT_PLANE];
    int n = lane[g % 4 * TILE_INT_PLANE] >> (g / 4 * 4) & 15;
    if (bits == 5)
        n |= (lane[4 * TILE_INT_PLANE] >> g & 1) << 4;
    if (bits == 6)
        n |= (lane[(4 + g % 2) * TILE_INT_PLANE] >> (g / 2 * 2) & 3) << 4;
    return n;
}

static void unpack_scales(const uint8_t *at, const uint8_t *head, enum tile_int_scales scales,
                          struct block *out) {
    for (int h = 0; h < 2; h++)
        for (int o = 0; o < TILE_OUTPUTS; o++) {
            float *s = &out->scale[h][o], *m = &out->minimum[h][o];
            *m = 0;
            if (scales == SCALES_HALF || scales == SCALES_HALF_MIN)
                *s = half_at(at, o);
            else if (scales == SCALES_K32_MIN)
                *s = half_at(head, o) * (float)at[o];
            else
                *s = half_at(head, o) * (float)(int8_t)at[h * TILE_OUTPUTS + o];
            if (scales == SCALES_HALF_MIN)
                *m = half_at(at + 2 * TILE_OUTPUTS, o);
            else if (scales == SCALES_K32_MIN)
                *m = -(half_at(head + 2 * TILE_OUTPUTS, o) * (float)at[TILE_OUTPUTS + o]);
            else if (scales == SCALES_K16_MIN)
                *m = -(half_at(head + 2 * TILE_OUTPUTS, o) * (float)at[(2 + h) * TILE_OUTPUTS + o]);
        }
}

static void unpack(const uint8_t *at, const uint8_t *head, struct tile_int_plan p,
                   struct block *out) {
    static const uint8_t table[16] = {TILE_INT_TABLE};
    unpack_scales(at, head, p.scales, out);
    at += tile_int_scale_bytes(p);
    for (int i = 0; i < TILE_INT_BLOCK; i++)
        for (int o = 0; o < TILE_OUTPUTS; o++) {
            int n = number_at(at, p.bits, i, o);
            out->value[i][o] = (int16_t)((p.table ? table[n] : n) - p.offset);
        }
}

/* Of inputs first .. first + count - 1. */
static void add_dots(const struct block *w, const int8_t *q, int first, int count, float scale,
                     float *sums) {
    int32_t dots[TILE_OUTPUTS] = {0};
    for (int i = first; i < first + count; i++)
        for (int o = 0; o < TILE_OUTPUTS; o++)
            dots[o] += w->value[i][o] * q[i];
    const float *s = w->scale[first / 16];
    for (int o = 0; o < TILE_OUTPUTS; o++)
        sums[o] = fmaf(s[o] * scale, (float)dots[o], sums[o]);
}

static void add_minima(const float *minimum, int32_t total, float scale, float *sums) {
    float t = scale * (float)total;
    for (int o = 0; o < TILE_OUTPUTS; o++)
        sums[o] = fmaf(minimum[o], t, sums[o]);
}

static void add_block(const struct block *w, const struct rows *rows, int32_t r, int32_t b,
                      enum tile_int_scales scales, float *sums) {
    size_t at = (size_t)r * (size_t)(rows->n_in / ROWS_BLOCK) + (size_t)b;
    const int8_t *q = rows->q + ROWS_BLOCK * at;
    const int16_t *totals = rows->sums + 2 * at;
    float scale = rows->scale[at];
    if (scales == SCALES_K16 || scales == SCALES_K16_MIN) {
        for (int h = 0; h < 2; h++)
            add_dots(w, q, 16 * h, 16, scale, sums);
        for (int h = 0; scales == SCALES_K16_MIN && h < 2; h++)
            add_minima(w->minimum[h], totals[h], scale, sums);
        return;
    }
    add_dots(w, q, 0, 32, scale, sums);
    if (scales != SCALES_HALF)
        add_minima(w->minimum[0], totals[0] + totals[1], scale, sums);
}

static void put(const struct tile_call *c, int32_t r, const float *sums) {
    float *y = c->y + (ptrdiff_t)r * c->y_stride;
    for (int o = 0; o < c->outputs; o++)
        y[o] = c->add ? y[o] + sums[o] : sums[o];
}

/* Rows first .. last - 1. */
static void products_of(const struct tile_call *c, enum quant_type type, int32_t first,
                        int32_t last) {
    struct tile_int_plan p = tile_int_plan(type);
    float sums[TILE_INT_ROWS][TILE_OUTPUTS];
    memset(sums, 0, (size_t)(last - first) * sizeof sums[0]);
    const uint8_t *at = c->tile, *head = at;
    for (int32_t b = 0; b < c->rows->n_in / ROWS_BLOCK; b++) {
        if (b % TILE_INT_SUPER == 0) {
            head = at;
            at += tile_int_head_bytes(p);
        }
        struct block w;
        unpack(at, head, p, &w);
        at += tile_int_block_bytes(p);
        for (int32_t r = first; r < last; r++)
            add_block(&w, c->rows, r, b, p.scales, sums[r - first]);
    }
    for (int32_t r = first; r < last; r++)
        put(c, r, sums[r - first]);
}

static void products(const struct tile_call *c, enum quant_type type) {
    for (int32_t r = 0; r < c->rows->n_rows; r += TILE_INT_ROWS) {
        int32_t left = c->rows->n_rows - r;
        products_of(c, type, r, r + (left < TILE_INT_ROWS ? left : TILE_INT_ROWS));
    }
}

#include "worker/engine/tile_int_table.h"

tile_kernel *tile_int_portable(enum quant_type type) {
    return kernel_of(type);
}
