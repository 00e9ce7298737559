/* vision.c - a SigLIP tower of pre-norm blocks and the idefics3 projector, step by step.
 *
 * Every step is a round of the team, cut into parts (panels of weights, heads times runs of
 * queries, rows) that each have outputs of their own. A tower that is told to stop remembers the
 * step and the parts that are left. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/must.h"
#include "worker/engine/vision_inside.h"

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t scores_floats(const struct vision *v) {
    return (size_t)team_size(v->team) * SCORE_ROWS * v->score_stride;
}

static size_t keys_floats(const struct vision *v) {
    return (size_t)v->most_tiles * (size_t)v->key_groups * GEMM_OUTPUTS * (size_t)v->m->n_embd;
}

int32_t vision_tiles(const struct vision *v) {
    return v->most_tiles;
}

static size_t rows_most(const struct vision *v) {
    return (size_t)v->most_tiles * (size_t)v->patches;
}

static float *floats(size_t n) {
    return aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64);
}

static int take_memory(struct vision *v) {
    v->x = floats(rows_most(v) * (size_t)v->m->n_embd);
    v->h = floats(rows_most(v) * v->embd_stride);
    v->wide = floats(rows_most(v) * v->wide_floats);
    v->scores = floats(scores_floats(v));
    v->keys = floats(keys_floats(v));
    if (v->x == NULL || v->h == NULL || v->wide == NULL || v->scores == NULL || v->keys == NULL)
        return ERR_NOMEM;
    v->q = v->wide;
    v->v = v->q + rows_most(v) * v->embd_stride;
    return 0;
}

int vision_open(struct vision **out, const struct vision_model *m, struct team *t,
                struct error *e) {
    return vision_open_for(out, quant_isa_chosen(), m, t, e);
}

int vision_open_for(struct vision **out, enum quant_isa isa, const struct vision_model *m,
                    struct team *t, struct error *e) {
    *out = NULL;
    struct vision *v = calloc(1, sizeof *v);
    if (v == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a vision tower");
    v->m = m;
    v->team = t;
    v->kernels = kernels_of(isa);
    v->gemm = gemm_kernel_of(isa);
    v->most_tiles = (int32_t)most(1, (size_t)team_size(t) / VISION_MEMBERS_PER_TILE);
    v->most_tiles = v->most_tiles < VISION_TILES_MAX ? v->most_tiles : VISION_TILES_MAX;
    v->patches = m->grid * m->grid;
    v->key_groups = (v->patches + GEMM_OUTPUTS - 1) / GEMM_OUTPUTS;
    v->pixel_stride = (size_t)m->patch.n_in + ROW_PAD;
    v->embd_stride = (size_t)m->n_embd + ROW_PAD;
    v->ff_stride = (size_t)m->n_ff + ROW_PAD;
    v->wide_floats = most(most(v->pixel_stride, v->ff_stride), 2 * v->embd_stride);
    v->score_stride = (size_t)v->key_groups * GEMM_OUTPUTS + ROW_PAD;
    int32_t longest = (int32_t)most(most((size_t)m->patch.n_in, (size_t)m->n_ff),
                                    (size_t)most((size_t)m->fc.n_in, (size_t)m->n_embd));
    int code = panels_open(&v->panels, isa, t, longest, e);
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
    panels_close(v->panels);
    free(v->x);
    free(v->h);
    free(v->wide);
    free(v->keys);
    free(v->scores);
    free(v);
}

size_t vision_scratch_bytes(const struct vision *v) {
    size_t row = (size_t)v->m->n_embd + v->embd_stride + v->wide_floats;
    size_t panels = v->panels ? panels_bytes(v->panels) : 0;
    return sizeof *v + panels +
           (rows_most(v) * row + keys_floats(v) + scores_floats(v)) * sizeof(float);
}

/* ---- the steps ---- */

enum layer_step { NORM_1, QKV, ATTEND, OUT, NORM_2, UP, DOWN, LAYER_STEPS };

static void begin_products(struct vision *v, const struct panels_job *jobs, int n, int32_t rows) {
    round_begin(&v->round, panels_begin(v->panels, jobs, n, rows), panels_part, v->panels);
}

static void begin_product(struct vision *v, struct panels_job job) {
    begin_products(v, &job, 1, vision_rows(v));
}

static void begin_norm(struct vision *v, const float *weight, const float *bias) {
    v->norm_w = weight;
    v->norm_b = bias;
    round_begin(&v->round, vision_norm_parts(v), vision_norm_part, v);
}

static void begin_qkv(struct vision *v, const struct vision_layer *l) {
    size_t stride = v->embd_stride;
    struct panels_job jobs[3] = {
        {.w = &l->q, .bias = l->q_b, .y = v->q, .each = vision_scale_queries},
        {.w = &l->k, .bias = l->k_b, .each = vision_turn_keys},
        {.w = &l->v, .bias = l->v_b, .y = v->v}};
    for (int i = 0; i < 3; i++) {
        jobs[i].x = v->h;
        jobs[i].x_stride = jobs[i].y_stride = stride;
        jobs[i].arg = v;
    }
    begin_products(v, jobs, 3, vision_rows(v));
}

