/* model_vision.c - hyper-parameters and tensors of a SigLIP tower with projector `idefics3`. */
#include "worker/engine/bind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/gguf_inside.h"

#define MAX_WIDTH 16384u
#define MAX_FF 131072u
#define MAX_HEADS 1024u
#define MAX_IMAGE 4096u /* pixels along a tile's side */
#define MAX_GRID 256    /* patches along a tile's side */
#define MAX_SCALE 16u
#define MAX_PROJECTION 65536u
#define MAX_TILES_SIDE 16u /* tiles along a picture's longest edge */
#define DEFAULT_TILES_SIDE 4

/* Tensors that other towers have and this engine does not compute: refused rather than left out. */
static const char *const foreign_tensors[] = {
    "v.class_embd",
    "v.pre_ln.weight",
    "v.patch_embd.weight.1",
    "v.blk.0.attn_qkv.weight",
    "v.blk.0.attn_q_norm.weight",
    "v.blk.0.ffn_gate.weight",
    "v.blk.0.ls1.weight",
    "mm.model.fc.bias",
};

static int check_projector(const struct gguf *g, struct error *e) {
    struct bytes arch, projector = {NULL, 0};
    char shown[GGUF_SHOWN_BYTES];
    bool found;
    int rc = gguf_get_string(g, "general.architecture", &arch, NULL, e);
    if (rc != 0)
        return rc;
    if (!bytes_are(arch, "clip"))
        return error_set(e, ERR_UNSUPPORTED,
                         "the architecture is '%s'; an mmproj has the architecture 'clip'",
                         gguf_show(arch, shown));
    rc = gguf_get_string(g, "clip.projector_type", &projector, &found, e);
    if (rc == 0 && !found)
        rc = gguf_get_string(g, "clip.vision.projector_type", &projector, &found, e);
    if (rc == 0 && !found)
        rc = error_set(e, ERR_BAD_MODEL, "the key clip.projector_type is missing");
    if (rc == 0 && !bytes_are(projector, "idefics3"))
        rc = error_set(e, ERR_UNSUPPORTED, "the projector is '%s'; 'idefics3' is supported",
                       gguf_show(projector, shown));
    return rc;
}

static int check_kind(const struct gguf *g, struct error *e) {
    int rc = check_projector(g, e);
    bool sees = false, gelu = false, silu = false, found;
    if (rc == 0)
        rc = gguf_get_bool(g, "clip.has_vision_encoder", &sees, NULL, e);
    if (rc == 0)
        rc = gguf_get_bool(g, "clip.use_gelu", &gelu, &found, e);
    if (rc == 0)
        rc = gguf_get_bool(g, "clip.use_silu", &silu, &found, e);
    if (rc != 0)
        return rc;
    if (!sees)
        return error_set(e, ERR_UNSUPPORTED, "clip.has_vision_encoder is false");
    if (!gelu || silu)
        return error_set(e, ERR_UNSUPPORTED,
                         "the tower's activation is %s; clip.use_gelu must be true and "
                         "clip.use_silu false",
                         silu ? "SiLU" : "quick-GELU");
    for (size_t i = 0; i < sizeof foreign_tensors / sizeof foreign_tensors[0]; i++)
        if (gguf_find_tensor(g, foreign_tensors[i]) != NULL)
            return error_set(e, ERR_UNSUPPORTED,
                             "the file has the tensor %s, which towers of projector 'idefics3' do "
                             "not have",
                             foreign_tensors[i]);
    return 0;
}

static int read_sizes(struct vision_model *m, struct binder *b) {
    int rc = bind_count(b, "clip.vision.image_size", 1, MAX_IMAGE, &m->image_size, NULL);
    if (rc == 0)
        rc = bind_count(b, "clip.vision.patch_size", 1, (uint32_t)m->image_size, &m->patch_size,
                        NULL);
    if (rc == 0)
        rc = bind_count(b, "clip.vision.projector.scale_factor", 1, MAX_SCALE, &m->scale, NULL);
    if (rc != 0)
        return rc;
    m->grid = m->image_size / m->patch_size;
    if (m->grid > MAX_GRID)
        return error_set(b->e, ERR_UNSUPPORTED, "%d patches along a side; up to %d are supported",
                         m->grid, MAX_GRID);
    if (m->grid % m->scale != 0)
        return error_set(b->e, ERR_BAD_MODEL,
                         "%d patches along a side (clip.vision.image_size %d / "
                         "clip.vision.patch_size %d) are not a multiple of "
                         "clip.vision.projector.scale_factor %d",
                         m->grid, m->image_size, m->patch_size, m->scale);
    m->n_out = (m->grid / m->scale) * (m->grid / m->scale);
    /* Files from before this key have it in the processor's settings only; every model of the
     * family cuts its longest edge into four tiles. */
    m->longest_edge = m->image_size * DEFAULT_TILES_SIDE;
    bool found;
    return bind_count(b, "clip.vision.preproc_image_size", 1,
                      (uint32_t)m->image_size * MAX_TILES_SIDE, &m->longest_edge, &found);
}

