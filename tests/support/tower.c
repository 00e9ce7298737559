/* tower.c - the definition of the tower, loop by loop. */
#include "tests/support/tower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/random_weight.h"

#define SEED 20260917

static void *take(size_t n, size_t size) {
    void *p = calloc(n, size);
    MUST(p != NULL);
    return p;
}

static const float *random_vector(struct random_source *r, int32_t n, float around, float size) {
    float *p = take((size_t)n, sizeof *p);
    for (int32_t i = 0; i < n; i++)
        p[i] = around + size * random_float(r);
    return p;
}

static void open_layer(struct random_source *r, struct vision_layer *l, struct tower_shape s) {
    const float **norms[] = {&l->ln1_w, &l->ln2_w};
    const float **biases[] = {&l->ln1_b, &l->ln2_b, &l->q_b,   &l->k_b,
                              &l->v_b,   &l->out_b, &l->down_b};
    struct weight *squares[] = {&l->q, &l->k, &l->v, &l->out};
    for (size_t i = 0; i < 2; i++)
        *norms[i] = random_vector(r, s.n_embd, 0.3F, 0.1F);
    for (size_t i = 0; i < 7; i++)
        *biases[i] = random_vector(r, s.n_embd, 0, 0.2F);
    for (size_t i = 0; i < 4; i++)
        *squares[i] = random_weight(r, s.type, s.n_embd, s.n_embd);
    l->up = random_weight(r, s.type, s.n_ff, s.n_embd);
    l->down = random_weight(r, s.type, s.n_embd, s.n_ff);
    l->up_b = random_vector(r, s.n_ff, 0, 0.2F);
}

void tower_open(struct tower *t, struct tower_shape s) {
    struct random_source r = {SEED};
    struct vision_model *m = &t->model;
    *m = (struct vision_model){.image_size = s.image_size,
                               .patch_size = s.patch_size,
                               .n_embd = s.n_embd,
                               .n_ff = s.n_ff,
                               .n_layer = s.n_layer,
                               .n_head = s.n_head,
                               .scale = s.scale,
                               .projection = s.projection};
    m->head_dim = s.n_embd / s.n_head;
    m->grid = s.image_size / s.patch_size;
    m->n_out = (m->grid / s.scale) * (m->grid / s.scale);
    m->ln_eps = 1e-6F;
    m->patch = random_weight(&r, QUANT_F32, s.n_embd, 3 * s.patch_size * s.patch_size);
    m->patch_bias = random_vector(&r, s.n_embd, 0, 1);
    m->positions = random_vector(&r, m->grid * m->grid * s.n_embd, 0, 1);
    m->post_ln_w = random_vector(&r, s.n_embd, 1, 0.1F);
    m->post_ln_b = random_vector(&r, s.n_embd, 0, 0.1F);
    m->fc = random_weight(&r, s.type, s.projection, s.n_embd * s.scale * s.scale);
    m->layers = take((size_t)s.n_layer, sizeof *m->layers);
    for (int32_t i = 0; i < s.n_layer; i++)
        open_layer(&r, &m->layers[i], s);
    size_t n = 3 * (size_t)s.image_size * (size_t)s.image_size;
    t->pixels = take(n, sizeof *t->pixels);
    random_floats(&r, t->pixels, n);
}

static void release(const void *p) {
    free((void *)(uintptr_t)p);
}

void tower_close(struct tower *t) {
    struct vision_model *m = &t->model;
    for (int32_t i = 0; i < m->n_layer; i++) {
        struct vision_layer *l = &m->layers[i];
        const void *all[] = {l->ln1_w,  l->ln1_b,    l->ln2_w,   l->ln2_b,    l->q_b,    l->k_b,
                             l->v_b,    l->out_b,    l->up_b,    l->down_b,   l->q.data, l->k.data,
                             l->v.data, l->out.data, l->up.data, l->down.data};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
            release(all[k]);
    }
    release(m->patch.data);
    release(m->patch_bias);
    release(m->positions);
    release(m->post_ln_w);
    release(m->post_ln_b);
    release(m->fc.data);
    free(m->layers);
    free(t->pixels);
}

size_t tower_out_floats(const struct tower *t) {
    return (size_t)t->model.n_out * (size_t)t->model.projection;
}

/* ---- the computation ---- */

/* y[r][o] = sum W[o][i] x[r][i] + bias[o] */
static double *linear(const struct weight *w, const float *bias, const double *x, size_t rows) {
    size_t n = (size_t)w->n_in, n_out = (size_t)w->n_out;
    double *y = take(rows * n_out, sizeof *y);
    float *row = take(n, sizeof *row);
    for (size_t o = 0; o < n_out; o++) {
        quant_expand_row_reference(w->type, (const uint8_t *)w->data + o * w->row_bytes, row, n);
        for (size_t r = 0; r < rows; r++) {
            double sum = bias ? (double)bias[o] : 0;
            for (size_t i = 0; i < n; i++)
                sum += (double)row[i] * x[r * n + i];
            y[r * n_out + o] = sum;
        }
    }
    free(row);
    return y;
}

