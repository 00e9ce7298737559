/* kernels.h - the inner loops, once for each instruction set, and the choice among them. */
#ifndef QUIRE_ENGINE_KERNELS_H
#define QUIRE_ENGINE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "worker/engine/quant_inside.h"

struct kernels {
    /* s[i] = exp(s[i] - highest); returns their sum */
    float (*exponentials)(float *s, int32_t n, float highest);
    float (*highest)(const float *s, int32_t n); /* n >= 1 */
    void (*scale)(float *s, int32_t n, float factor);
    /* gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i] */
    void (*silu_times)(float *gate, const float *up, int32_t n);
    /* out = x / sqrt(mean(x^2) + eps) * weight */
    void (*rms_norm)(const float *x, const float *weight, int32_t n, float eps, float *out);
    /* pairs (x[2i], x[2i+1]) of each of n_head heads turned by angle i and made longer by factor */
    void (*rotate)(float *x, int32_t n_head, int32_t head_dim, const float *cosines,
                   const float *sines, float factor);
    /* out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, int32_t n, float eps,
                       float *out);
    /* x[i] = x[i] / 2 * (1 + tanh(sqrt(2/pi) * (x[i] + 0.044715 x[i]^3))), within 1e-6 */
    void (*gelu)(float *x, int32_t n);
};

const struct kernels *kernels_of(enum quant_isa isa); /* falls back to lesser sets */
const struct kernels *kernels_chosen(void);           /* of quant_isa_chosen() */

extern const struct kernels kernels_portable, kernels_avx2, kernels_avx512;

#endif
