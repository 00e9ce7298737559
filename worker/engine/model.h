/* model.h - the tensors of a text model and of a vision tower, bound by name and checked by shape.
 *
 * Both borrow from their gguf, which must outlive them. All dimensions a formula divides by are
 * non-zero, all products fit, and every tensor has the shape its hyper-parameters ask for. */
#ifndef QUIRE_ENGINE_MODEL_H
#define QUIRE_ENGINE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/gguf.h"

#define MODEL_MAX_LAYERS 256
#define MODEL_MAX_HEAD_DIM 512 /* text and vision */

/* A weight matrix: n_out rows of n_in contiguous (quantised) values; y[o] = sum_i W[o][i] x[i]. */
struct weight {
    enum quant_type type;
    int32_t n_in, n_out;
    size_t row_bytes;
    const void *data; /* NULL: absent */
    /* The same in tiles (tile.h); NULL until pack.h sets it. The text model's products read these
     */
    const uint8_t *tiles;
};

struct text_layer {
    const float *attn_norm; /* [n_embd] */
    struct weight q, k, v;  /* [n_embd -> n_head*hd], [n_embd -> n_head_kv*hd] twice */
    struct weight attn_out; /* [n_head*hd -> n_embd] */
    const float *q_bias, *k_bias, *v_bias, *attn_out_bias; /* NULL: absent */
    const float *ffn_norm;                                 /* [n_embd] */
    struct weight gate, up;                                /* [n_embd -> n_ff] */
    struct weight down;                                    /* [n_ff -> n_embd] */
    const float *gate_bias, *up_bias, *down_bias;          /* NULL: absent */
};

/* Architecture `llama`: RMSNorm, NORM rope over the whole head, SwiGLU, grouped-query attention. */
struct text_model {
    int32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab;
    int32_t n_context;                    /* positions the model was trained for */
    float rms_eps, rope_base, rope_scale; /* rope_scale multiplies positions: 1/factor */
    const float *rope_divisors;           /* [head_dim/2] or NULL: rope_freqs.weight */
    struct weight token_embd;  /* [n_embd -> n_vocab], gathered by row; padding rows left out */
    const float *output_norm;  /* [n_embd] */
    struct weight output;      /* [n_embd -> n_vocab]; token_embd again when tied */
    struct text_layer *layers; /* n_layer */
    char name[128];            /* general.name or the file's base name; printable */
    float *owned;              /* norms and biases stored as F16/BF16, expanded */
};

int text_model_bind(struct text_model *out, const struct gguf *g, struct error *e);
void text_model_release(struct text_model *m);

struct vision_layer {
    const float *ln1_w, *ln1_b, *ln2_w, *ln2_b; /* [n_embd] */
    struct weight q, k, v, out;                 /* [n_embd -> n_embd] */
    const float *q_b, *k_b, *v_b, *out_b;       /* [n_embd] */
    struct weight up, down;                     /* [n_embd -> n_ff], [n_ff -> n_embd] */
    const float *up_b, *down_b;
};

/* Projector `idefics3` on a SigLIP tower. */
struct vision_model {
    int32_t image_size, patch_size, n_embd, n_ff, n_layer, n_head, head_dim;
    int32_t grid;         /* patches along a side: image_size / patch_size, floored */
    int32_t scale;        /* pixel-shuffle factor; grid is a multiple of it */
    int32_t n_out;        /* embeddings of one tile: (grid/scale)^2 */
    int32_t projection;   /* width of an embedding: the text model's n_embd */
    int32_t longest_edge; /* of a picture; 4 * image_size when the file does not say */
    float ln_eps;
    float mean[3], std[3];              /* RGB */
    struct weight patch;                /* [3*patch^2 -> n_embd], input order channel, y, x */
    const float *patch_bias;            /* [n_embd] or NULL */
    const float *positions;             /* [grid*grid][n_embd], f32 */
    const float *post_ln_w, *post_ln_b; /* [n_embd] */
    struct weight fc;                   /* [n_embd*scale^2 -> projection] */
    struct vision_layer *layers;
    float *owned;
};

/* n_embd_text: what the projection must be, or 0 to skip that check. */
int vision_model_bind(struct vision_model *out, const struct gguf *g, int32_t n_embd_text,
                      struct error *e);
void vision_model_release(struct vision_model *m);

/* 128-bit fingerprint of what would make pages differ: architecture, names, shapes, types, samples
 * of the data, tokenizer. The same for the same file content, on any machine. */
void model_fingerprint(const struct gguf *text, const struct gguf *mmproj /* or NULL */,
                       uint8_t out[16]);

#endif