static int read_widths(struct vision_model *m, struct binder *b) {
    bool found;
    int rc = bind_count(b, "clip.vision.embedding_length", 1, MAX_WIDTH, &m->n_embd, NULL);
    if (rc == 0)
        rc = bind_count(b, "clip.vision.block_count", 1, MODEL_MAX_LAYERS, &m->n_layer, NULL);
    if (rc == 0)
        rc = bind_count(b, "clip.vision.projection_dim", 1, MAX_PROJECTION, &m->projection, NULL);
    if (rc == 0)
        rc = bind_count(b, "clip.vision.attention.head_count", 1, MAX_HEADS, &m->n_head, NULL);
    if (rc == 0)
        rc = bind_positive(b, "clip.vision.attention.layer_norm_epsilon", &m->ln_eps, NULL);
    if (rc == 0) /* 0 in files of old converters: then the tensors say */
        rc = bind_count(b, "clip.vision.feed_forward_length", 0, MAX_FF, &m->n_ff, &found);
    if (rc != 0)
        return rc;
    if (m->n_embd % m->n_head != 0)
        return error_set(b->e, ERR_BAD_MODEL,
                         "clip.vision.embedding_length %d is not a multiple of "
                         "clip.vision.attention.head_count %d",
                         m->n_embd, m->n_head);
    m->head_dim = m->n_embd / m->n_head;
    if (m->head_dim > MODEL_MAX_HEAD_DIM)
        return error_set(b->e, ERR_UNSUPPORTED, "heads of %d values; up to %d are supported",
                         m->head_dim, MODEL_MAX_HEAD_DIM);
    return 0;
}

static int read_colour(struct binder *b, const char *key, float out[3]) {
    struct gguf_array a;
    int rc = gguf_get_array(b->g, key, &a, NULL, b->e);
    if (rc != 0)
        return rc;
    if (a.element_type != GGUF_TYPE_F32 || a.count != 3)
        return error_set(b->e, ERR_BAD_MODEL, "the key %s must be an array of three f32", key);
    for (size_t i = 0; i < 3; i++) {
        out[i] = gguf_array_f32(&a, i);
        if (!isfinite(out[i]))
            return error_set(b->e, ERR_BAD_MODEL, "the key %s holds %g", key, (double)out[i]);
    }
    return 0;
}

static int read_colours(struct vision_model *m, struct binder *b) {
    int rc = read_colour(b, "clip.vision.image_mean", m->mean);
    if (rc == 0)
        rc = read_colour(b, "clip.vision.image_std", m->std);
    for (int i = 0; i < 3 && rc == 0; i++)
        if (m->std[i] <= 0)
            rc = error_set(b->e, ERR_BAD_MODEL,
                           "the key clip.vision.image_std holds %g; it must "
                           "be above zero",
                           (double)m->std[i]);
    return rc;
}

/* ne = [p, p, 3, n_embd]: a row is one output's kernel, x fastest, then y, then channel. */
static int bind_patch(struct vision_model *m, struct binder *b) {
    const struct gguf_tensor *t = gguf_find_tensor(b->g, "v.patch_embd.weight");
    if (t == NULL)
        return error_set(b->e, ERR_BAD_MODEL, "the tensor v.patch_embd.weight is missing");
    if (t->ne[0] != m->patch_size || t->ne[1] != m->patch_size || t->ne[2] != 3 ||
        t->ne[3] != m->n_embd)
        return error_set(b->e, ERR_BAD_MODEL,
                         "the tensor v.patch_embd.weight has the shape [%lld, %lld, %lld, %lld], "
                         "but [%d, %d, 3, %d] is needed",
                         (long long)t->ne[0], (long long)t->ne[1], (long long)t->ne[2],
                         (long long)t->ne[3], m->patch_size, m->patch_size, m->n_embd);
    int32_t n_in = 3 * m->patch_size * m->patch_size;
    m->patch = (struct weight){.type = t->type,
                               .n_in = n_in,
                               .n_out = m->n_embd,
                               .row_bytes = quant_row_bytes(t->type, (size_t)n_in),
                               .data = t->data};
    return bind_optional(b, &m->patch_bias, m->n_embd, "v.patch_embd.bias");
}

/* Old converters called the wide matrix ffn_down and the narrow one ffn_up. The reference tells by
 * the first dimension of ffn_down, and so does this. */
