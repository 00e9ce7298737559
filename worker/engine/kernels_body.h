/* kernels_body.h - the kernels, written once on vec16; each kernels_*.c includes it for its
 * instruction set, after defining KERNELS. */
#include "worker/engine/kernels.h"

#include <math.h>

#include "worker/engine/vec16.h"

static float exponentials(float *s, int32_t n, float highest) {
    vec16 sum = v_set1(0), top = v_set1(highest);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        vec16 e = v_exp(v_sub(v_load(s + i), top));
        v_store(s + i, e);
        sum = v_add(sum, e);
    }
    if (i < n) {
        vec16 e = v_exp(v_sub(v_load_n(s + i, n - i), top));
        v_store_n(s + i, e, n - i);
        sum = v_add(sum, v_load_n(s + i, n - i)); /* zeros past the end */
    }
    return v_sum(sum);
}

static float highest(const float *s, int32_t n) {
    vec16 top = v_set1(s[0]);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        top = v_max(top, v_load(s + i));
    float found = v_highest(top);
    for (; i < n; i++)
        found = s[i] > found ? s[i] : found;
    return found;
}

static void scale(float *s, int32_t n, float factor) {
    vec16 f = v_set1(factor);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(s + i, v_mul(v_load(s + i), f));
    for (; i < n; i++)
        s[i] *= factor;
}

/* ---- element by element ---- */

V_INLINE vec16 silu_times_16(vec16 gate, vec16 up) {
    vec16 below = v_add(v_set1(1), v_exp(v_sub(v_set1(0), gate)));
    return v_mul(v_div(gate, below), up);
}

static void silu_times(float *gate, const float *up, int32_t n) {
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(gate + i, silu_times_16(v_load(gate + i), v_load(up + i)));
    if (i < n)
        v_store_n(gate + i, silu_times_16(v_load_n(gate + i, n - i), v_load_n(up + i, n - i)),
                  n - i);
}

static void rms_norm(const float *x, const float *weight, int32_t n, float eps, float *out) {
    vec16 squares = v_set1(0);
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        vec16 a = v_load(x + i);
        squares = v_fma(a, a, squares);
    }
    if (i < n) {
        vec16 a = v_load_n(x + i, n - i);
        squares = v_fma(a, a, squares);
    }
    float factor = 1.0F / sqrtf(v_sum(squares) / (float)n + eps);
    vec16 f = v_set1(factor);
    for (i = 0; i + V_LANES <= n; i += V_LANES)
        v_store(out + i, v_mul(v_mul(v_load(x + i), f), v_load(weight + i)));
    for (; i < n; i++)
        out[i] = x[i] * factor * weight[i];
}

V_INLINE vec16 centred(const float *x, int32_t i, int32_t n, vec16 mean) { /* 0 past the end */
    if (n - i >= V_LANES)
        return v_sub(v_load(x + i), mean);
    float part[V_LANES] = {0};
    v_store_n(part, v_sub(v_load_n(x + i, n - i), mean), n - i);
    return v_load(part);
}

static void layer_norm(const float *x, const float *weight, const float *bias, int32_t n, float eps,
                       float *out) {
    vec16 sum = v_set1(0), squares = v_set1(0);
    for (int32_t i = 0; i < n; i += V_LANES)
        sum = v_add(sum, n - i >= V_LANES ? v_load(x + i) : v_load_n(x + i, n - i));
    vec16 mean = v_set1(v_sum(sum) / (float)n);
    for (int32_t i = 0; i < n; i += V_LANES) {
        vec16 a = centred(x, i, n, mean);
        squares = v_fma(a, a, squares);
    }
    vec16 factor = v_set1(1.0F / sqrtf(v_sum(squares) / (float)n + eps));
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES) {
        vec16 a = v_mul(v_sub(v_load(x + i), mean), factor);
        v_store(out + i, v_fma(a, v_load(weight + i), v_load(bias + i)));
    }
    if (i < n) {
        vec16 a = v_mul(centred(x, i, n, mean), factor);
        a = v_fma(a, v_load_n(weight + i, n - i), v_load_n(bias + i, n - i));
        v_store_n(out + i, a, n - i);
    }
}

/* (1 + tanh u) / 2 = 1 / (1 + e^-2u): no difference of near numbers, so small results stay exact */
V_INLINE vec16 gelu_16(vec16 x) {
    vec16 cubic = v_fma(v_mul(x, x), v_set1(0.044715F), v_set1(1));
    vec16 u = v_mul(v_mul(x, cubic), v_set1(-2 * 0.7978845608F));
    return v_div(x, v_add(v_set1(1), v_exp(u)));
}

static void gelu(float *x, int32_t n) {
    int32_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        v_store(x + i, gelu_16(v_load(x + i)));
    if (i < n)
        v_store_n(x + i, gelu_16(v_load_n(x + i, n - i)), n - i);
}

static void rotate(float *x, int32_t n_head, int32_t head_dim, const float *cosines,
                   const float *sines, float factor) {
    for (int32_t h = 0; h < n_head; h++, x += head_dim)
        for (int32_t i = 0; i < head_dim / 2; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = (a * cosines[i] - b * sines[i]) * factor;
            x[2 * i + 1] = (a * sines[i] + b * cosines[i]) * factor;
        }
}

const struct kernels KERNELS = {
    .exponentials = exponentials,
    .highest = highest,
    .scale = scale,
    .silu_times = silu_times,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .gelu = gelu,
    .rotate = rotate,
};
