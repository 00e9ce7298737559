/* model_text.c - hyper-parameters and tensors of architecture `llama`.
 *
 * First every number is read and held against its range, then every tensor against the numbers.
 * After that the decoder divides, indexes and multiplies without asking again. */
#include "worker/engine/bind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/gguf_inside.h"

/* Limits of this engine; products of any three of them fit in 64 bits. */
#define MAX_WIDTH 65536u /* n_embd */
#define MAX_FF 1048576u  /* n_ff */
#define MAX_HEADS 4096u
#define MAX_CONTEXT 16777216u /* positions are exact in f32 up to here */
#define MAX_VOCABULARY 16777216u

static int check_architecture(const struct gguf *g, struct error *e) {
    struct bytes arch;
    int rc = gguf_get_string(g, "general.architecture", &arch, NULL, e);
    if (rc != 0)
        return rc;
    char shown[GGUF_SHOWN_BYTES];
    if (!bytes_are(arch, "llama"))
        return error_set(e, ERR_UNSUPPORTED,
                         "the architecture is '%s'; text models of architecture 'llama' are "
                         "supported%s",
                         gguf_show(arch, shown),
                         bytes_are(arch, "clip") ? " (this file looks like the mmproj)" : "");
    uint32_t experts = 0;
    bool found;
    rc = gguf_get_u32(g, "llama.expert_count", 0, UINT16_MAX, &experts, &found, e);
    if (rc == 0 && experts > 0)
        rc = error_set(e, ERR_UNSUPPORTED,
                       "llama.expert_count is %u; mixtures of experts are not supported", experts);
    return rc;
}

static int read_heads(struct text_model *m, struct binder *b) {
    bool found;
    int rc = bind_count(b, "llama.attention.head_count", 1, MAX_HEADS, &m->n_head, NULL);
    m->n_head_kv = m->n_head;
    if (rc == 0)
        rc = bind_count(b, "llama.attention.head_count_kv", 1, MAX_HEADS, &m->n_head_kv, &found);
    if (rc != 0)
        return rc;
    if (m->n_head % m->n_head_kv != 0)
        return error_set(b->e, ERR_BAD_MODEL,
                         "llama.attention.head_count %d is not a multiple of "
                         "llama.attention.head_count_kv %d",
                         m->n_head, m->n_head_kv);
    rc = bind_count(b, "llama.attention.key_length", 2, MODEL_MAX_HEAD_DIM, &m->head_dim, &found);
    if (rc != 0)
        return rc;
    if (!found) {
        if (m->n_embd % m->n_head != 0)
            return error_set(b->e, ERR_BAD_MODEL,
                             "llama.embedding_length %d is not a multiple of "
                             "llama.attention.head_count %d",
                             m->n_embd, m->n_head);
        m->head_dim = m->n_embd / m->n_head;
    }
    if (m->head_dim % 2 != 0 || m->head_dim > MODEL_MAX_HEAD_DIM)
        return error_set(b->e, ERR_UNSUPPORTED,
                         "heads of %d values; even numbers up to %d are "
                         "supported",
                         m->head_dim, MODEL_MAX_HEAD_DIM);
    int32_t value_dim = m->head_dim;
    rc = bind_count(b, "llama.attention.value_length", 1, MAX_WIDTH, &value_dim, &found);
    if (rc == 0 && value_dim != m->head_dim)
        rc = error_set(b->e, ERR_UNSUPPORTED,
                       "llama.attention.value_length %d differs from the keys' %d", value_dim,
                       m->head_dim);
    return rc;
}

static int read_rope_scale(struct text_model *m, struct binder *b) {
    struct bytes type = {(const uint8_t *)"linear", 6};
    char shown[GGUF_SHOWN_BYTES];
    bool found;
    int rc = gguf_get_string(b->g, "llama.rope.scaling.type", &type, &found, b->e);
    if (rc != 0)
        return rc;
    m->rope_scale = 1;
    if (bytes_are(type, "none"))
        return 0;
    if (!bytes_are(type, "linear"))
        return error_set(b->e, ERR_UNSUPPORTED,
                         "llama.rope.scaling.type is '%s'; none and linear are supported",
                         gguf_show(type, shown));
    float factor = 0;
    rc = gguf_get_f32(b->g, "llama.rope.scaling.factor", &factor, &found, b->e);
    if (rc == 0 && !found)
        rc = gguf_get_f32(b->g, "llama.rope.scale_linear", &factor, &found, b->e);
    if (rc != 0 || factor == 0) /* 0 means: not scaled */
        return rc;
    if (!isfinite(factor) || factor < 0 || !isfinite(1 / factor))
        return error_set(b->e, ERR_BAD_MODEL,
                         "llama.rope.scaling.factor is %g; it must be finite and above zero",
                         (double)factor);
    m->rope_scale = 1 / factor;
    return 0;
}

