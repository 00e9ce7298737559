/* smolvlm_shape.h - the keys and tensors of SmolVLM-like pairs of chosen size, written to a
 * gguf_writer, and random data for them.
 *
 * The layout is what converters give the real models, with a made-up vocabulary that any reader of
 * byte-level BPE accepts. Data comes from a counter-based generator: the same seed gives the same
 * file on any machine. Only plain words have an output row that is not zero, so that whatever such
 * a model says can be shown. */
#ifndef QUIRE_TESTS_SUPPORT_SMOLVLM_SHAPE_H
#define QUIRE_TESTS_SUPPORT_SMOLVLM_SHAPE_H

#include <stdint.h>

#include "tests/support/gguf_writer.h"
#include "worker/engine/quant.h"

struct smolvlm_shape {
    const char *name;
    int32_t n_layer, n_embd, n_head, n_head_kv, n_ff, n_vocab, n_context;
    float rope_base;
    int32_t v_layer, v_embd, v_head, v_ff, patch, image, scale, longest_edge;
};

/* "micro", "tiny", "256m", "500m", "2b", "wide" (2048, with a small tower); NULL for others. */
const struct smolvlm_shape *smolvlm_shape(const char *name);

/* weights: F16, Q8_0, Q4_0 or Q4_K for matrices whose rows are whole blocks (F16 for the others).
 * With Q4_0 the output matrix is Q8_0, with Q4_K it is Q6_K; towers are F16 then. */
void smolvlm_put_text(struct gguf_writer *w, const struct smolvlm_shape *s,
                      enum quant_type weights);
void smolvlm_put_mmproj(struct gguf_writer *w, const struct smolvlm_shape *s,
                        enum quant_type weights);

/* Fills the data section (w->data_bytes at data) of a writer that one of the two above filled. */
void smolvlm_fill(const struct gguf_writer *w, const struct smolvlm_shape *s, uint64_t seed,
                  uint8_t *data);

#endif