static int bind_ffn(struct vision_model *m, struct vision_layer *l, struct binder *b, int i) {
    char name[64];
    (void)snprintf(name, sizeof name, "v.blk.%d.ffn_down.weight", i);
    const struct gguf_tensor *t = gguf_find_tensor(b->g, name);
    if (t == NULL)
        return error_set(b->e, ERR_BAD_MODEL, "the tensor %s is missing", name);
    bool swapped = t->ne[0] == m->n_embd;
    const char *up = swapped ? "down" : "up", *down = swapped ? "up" : "down";
    if (m->n_ff == 0) {
        int64_t wide = swapped ? t->ne[1] : t->ne[0];
        if (wide > (int64_t)MAX_FF)
            return error_set(b->e, ERR_UNSUPPORTED,
                             "the tensor %s is %lld wide; up to %u is "
                             "supported",
                             name, (long long)wide, MAX_FF);
        m->n_ff = (int32_t)wide;
    }
    int rc = bind_matrix(b, &l->up, m->n_embd, m->n_ff, "v.blk.%d.ffn_%s.weight", i, up);
    if (rc == 0)
        rc = bind_matrix(b, &l->down, m->n_ff, m->n_embd, "v.blk.%d.ffn_%s.weight", i, down);
    if (rc == 0)
        rc = bind_floats(b, &l->up_b, m->n_ff, 1, "v.blk.%d.ffn_%s.bias", i, up);
    if (rc == 0)
        rc = bind_floats(b, &l->down_b, m->n_embd, 1, "v.blk.%d.ffn_%s.bias", i, down);
    return rc;
}

static int bind_layer(struct vision_model *m, struct vision_layer *l, struct binder *b, int i) {
    const struct {
        const char *name;
        struct weight *w;
        const float **bias;
    } squares[] = {{"attn_q", &l->q, &l->q_b},
                   {"attn_k", &l->k, &l->k_b},
                   {"attn_v", &l->v, &l->v_b},
                   {"attn_out", &l->out, &l->out_b}};
    const struct {
        const char *name;
        const float **out;
    } norms[] = {{"ln1.weight", &l->ln1_w},
                 {"ln1.bias", &l->ln1_b},
                 {"ln2.weight", &l->ln2_w},
                 {"ln2.bias", &l->ln2_b}};
    int rc = 0;
    for (size_t k = 0; k < 4 && rc == 0; k++)
        rc = bind_floats(b, norms[k].out, m->n_embd, 1, "v.blk.%d.%s", i, norms[k].name);
    for (size_t k = 0; k < 4 && rc == 0; k++) {
        rc = bind_matrix(b, squares[k].w, m->n_embd, m->n_embd, "v.blk.%d.%s.weight", i,
                         squares[k].name);
        if (rc == 0)
            rc = bind_floats(b, squares[k].bias, m->n_embd, 1, "v.blk.%d.%s.bias", i,
                             squares[k].name);
    }
    return rc != 0 ? rc : bind_ffn(m, l, b, i);
}

static int bind_tensors(struct vision_model *m, struct binder *b) {
    int rc = bind_patch(m, b);
    if (rc == 0)
        rc = bind_floats(b, &m->positions, m->n_embd, m->grid * m->grid, "v.position_embd.weight");
    if (rc == 0)
        rc = bind_floats(b, &m->post_ln_w, m->n_embd, 1, "v.post_ln.weight");
    if (rc == 0)
        rc = bind_floats(b, &m->post_ln_b, m->n_embd, 1, "v.post_ln.bias");
    if (rc == 0)
        rc = bind_matrix(b, &m->fc, m->n_embd * m->scale * m->scale, m->projection,
                         "mm.model.fc.weight");
    if (rc != 0)
        return rc;
    m->layers = calloc((size_t)m->n_layer, sizeof *m->layers);
    if (m->layers == NULL)
        return error_set(b->e, ERR_NOMEM, "out of memory for %d layers", m->n_layer);
    for (int i = 0; i < m->n_layer && rc == 0; i++)
        rc = bind_layer(m, &m->layers[i], b, i);
    return rc;
}

static int bind_all(struct vision_model *m, struct binder *b, int32_t n_embd_text) {
    int rc = read_sizes(m, b);
    if (rc == 0)
        rc = read_widths(m, b);
    if (rc == 0)
        rc = read_colours(m, b);
    if (rc == 0 && n_embd_text != 0 && m->projection != n_embd_text)
        rc = error_set(b->e, ERR_BAD_MODEL,
                       "clip.vision.projection_dim is %d, but the text model's width is %d; the "
                       "two files do not belong together",
                       m->projection, n_embd_text);
    return rc != 0 ? rc : bind_tensors(m, b);
}

int vision_model_bind(struct vision_model *out, const struct gguf *g, int32_t n_embd_text,
                      struct error *e) {
    struct binder b;
    memset(out, 0, sizeof *out);
    int rc = check_kind(g, e);
    if (rc == 0)
        rc = binder_open(&b, g, e);
    if (rc == 0) {
        out->owned = b.owned;
        rc = bind_all(out, &b, n_embd_text);
    }
    if (rc != 0) {
        error_prefix(e, "%s", gguf_path(g));
        vision_model_release(out);
    }
    return rc;
}

void vision_model_release(struct vision_model *m) {
    if (m == NULL)
        return;
    free(m->layers);
    free(m->owned);
    memset(m, 0, sizeof *m);
}