static double *norm(const struct vision_model *m, const float *w, const float *b, const double *x,
                    size_t rows) {
    size_t n = (size_t)m->n_embd;
    double *y = take(rows * n, sizeof *y);
    for (size_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < n; i++)
            mean += x[r * n + i] / (double)n;
        for (size_t i = 0; i < n; i++)
            variance += (x[r * n + i] - mean) * (x[r * n + i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++)
            y[r * n + i] =
                (x[r * n + i] - mean) / sqrt(variance + (double)m->ln_eps) * (double)w[i] +
                (double)b[i];
    }
    return y;
}

/* One head of one query. */
static void attend(const struct vision_model *m, const double *q, const double *k, const double *v,
                   size_t rows, double *out) {
    size_t n = (size_t)m->n_embd, hd = (size_t)m->head_dim;
    double *p = take(rows, sizeof *p), sum = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < hd; i++)
            p[r] += q[i] * k[r * n + i];
        p[r] = exp(p[r] / sqrt((double)hd));
        sum += p[r];
    }
    for (size_t i = 0; i < hd; i++)
        for (size_t r = 0; r < rows; r++)
            out[i] += p[r] / sum * v[r * n + i];
    free(p);
}

static void add(double *x, double *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
    free(y);
}

static void block(const struct vision_model *m, const struct vision_layer *l, double *x,
                  size_t rows) {
    size_t n = (size_t)m->n_embd, n_ff = (size_t)m->n_ff;
    double *h = norm(m, l->ln1_w, l->ln1_b, x, rows);
    double *q = linear(&l->q, l->q_b, h, rows), *k = linear(&l->k, l->k_b, h, rows);
    double *v = linear(&l->v, l->v_b, h, rows);
    memset(h, 0, rows * n * sizeof *h);
    for (size_t r = 0; r < rows; r++)
        for (size_t at = 0; at < n; at += (size_t)m->head_dim)
            attend(m, q + r * n + at, k + at, v + at, rows, h + r * n + at);
    add(x, linear(&l->out, l->out_b, h, rows), rows * n);
    free(h);
    free(q);
    free(k);
    free(v);
    h = norm(m, l->ln2_w, l->ln2_b, x, rows);
    double *f = linear(&l->up, l->up_b, h, rows);
    for (size_t i = 0; i < rows * n_ff; i++)
        f[i] *= 0.5 * (1 + tanh(0.7978845608028654 * f[i] * (1 + 0.044715 * f[i] * f[i])));
    add(x, linear(&l->down, l->down_b, f, rows), rows * n);
    free(h);
    free(f);
}

/* [patch][channel][y][x] */
static double *patches_of(const struct tower *t) {
    const struct vision_model *m = &t->model;
    size_t p = (size_t)m->patch_size, side = (size_t)m->image_size, grid = (size_t)m->grid;
    double *rows = take(grid * grid * 3 * p * p, sizeof *rows), *to = rows;
    for (size_t i = 0; i < grid * grid; i++)
        for (size_t c = 0; c < 3; c++)
            for (size_t y = 0; y < p; y++)
                for (size_t x = 0; x < p; x++)
                    *to++ =
                        (double)t->pixels[(c * side + i / grid * p + y) * side + i % grid * p + x];
    return rows;
}

void tower_encode_plainly(const struct tower *t, double *out) {
    const struct vision_model *m = &t->model;
    size_t n = (size_t)m->n_embd, s = (size_t)m->scale, grid = (size_t)m->grid;
    size_t cells = grid / s, rows = grid * grid;
    double *pixels = patches_of(t), *x = linear(&m->patch, m->patch_bias, pixels, rows);
    for (size_t i = 0; i < rows * n; i++)
        x[i] += (double)m->positions[i];
    for (int32_t i = 0; i < m->n_layer; i++)
        block(m, &m->layers[i], x, rows);
    double *h = norm(m, m->post_ln_w, m->post_ln_b, x, rows);
    double *shuffled = take(rows * n, sizeof *shuffled);
    for (size_t o = 0; o < rows * n; o++) { /* o: cell, then place in it, then channel */
        size_t cell = o / (n * s * s), place = o / n % (s * s);
        size_t patch_x = cell % cells * s + place % s, patch_y = cell / cells * s + place / s;
        shuffled[o] = h[(patch_y * grid + patch_x) * n + o % n];
    }
    double *y = linear(&m->fc, NULL, shuffled, (size_t)m->n_out);
    memcpy(out, y, tower_out_floats(t) * sizeof *out);
    free(pixels);
    free(x);
    free(h);
    free(shuffled);
    free(y);
}
