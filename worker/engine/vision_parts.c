/* vision_parts.c - the parts of the tower's steps that are not products with weights.
 *
 * Attention looks at all patches of a tile from every patch. Both of its products are gemm.h's:
 * scores = queries times keys, which lie turned, those of 32 patches side by side; outputs = scores
 * times values. Its parts are a head and a run of queries, whose scores go through the second cache
 * a few rows at a time. */
#include <math.h>
#include <string.h>

#include "worker/engine/vision_inside.h"

#define QUERY_RUN 224 /* queries of one part of attention, at most */
#define ROW_RUN 32    /* patches of one part of the work that goes row by row */

static int32_t parts_of(int32_t n, int32_t each) {
    return (n + each - 1) / each;
}

/* ---- from pixels to patches ---- */

int32_t vision_gather_parts(const struct vision *v) {
    return v->m->grid;
}

/* A row of patches: pixels [3][S][S] -> wide [patches][3][p][p]. */
void vision_gather_part(void *arg, int32_t part, int member) {
    const struct vision *v = arg;
    const struct vision_model *m = v->m;
    (void)member;
    size_t p = (size_t)m->patch_size, side = (size_t)m->image_size, grid = (size_t)m->grid;
    size_t first = (size_t)(v->tiles - 1) * (size_t)v->patches + (size_t)part * grid;
    for (size_t x = 0; x < grid; x++) {
        float *to = v->wide + (first + x) * v->pixel_stride;
        for (size_t row = 0; row < 3 * p; row++, to += p) /* channel * p + y */
            memcpy(to, v->pixels + (row / p * side + (size_t)part * p + row % p) * side + x * p,
                   p * sizeof *to);
    }
}

/* ---- row by row ---- */

int32_t vision_norm_parts(const struct vision *v) {
    return parts_of(vision_rows(v), ROW_RUN);
}

void vision_norm_part(void *arg, int32_t part, int member) {
    const struct vision *v = arg;
    (void)member;
    int32_t n = v->m->n_embd, rows = vision_rows(v);
    int32_t end = (part + 1) * ROW_RUN < rows ? (part + 1) * ROW_RUN : rows;
    for (int32_t r = part * ROW_RUN; r < end; r++)
        v->kernels->layer_norm(v->x + (size_t)r * (size_t)n, v->norm_w, v->norm_b, n, v->m->ln_eps,
                               v->h + (size_t)r * v->embd_stride);
}

/* ---- blocks of products ---- */

void vision_scale_queries(void *arg, const struct panels_block *b) {
    const struct vision *v = arg;
    float factor = 1.0F / sqrtf((float)v->m->head_dim);
    for (int32_t r = 0; r < b->rows; r++)
        v->kernels->scale(b->block + (size_t)r * b->stride, b->count, factor);
}

void vision_turn_keys(void *arg, const struct panels_block *b) {
    struct vision *v = arg;
    size_t n = (size_t)v->m->n_embd;
    for (int32_t r = 0; r < b->rows;) {
        int32_t row = b->first_row + r, patch = row % v->patches, lane = patch % GEMM_OUTPUTS;
        size_t group =
            (size_t)(row / v->patches) * (size_t)v->key_groups + (size_t)(patch / GEMM_OUTPUTS);
        int32_t n_rows = GEMM_OUTPUTS - lane; /* of this group and this tile */
        n_rows = v->patches - patch < n_rows ? v->patches - patch : n_rows;
        n_rows = b->rows - r < n_rows ? b->rows - r : n_rows;
        float *to = v->keys + (group * n + (size_t)b->first) * GEMM_OUTPUTS + lane;
        const float *from = b->block + (size_t)r * b->stride;
        for (int32_t o = 0; o < b->count; o++)
            for (int32_t i = 0; i < n_rows; i++)
                to[o * GEMM_OUTPUTS + i] = from[(size_t)i * b->stride + (size_t)o];
        r += n_rows;
    }
}

void vision_gelu(void *arg, const struct panels_block *b) {
    const struct vision *v = arg;
    for (int32_t r = 0; r < b->rows; r++)
        v->kernels->gelu(b->block + (size_t)r * b->stride, b->count);
}

/* ---- attention ---- */

static int32_t query_runs(const struct vision *v) {
    return parts_of(v->patches, QUERY_RUN);
}