static int read_rope(struct text_model *m, struct binder *b) {
    bool found;
    int32_t rotated = m->head_dim;
    int rc = bind_count(b, "llama.rope.dimension_count", 1, MAX_WIDTH, &rotated, &found);
    if (rc != 0)
        return rc;
    if (rotated != m->head_dim)
        return error_set(b->e, ERR_UNSUPPORTED,
                         "llama.rope.dimension_count is %d, but a head has %d values", rotated,
                         m->head_dim);
    m->rope_base = 10000;
    rc = bind_positive(b, "llama.rope.freq_base", &m->rope_base, &found);
    if (rc == 0)
        rc = read_rope_scale(m, b);
    if (rc == 0)
        rc = bind_optional(b, &m->rope_divisors, m->head_dim / 2, "rope_freqs.weight");
    for (int32_t i = 0; rc == 0 && m->rope_divisors != NULL && i < m->head_dim / 2; i++)
        if (m->rope_divisors[i] <= 0)
            rc = error_set(b->e, ERR_BAD_MODEL, "rope_freqs.weight holds %g at position %d",
                           (double)m->rope_divisors[i], i);
    return rc;
}

static int read_numbers(struct text_model *m, struct binder *b) {
    int rc = bind_count(b, "llama.block_count", 1, MODEL_MAX_LAYERS, &m->n_layer, NULL);
    if (rc == 0)
        rc = bind_count(b, "llama.context_length", 1, MAX_CONTEXT, &m->n_context, NULL);
    if (rc == 0)
        rc = bind_count(b, "llama.embedding_length", 1, MAX_WIDTH, &m->n_embd, NULL);
    if (rc == 0)
        rc = bind_count(b, "llama.feed_forward_length", 1, MAX_FF, &m->n_ff, NULL);
    if (rc == 0)
        rc = bind_positive(b, "llama.attention.layer_norm_rms_epsilon", &m->rms_eps, NULL);
    if (rc == 0)
        rc = read_heads(m, b);
    if (rc == 0)
        rc = read_rope(m, b);
    return rc;
}

/* The rows of token_embd and output may be padded past the vocabulary; the padding is left out, so
 * that no id without a token can ever be sampled. */
static int bind_vocabulary(struct text_model *m, struct binder *b) {
    struct gguf_array tokens;
    int rc = gguf_get_array(b->g, "tokenizer.ggml.tokens", &tokens, NULL, b->e);
    if (rc != 0)
        return rc;
    const struct gguf_tensor *t = gguf_find_tensor(b->g, "token_embd.weight");
    if (t == NULL)
        return error_set(b->e, ERR_BAD_MODEL, "the tensor token_embd.weight is missing");
    if (tokens.count == 0 || tokens.count > MAX_VOCABULARY)
        return error_set(b->e, ERR_BAD_MODEL,
                         "tokenizer.ggml.tokens has %zu entries; 1 to %u are "
                         "supported",
                         tokens.count, MAX_VOCABULARY);
    if (t->ne[1] < (int64_t)tokens.count || t->ne[1] > MAX_VOCABULARY)
        return error_set(b->e, ERR_BAD_MODEL,
                         "token_embd.weight has %lld rows, but tokenizer.ggml.tokens has %zu "
                         "entries",
                         (long long)t->ne[1], tokens.count);
    int32_t rows = (int32_t)t->ne[1];
    rc = bind_matrix(b, &m->token_embd, m->n_embd, rows, "token_embd.weight");
    if (rc == 0 && gguf_find_tensor(b->g, "output.weight") != NULL)
        rc = bind_matrix(b, &m->output, m->n_embd, rows, "output.weight");
    else if (rc == 0)
        m->output = m->token_embd;
    m->n_vocab = (int32_t)tokens.count;
    m->token_embd.n_out = m->output.n_out = m->n_vocab;
    return rc;
}

