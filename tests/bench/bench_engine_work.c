/* bench_engine_work.c - what a prefill, a step or a tile cannot do without. */
#include "tests/bench/bench_engine.h"

#include <math.h>

static double products(const struct weight *w) {
    return (double)w->n_in * w->n_out;
}

/* Of n rows. Quantised weights are multiplied as bytes, others as f32. */
static void add_matrix(struct bench_need *need, const struct weight *w, double n) {
    bool floats = w->type == QUANT_F32 || w->type == QUANT_F16 || w->type == QUANT_BF16;
    *(floats ? &need->f32_flops : &need->int8_ops) += 2 * products(w) * n;
    need->read_bytes += (double)w->row_bytes * w->n_out;
}

/* n rows through all layers; the last layer's queries and what follows only for `last` rows. */
static struct bench_need matrices(const struct text_model *m, double n, double last) {
    struct bench_need need = {0};
    add_matrix(&need, &m->output, last);
    for (int32_t i = 0; i < m->n_layer; i++) {
        const struct text_layer *l = &m->layers[i];
        const struct weight *others[] = {&l->q, &l->attn_out, &l->gate, &l->up, &l->down};
        for (int j = 0; j < 5; j++)
            add_matrix(&need, others[j], i == m->n_layer - 1 ? last : n);
        add_matrix(&need, &l->k, n);
        add_matrix(&need, &l->v, n);
    }
    return need;
}

struct bench_need work_prefill(const struct text_model *m, int32_t n) {
    struct bench_need need = matrices(m, n, 1);
    double pairs = (double)n * (n + 1) / 2 * (m->n_layer - 1) + n; /* of a query and a key */
    need.f32_flops += 4.0 * m->head_dim * m->n_head * pairs;
    return need;
}

struct bench_need work_decode(const struct text_model *m, const struct pages *p, int streams,
                              double context) {
    struct bench_need need = matrices(m, streams, streams);
    double positions = streams * (context + 1);
    need.f32_flops += 4.0 * m->head_dim * m->n_head * m->n_layer * positions;
    need.read_bytes += positions * (double)pages_bytes_per_page(pages_shape(p)) / PAGE_POSITIONS;
    return need;
}

/* Towers are computed in f32 whatever their weights are: patches, layers with full attention, the
 * projector. */
struct bench_need work_tile(const struct vision_model *m) {
    double n = (double)m->grid * m->grid;
    const struct vision_layer *l = &m->layers[0];
    double layer = 4 * products(&l->q) + products(&l->up) + products(&l->down);
    return (struct bench_need){.f32_flops = 2 * n * (products(&m->patch) + layer * m->n_layer) +
                                            2.0 * m->n_out * products(&m->fc) +
                                            4.0 * n * n * m->head_dim * m->n_head * m->n_layer};
}

double work_seconds(const struct bench_need *n, const struct machine_speed *s, const char **bound) {
    double f32 = n->f32_flops / s->f32_gflops * 1e-9, int8 = n->int8_ops / s->int8_gops * 1e-9;
    double reading = n->read_bytes / s->read_gbytes * 1e-9;
    *bound = reading > f32 + int8 ? "reading" : f32 > int8 ? "f32" : "int8";
    return fmax(reading, f32 + int8);
}
