/* vision.c - a SigLIP tower of pre-norm blocks and the idefics3 projector, for one tile.
 *
 * Every step is a round of the team, cut into parts (rows, panels of weights, heads times runs of
 * queries) that each have outputs of their own. The parts cut here depend on the shapes alone; only
 * sgemm, whose rounding varies with the width of a panel, makes the last bits of an embedding
 * depend on the number of threads.
 *
 * Attention looks at all patches from every patch. Its parts are a head and a run of queries, and
 * its loops are a kernel (kernels_full.h) that wants the keys of 64 patches side by side: they are
 * turned as soon as they are computed, while they are in the cache.
 *
 * Memory: x is the residual stream; h what goes into a product; wide holds, one after the other,
 * the patches' pixels, queries with keys and values, the hidden layer, the shuffled embeddings. */
#include "worker/engine/vision.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/kernels.h"
#include "worker/engine/matmul_job.h"

#define QUERY_RUN 96  /* queries of one part of attention */
#define ROW_RUN 32    /* patches of one part of the work that goes row by row */
#define COLUMN_RUN 16 /* columns of keys that are turned together: a line of the cache */

struct vision {
    const struct vision_model *m;
    struct team *team;
    struct matmul_scratch *scratch;
    const struct kernels *kernels;
    int32_t patches;    /* grid * grid */
    size_t wide_floats; /* in a patch's part of `wide` */
    float *x, *h;       /* [patches][n_embd] */
    float *wide;        /* [patches][wide_floats] */
    float *keys;        /* [groups][n_embd][ATTEND_GROUP]: k, turned; zeros past the last patch */
    float *scores;      /* [members][ATTEND_MAX_ROWS][attend_row_floats] */
    float *q, *k, *v;   /* [patches][n_embd], in wide */
    atomic_int next;    /* part to be taken */
    const float *pixels;
    const float *norm_w, *norm_b;
};

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t scores_floats(const struct vision *v) {
    return (size_t)team_size(v->team) * ATTEND_MAX_ROWS * attend_row_floats(v->patches);
}

static size_t keys_floats(const struct vision *v) {
    size_t groups = ((size_t)v->patches + ATTEND_GROUP - 1) / ATTEND_GROUP;
    return groups * ATTEND_GROUP * (size_t)v->m->n_embd;
}

static int take_memory(struct vision *v) {
    size_t stream = (size_t)v->patches * (size_t)v->m->n_embd * sizeof(float);
    size_t wide = (size_t)v->patches * v->wide_floats * sizeof(float);
    size_t scores = scores_floats(v) * sizeof(float), keys = keys_floats(v) * sizeof(float);
    v->x = aligned_alloc(64, (stream + 63) / 64 * 64);
    v->h = aligned_alloc(64, (stream + 63) / 64 * 64);
    v->wide = aligned_alloc(64, (wide + 63) / 64 * 64);
    v->scores = aligned_alloc(64, (scores + 63) / 64 * 64);
    v->keys = aligned_alloc(64, (keys + 63) / 64 * 64);
    if (v->x == NULL || v->h == NULL || v->wide == NULL || v->scores == NULL || v->keys == NULL)
        return ERR_NOMEM;
    memset(v->keys, 0, keys);
    v->q = v->wide;
    v->k = v->q + (size_t)v->patches * (size_t)v->m->n_embd;
    v->v = v->k + (size_t)v->patches * (size_t)v->m->n_embd;
    return 0;
}