static int bind_attention(const struct text_model *m, struct text_layer *l, struct binder *b,
                          int i) {
    int32_t all = m->n_head * m->head_dim, kv = m->n_head_kv * m->head_dim;
    int rc = bind_floats(b, &l->attn_norm, m->n_embd, 1, "blk.%d.attn_norm.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->q, m->n_embd, all, "blk.%d.attn_q.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->k, m->n_embd, kv, "blk.%d.attn_k.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->v, m->n_embd, kv, "blk.%d.attn_v.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->attn_out, all, m->n_embd, "blk.%d.attn_output.weight", i);
    if (rc == 0)
        rc = bind_optional(b, &l->q_bias, all, "blk.%d.attn_q.bias", i);
    if (rc == 0)
        rc = bind_optional(b, &l->k_bias, kv, "blk.%d.attn_k.bias", i);
    if (rc == 0)
        rc = bind_optional(b, &l->v_bias, kv, "blk.%d.attn_v.bias", i);
    if (rc == 0)
        rc = bind_optional(b, &l->attn_out_bias, m->n_embd, "blk.%d.attn_output.bias", i);
    return rc;
}

static int bind_ffn(const struct text_model *m, struct text_layer *l, struct binder *b, int i) {
    int rc = bind_floats(b, &l->ffn_norm, m->n_embd, 1, "blk.%d.ffn_norm.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->gate, m->n_embd, m->n_ff, "blk.%d.ffn_gate.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->up, m->n_embd, m->n_ff, "blk.%d.ffn_up.weight", i);
    if (rc == 0)
        rc = bind_matrix(b, &l->down, m->n_ff, m->n_embd, "blk.%d.ffn_down.weight", i);
    if (rc == 0)
        rc = bind_optional(b, &l->gate_bias, m->n_ff, "blk.%d.ffn_gate.bias", i);
    if (rc == 0)
        rc = bind_optional(b, &l->up_bias, m->n_ff, "blk.%d.ffn_up.bias", i);
    if (rc == 0)
        rc = bind_optional(b, &l->down_bias, m->n_embd, "blk.%d.ffn_down.bias", i);
    return rc;
}

static int bind_tensors(struct text_model *m, struct binder *b) {
    int rc = bind_vocabulary(m, b);
    if (rc == 0)
        rc = bind_floats(b, &m->output_norm, m->n_embd, 1, "output_norm.weight");
    if (rc != 0)
        return rc;
    m->layers = calloc((size_t)m->n_layer, sizeof *m->layers);
    if (m->layers == NULL)
        return error_set(b->e, ERR_NOMEM, "out of memory for %d layers", m->n_layer);
    for (int i = 0; i < m->n_layer && rc == 0; i++) {
        rc = bind_attention(m, &m->layers[i], b, i);
        if (rc == 0)
            rc = bind_ffn(m, &m->layers[i], b, i);
    }
    return rc;
}

static void read_name(struct text_model *m, const struct gguf *g) {
    const char *path = gguf_path(g), *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    struct bytes name = {(const uint8_t *)base, strlen(base)};
    bool found;
    /* A name of another type is no reason to refuse a model. */
    (void)gguf_get_string(g, "general.name", &name, &found, NULL);
    if (name.size == 0)
        name = (struct bytes){(const uint8_t *)base, strlen(base)};
    size_t n = name.size < sizeof m->name - 1 ? name.size : sizeof m->name - 1;
    for (size_t i = 0; i < n; i++)
        m->name[i] = name.data[i] >= 0x20 && name.data[i] < 0x7f ? (char)name.data[i] : '?';
    m->name[n] = '\0';
}

/* Tensors that relatives of the architecture have and this engine does not compute: refused rather
 * than left out, which would give wrong answers without a word. */
static int refuse_foreign(const struct gguf *g, struct error *e) {
    static const char *const foreign[] = {
        "blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight",   "blk.0.attn_norm.bias",
        "blk.0.ffn_norm.bias",      "blk.0.attn_sub_norm.weight", "output.bias",
        "output_norm.bias",
    };
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        if (gguf_find_tensor(g, foreign[i]) != NULL)
            return error_set(e, ERR_UNSUPPORTED,
                             "the file has the tensor %s, which this engine does not compute",
                             foreign[i]);
    return 0;
}

int text_model_bind(struct text_model *out, const struct gguf *g, struct error *e) {
    struct binder b;
    memset(out, 0, sizeof *out);
    int rc = check_architecture(g, e);
    if (rc == 0)
        rc = refuse_foreign(g, e);
    if (rc == 0)
        rc = binder_open(&b, g, e);
    if (rc == 0) {
        out->owned = b.owned;
        rc = read_numbers(out, &b);
    }
    if (rc == 0)
        rc = bind_tensors(out, &b);
    if (rc != 0) {
        error_prefix(e, "%s", gguf_path(g));
        text_model_release(out);
        return rc;
    }
    read_name(out, g);
    return 0;
}

void text_model_release(struct text_model *m) {
    if (m == NULL)
        return;
    free(m->layers);
    free(m->owned);
    memset(m, 0, sizeof *m);
}