int32_t vision_attend_parts(const struct vision *v) {
    return v->tiles * v->m->n_head * query_runs(v);
}

/* Queries of one head of a tile, the first of them the row `first` of h. */
static void attend(const struct vision *v, int32_t tile, int32_t head, size_t first, int32_t rows,
                   float *scores) {
    size_t head_dim = (size_t)v->m->head_dim, column = (size_t)head * head_dim;
    size_t group = (size_t)v->m->n_embd * GEMM_OUTPUTS;
    const float *keys =
        v->keys + (size_t)tile * (size_t)v->key_groups * group + column * GEMM_OUTPUTS;
    for (int32_t key = 0; key < v->patches; key += GEMM_OUTPUTS, keys += group)
        v->gemm(&(struct gemm_call){.x = v->q + first * v->embd_stride + column,
                                    .x_stride = v->embd_stride,
                                    .b = keys,
                                    .b_stride = GEMM_OUTPUTS,
                                    .b_type = QUANT_F32,
                                    .y = scores + key,
                                    .y_stride = v->score_stride,
                                    .rows = rows,
                                    .n_k = v->m->head_dim,
                                    .n_o = v->patches - key < GEMM_OUTPUTS ? v->patches - key
                                                                           : GEMM_OUTPUTS});
    float factors[SCORE_ROWS];
    for (int32_t r = 0; r < rows; r++) {
        float *row = scores + (size_t)r * v->score_stride;
        float top = v->kernels->highest(row, v->patches);
        factors[r] = 1.0F / v->kernels->exponentials(row, v->patches, top);
    }
    float *out = v->h + first * v->embd_stride + column;
    size_t values = (size_t)tile * (size_t)v->patches * v->embd_stride + column;
    v->gemm(&(struct gemm_call){.x = scores,
                                .x_stride = v->score_stride,
                                .b = v->v + values,
                                .b_stride = v->embd_stride,
                                .b_type = QUANT_F32,
                                .y = out,
                                .y_stride = v->embd_stride,
                                .rows = rows,
                                .n_k = v->patches,
                                .n_o = v->m->head_dim});
    for (int32_t r = 0; r < rows; r++)
        v->kernels->scale(out + (size_t)r * v->embd_stride, v->m->head_dim, factors[r]);
}

void vision_attend_part(void *arg, int32_t part, int member) {
    const struct vision *v = arg;
    int32_t runs = query_runs(v), head = part / runs % v->m->n_head;
    int32_t tile = part / runs / v->m->n_head;
    int32_t blocks = parts_of(v->patches, SCORE_ROWS), each = parts_of(blocks, runs) * SCORE_ROWS;
    int32_t begin = part % runs * each, end = begin + each < v->patches ? begin + each : v->patches;
    float *scores = v->scores + (size_t)member * SCORE_ROWS * v->score_stride;
    for (int32_t q = begin; q < end; q += SCORE_ROWS)
        attend(v, tile, head, (size_t)tile * (size_t)v->patches + (size_t)q,
               end - q < SCORE_ROWS ? end - q : SCORE_ROWS, scores);
}

/* ---- the projector ---- */

int32_t vision_shuffle_parts(const struct vision *v) {
    return v->tiles * (v->m->grid / v->m->scale);
}

size_t vision_shuffle_stride(const struct vision *v) {
    return (size_t)v->m->fc.n_in + ROW_PAD;
}

/* A row of outputs: h [patches][n_embd] -> wide [n_out][scale * scale * n_embd]. An output stands
 * for a square of scale x scale patches, one after the other, x fastest. */
void vision_shuffle_part(void *arg, int32_t part, int member) {
    const struct vision *v = arg;
    (void)member;
    size_t s = (size_t)v->m->scale, n = (size_t)v->m->n_embd, grid = (size_t)v->m->grid;
    size_t across = grid / s, first = (size_t)part * s * grid; /* patches of this row */
    for (size_t x = 0; x < across; x++) {
        float *to = v->wide + ((size_t)part * across + x) * vision_shuffle_stride(v);
        for (size_t i = 0; i < s * s; i++, to += n)
            memcpy(to, v->h + (first + i / s * grid + x * s + i % s) * v->embd_stride,
                   n * sizeof *to);
    }
}