int vision_open(struct vision **out, const struct vision_model *m, struct team *t,
                struct error *e) {
    *out = NULL;
    struct vision *v = calloc(1, sizeof *v);
    if (v == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a vision tower");
    size_t pixels = 3 * (size_t)m->patch_size * (size_t)m->patch_size;
    v->m = m;
    v->team = t;
    v->kernels = kernels_chosen();
    v->patches = m->grid * m->grid;
    v->wide_floats = most(most(pixels, 3 * (size_t)m->n_embd), (size_t)m->n_ff);
    int32_t longest = (int32_t)most(most(pixels, (size_t)m->n_ff), (size_t)m->fc.n_in);
    int code = matmul_scratch_open(&v->scratch, t, longest, e);
    if (code == 0 && (code = take_memory(v)) != 0)
        error_set(e, code, "no memory for a vision tower of %d patches, %zu bytes", v->patches,
                  vision_scratch_bytes(v));
    if (code) {
        vision_close(v);
        return code;
    }
    *out = v;
    return 0;
}

void vision_close(struct vision *v) {
    if (v == NULL)
        return;
    matmul_scratch_close(v->scratch);
    free(v->x);
    free(v->h);
    free(v->wide);
    free(v->keys);
    free(v->scores);
    free(v);
}

size_t vision_scratch_bytes(const struct vision *v) {
    size_t floats = (size_t)v->patches * (2 * (size_t)v->m->n_embd + v->wide_floats);
    size_t panels = v->scratch ? matmul_scratch_bytes(v->scratch) : 0;
    return sizeof *v + (floats + keys_floats(v) + scores_floats(v)) * sizeof(float) + panels;
}

/* The next of n parts, or -1. */
static int32_t take_part(struct vision *v, int32_t n) {
    int32_t part = atomic_fetch_add_explicit(&v->next, 1, memory_order_relaxed);
    return part < n ? part : -1;
}

static void run_parts(struct vision *v, void (*f)(void *arg, int member, int members)) {
    atomic_store_explicit(&v->next, 0, memory_order_relaxed);
    team_run(v->team, f, v);
}

/* ---- from pixels to the residual stream ---- */

/* A row of patches: pixels [3][S][S] -> wide [patches][3][p][p]. */
static void gather_member(void *arg, int member, int members) {
    struct vision *v = arg;
    const struct vision_model *m = v->m;
    (void)member, (void)members;
    size_t p = (size_t)m->patch_size, side = (size_t)m->image_size, grid = (size_t)m->grid;
    for (int32_t part; (part = take_part(v, m->grid)) >= 0;) {
        float *to = v->wide + (size_t)part * grid * 3 * p * p;
        for (size_t x = 0; x < grid; x++)
            for (size_t row = 0; row < 3 * p; row++, to += p) /* channel * p + y */
                memcpy(to, v->pixels + (row / p * side + (size_t)part * p + row % p) * side + x * p,
                       p * sizeof *to);
    }
}

static void embed_patches(struct vision *v, const float *pixels) {
    const struct vision_model *m = v->m;
    v->pixels = pixels;
    run_parts(v, gather_member);
    memcpy(v->x, m->positions, (size_t)v->patches * (size_t)m->n_embd * sizeof *v->x);
    struct matmul_job job = {
        .w = &m->patch, .bias = m->patch_bias, .x = v->wide, .y = v->x, .add = true};
    matmul_jobs(v->team, v->scratch, &job, 1, v->patches);
}

/* ---- the blocks ---- */

static void norm_member(void *arg, int member, int members) {
    struct vision *v = arg;
    (void)member, (void)members;
    int32_t n = v->m->n_embd, parts = (v->patches + ROW_RUN - 1) / ROW_RUN;
    for (int32_t part; (part = take_part(v, parts)) >= 0;) {
        int32_t end = (part + 1) * ROW_RUN < v->patches ? (part + 1) * ROW_RUN : v->patches;
        for (int32_t r = part * ROW_RUN; r < end; r++)
            v->kernels->layer_norm(v->x + (size_t)r * (size_t)n, v->norm_w, v->norm_b, n,
                                   v->m->ln_eps, v->h + (size_t)r * (size_t)n);
    }
}

static void normalise(struct vision *v, const float *weight, const float *bias) {
    v->norm_w = weight;
    v->norm_b = bias;
    run_parts(v, norm_member);
}

/* Called with columns of k that are just complete. */
static void turn_keys(void *arg, int32_t first, int32_t count) {
    struct vision *v = arg;
    size_t n = (size_t)v->m->n_embd;
    for (int32_t column = first; column < first + count; column += COLUMN_RUN) {
        int32_t left = first + count - column;
        int32_t columns = left < COLUMN_RUN ? left : COLUMN_RUN;
        for (int32_t p = 0; p < v->patches; p++) {
            const float *from = v->k + (size_t)p * n + (size_t)column;
            float *to = v->keys + ((size_t)(p / ATTEND_GROUP) * n + (size_t)column) * ATTEND_GROUP +
                        p % ATTEND_GROUP;
            for (int32_t i = 0; i < columns; i++)
                to[(size_t)i * ATTEND_GROUP] = from[i];
        }
    }
}

/* A run of queries of one head. */
static void attend(struct vision *v, int32_t head, int32_t first, int32_t rows, float *scratch) {
    size_t n = (size_t)v->m->n_embd, column = (size_t)head * (size_t)v->m->head_dim;
    v->kernels->attend_all(&(struct attend_job){.q = v->q + (size_t)first * n + column,
                                                .keys = v->keys + column * ATTEND_GROUP,
                                                .values = v->v + column,
                                                .out = v->h + (size_t)first * n + column,
                                                .scratch = scratch,
                                                .q_stride = n,
                                                .group_stride = n * ATTEND_GROUP,
                                                .value_stride = n,
                                                .out_stride = n,
                                                .rows = rows,
                                                .n_keys = v->patches,
                                                .head_dim = v->m->head_dim,
                                                .scale = 1.0F / sqrtf((float)v->m->head_dim)});
}

static void attention_member(void *arg, int member, int members) {
    struct vision *v = arg;
    (void)members;
    size_t each = ATTEND_MAX_ROWS * attend_row_floats(v->patches);
    int32_t runs = (v->patches + QUERY_RUN - 1) / QUERY_RUN;
    for (int32_t part; (part = take_part(v, runs * v->m->n_head)) >= 0;) {
        int32_t first = part % runs * QUERY_RUN, left = v->patches - first;
        attend(v, part / runs, first, left < QUERY_RUN ? left : QUERY_RUN,
               v->scores + (size_t)member * each);
    }
}

/* Called with columns of the hidden layer that are just complete, still in the cache. */
static void gelu_columns(void *arg, int32_t first, int32_t count) {
    struct vision *v = arg;
    for (int32_t r = 0; r < v->patches; r++)
        v->kernels->gelu(v->wide + (size_t)r * (size_t)v->m->n_ff + first, count);
}

static void run_layer(struct vision *v, const struct vision_layer *l) {
    struct matmul_job qkv[3] = {
        {.w = &l->q, .bias = l->q_b, .x = v->h, .y = v->q},
        {.w = &l->k, .bias = l->k_b, .x = v->h, .y = v->k, .finish = turn_keys, .arg = v},
        {.w = &l->v, .bias = l->v_b, .x = v->h, .y = v->v}};
    struct matmul_job out = {.w = &l->out, .bias = l->out_b, .x = v->h, .y = v->x, .add = true};
    struct matmul_job up = {
        .w = &l->up, .bias = l->up_b, .x = v->h, .y = v->wide, .finish = gelu_columns, .arg = v};
    struct matmul_job down = {
        .w = &l->down, .bias = l->down_b, .x = v->wide, .y = v->x, .add = true};
    normalise(v, l->ln1_w, l->ln1_b);
    matmul_jobs(v->team, v->scratch, qkv, 3, v->patches);
    run_parts(v, attention_member);
    matmul_jobs(v->team, v->scratch, &out, 1, v->patches);
    normalise(v, l->ln2_w, l->ln2_b);
    matmul_jobs(v->team, v->scratch, &up, 1, v->patches);
    matmul_jobs(v->team, v->scratch, &down, 1, v->patches);
}

/* ---- the projector ---- */

/* h [patches][n_embd] -> wide [n_out][scale * scale * n_embd]: an output stands for a square of
 * scale x scale patches, one after the other, x fastest. */
static void shuffle(struct vision *v) {
    const struct vision_model *m = v->m;
    size_t s = (size_t)m->scale, n = (size_t)m->n_embd, grid = (size_t)m->grid;
    float *to = v->wide;
    for (size_t Y = 0; Y < grid; Y += s)
        for (size_t X = 0; X < grid; X += s)
            for (size_t dy = 0; dy < s; dy++, to += s * n)
                memcpy(to, v->h + ((Y + dy) * grid + X) * n, s * n * sizeof *to);
}

void vision_encode(struct vision *v, const float *pixels, float *out) {
    const struct vision_model *m = v->m;
    embed_patches(v, pixels);
    for (int32_t i = 0; i < m->n_layer; i++)
        run_layer(v, &m->layers[i]);
    normalise(v, m->post_ln_w, m->post_ln_b);
    shuffle(v);
    matmul(v->team, v->scratch, &m->fc, NULL, v->wide, m->n_out, out);
}