static void begin_layer_step(struct vision *v, const struct vision_layer *l, enum layer_step step) {
    size_t n = (size_t)v->m->n_embd;
    struct panels_job out = {.w = &l->out,
                             .bias = l->out_b,
                             .x = v->h,
                             .x_stride = v->embd_stride,
                             .y = v->x,
                             .y_stride = n,
                             .add = true};
    struct panels_job up = {.w = &l->up,
                            .bias = l->up_b,
                            .x = v->h,
                            .x_stride = v->embd_stride,
                            .y = v->wide,
                            .y_stride = v->ff_stride,
                            .each = vision_gelu,
                            .arg = v};
    struct panels_job down = {.w = &l->down,
                              .bias = l->down_b,
                              .x = v->wide,
                              .x_stride = v->ff_stride,
                              .y = v->x,
                              .y_stride = n,
                              .add = true};
    switch (step) {
    case NORM_1:
        begin_norm(v, l->ln1_w, l->ln1_b);
        break;
    case QKV:
        begin_qkv(v, l);
        break;
    case ATTEND:
        round_begin(&v->round, vision_attend_parts(v), vision_attend_part, v);
        break;
    case OUT:
        begin_product(v, out);
        break;
    case NORM_2:
        begin_norm(v, l->ln2_w, l->ln2_b);
        break;
    case UP:
        begin_product(v, up);
        break;
    case DOWN:
        begin_product(v, down);
        break;
    case LAYER_STEPS:
        break;
    }
}

/* Step 0 makes the residual stream; then come the layers'; then these. */
enum last_step { POST_NORM, SHUFFLE, PROJECT, LAST_STEPS };

static int32_t count_steps(const struct vision *v) {
    return 1 + v->m->n_layer * LAYER_STEPS + LAST_STEPS;
}

static void begin_last_step(struct vision *v, enum last_step step) {
    const struct vision_model *m = v->m;
    struct panels_job fc = {.w = &m->fc,
                            .x = v->wide,
                            .x_stride = vision_shuffle_stride(v),
                            .y = v->out,
                            .y_stride = (size_t)m->projection};
    switch (step) {
    case POST_NORM:
        begin_norm(v, m->post_ln_w, m->post_ln_b);
        break;
    case SHUFFLE:
        round_begin(&v->round, vision_shuffle_parts(v), vision_shuffle_part, v);
        break;
    case PROJECT:
        begin_products(v, &fc, 1, v->tiles * m->n_out);
        break;
    case LAST_STEPS:
        break;
    }
}

static void begin_step(struct vision *v, int32_t step) {
    const struct vision_model *m = v->m;
    int32_t in_layers = step - 1, after = in_layers - m->n_layer * LAYER_STEPS;
    if (step == 0)
        begin_product(v, (struct panels_job){.w = &m->patch,
                                             .bias = m->patch_bias,
                                             .x = v->wide,
                                             .x_stride = v->pixel_stride,
                                             .y = v->x,
                                             .y_stride = (size_t)m->n_embd,
                                             .add = true});
    else if (after < 0)
        begin_layer_step(v, &m->layers[in_layers / LAYER_STEPS],
                         (enum layer_step)(in_layers % LAYER_STEPS));
    else
        begin_last_step(v, (enum last_step)after);
}

/* ---- tiles ---- */

void vision_begin(struct vision *v) {
    v->tiles = v->step = 0;
    v->begun = false;
}

void vision_add(struct vision *v, const float *pixels) {
    MUST(v->tiles < v->most_tiles && v->step == 0 && !v->begun);
    size_t floats = (size_t)v->patches * (size_t)v->m->n_embd;
    memcpy(v->x + (size_t)v->tiles * floats, v->m->positions, floats * sizeof *v->x);
    v->tiles++;
    v->pixels = pixels;
    round_begin(&v->round, vision_gather_parts(v), vision_gather_part, v);
    (void)round_advance(&v->round, v->team, 0);
}

bool vision_advance(struct vision *v, float *out, int64_t budget_us) {
    MUST(v->tiles > 0);
    int64_t deadline_us = budget_us > 0 ? clock_us() + budget_us : 0;
    v->out = out;
    while (v->step < count_steps(v)) {
        if (!v->begun)
            begin_step(v, v->step);
        v->begun = true;
        if (!round_advance(&v->round, v->team, deadline_us))
            return false;
        v->step++;
        v->begun = false;
        if (deadline_us > 0 && clock_us() >= deadline_us)
            break;
    }
    return v->step == count_steps(v);
}

void vision_encode(struct vision *v, const float *pixels, float *out) {
    vision_begin(v);
    vision_add(v, pixels);
    (void)vision_advance(v, out, 0);
}
