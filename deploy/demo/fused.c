/* fused.c - the elementwise steps of training, each in one pass over memory.
 *
 * PyTorch on a CPU spends more time in these than in matrix products, one pass for every operator.
 * fused.py compiles this file with -O3 -march=native and calls it on tensors' memory. What goes into and
 * comes out of matrix products is of type `number`: bfloat16, the upper halves of floats, rounded to
 * nearest even; or float where -DFLOAT32 says so. Rows are independent. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef FLOAT32
typedef float number;

static inline float widen(number x) { return x; }
static inline number narrow(float x) { return x; }
#else
typedef uint16_t number;

static inline float widen(number h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline number narrow(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return (number)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
#endif

/* The bounds keep -ffast-math away from infinities, which it may turn into anything. */
static inline float bound(float x, float limit) {
    return x < -limit ? -limit : x > limit ? limit : x;
}

static inline float sigmoid(float x) {
    x = bound(x, 60);
    return 1.0f / (1.0f + expf(-x));
}

#define GELU_A 1.5957691216f /* 2 sqrt(2/pi) */
#define GELU_B (1.5957691216f * 0.044715f)

/* y = gelu(x), the tanh form, which is x sigmoid(A x + B x^3) */
void gelu(const number *x, number *y, long n) {
    for (long i = 0; i < n; i++) {
        float v = bound(widen(x[i]), 100);
        y[i] = narrow(v * sigmoid(v * (GELU_A + GELU_B * v * v)));
    }
}

void gelu_back(const number *x, const number *dy, number *dx, long n) {
    for (long i = 0; i < n; i++) {
        float v = bound(widen(x[i]), 100), s = sigmoid(v * (GELU_A + GELU_B * v * v));
        dx[i] = narrow(widen(dy[i]) * s * (1 + v * (GELU_A + 3 * GELU_B * v * v) * (1 - s)));
    }
}

/* y = silu(g) u */
void swiglu(const number *g, const number *u, number *y, long n) {
    for (long i = 0; i < n; i++) {
        float v = widen(g[i]);
        y[i] = narrow(v * sigmoid(v) * widen(u[i]));
    }
}

void swiglu_back(const number *g, const number *u, const number *dy, number *dg, number *du, long n) {
    for (long i = 0; i < n; i++) {
        float v = widen(g[i]), s = sigmoid(v), d = widen(dy[i]);
        du[i] = narrow(d * v * s);
        dg[i] = narrow(d * widen(u[i]) * s * (1 + v * (1 - s)));
    }
}

/* y = rmsnorm(x) w; scale[row] is kept for the way back */
void rms(const float *x, const float *w, number *y, float *scale, long rows, long n, float eps) {
    for (long r = 0; r < rows; r++, x += n, y += n) {
        float sum = 0;
        for (long i = 0; i < n; i++)
            sum += x[i] * x[i];
        float s = 1.0f / sqrtf(sum / (float)n + eps);
        scale[r] = s;
        for (long i = 0; i < n; i++)
            y[i] = narrow(x[i] * s * w[i]);
    }
}

void rms_back(const float *x, const float *w, const number *dy, const float *scale, float *dx, float *dw,
              long rows, long n) {
    for (long r = 0; r < rows; r++, x += n, dy += n, dx += n) {
        float s = scale[r], dot = 0;
        for (long i = 0; i < n; i++) {
            float d = widen(dy[i]);
            dot += d * w[i] * x[i];
            dw[i] += d * x[i] * s;
        }
        float c = dot * s * s * s / (float)n;
        for (long i = 0; i < n; i++)
            dx[i] = widen(dy[i]) * w[i] * s - x[i] * c;
    }
}

/* y = layernorm(x) w + b; mean[row] and scale[row] are kept */
void layer(const float *x, const float *w, const float *b, number *y, float *mean, float *scale, long rows,
           long n, float eps) {
    for (long r = 0; r < rows; r++, x += n, y += n) {
        float sum = 0, squares = 0;
        for (long i = 0; i < n; i++)
            sum += x[i];
        float m = sum / (float)n;
        for (long i = 0; i < n; i++)
            squares += (x[i] - m) * (x[i] - m);
        float s = 1.0f / sqrtf(squares / (float)n + eps);
        mean[r] = m;
        scale[r] = s;
        for (long i = 0; i < n; i++)
            y[i] = narrow((x[i] - m) * s * w[i] + b[i]);
    }
}

void layer_back(const float *x, const float *w, const number *dy, const float *mean, const float *scale,
                float *dx, float *dw, float *db, long rows, long n) {
    for (long r = 0; r < rows; r++, x += n, dy += n, dx += n) {
        float m = mean[r], s = scale[r], sum = 0, dot = 0;
        for (long i = 0; i < n; i++) {
            float d = widen(dy[i]), z = (x[i] - m) * s;
            sum += d * w[i];
            dot += d * w[i] * z;
            dw[i] += d * z;
            db[i] += d;
        }
        sum /= (float)n;
        dot /= (float)n;
        for (long i = 0; i < n; i++)
            dx[i] = s * (widen(dy[i]) * w[i] - sum - (x[i] - m) * s * dot);
    }
}

/* Splits rows [batch*n][heads*d] into [batch*heads][n][d], turning pairs (i, i + d/2) of position p by
 * cos/sin[p][d/2] on the way (sign -1 turns back); cos NULL: no turning. */
void split_turn(const number *x, number *y, const float *cosines, const float *sines, long batch, long n,
                long heads, long d, long stride) {
    long half = d / 2;
    for (long b = 0; b < batch; b++)
        for (long p = 0; p < n; p++)
            for (long h = 0; h < heads; h++) {
                const number *in = x + (b * n + p) * stride + h * d;
                number *out = y + ((b * heads + h) * n + p) * d;
                const float *c = cosines + p * half, *s = sines + p * half;
                for (long i = 0; i < half; i++) {
                    float u = widen(in[i]), v = widen(in[i + half]);
                    out[i] = narrow(u * c[i] - v * s[i]);
                    out[i + half] = narrow(u * s[i] + v * c[i]);
                }
            }
}

/* The way back of split_turn. */
void join_turn(const number *dy, number *dx, const float *cosines, const float *sines, long batch, long n,
               long heads, long d, long stride) {
    long half = d / 2;
    for (long b = 0; b < batch; b++)
        for (long p = 0; p < n; p++)
            for (long h = 0; h < heads; h++) {
                number *out = dx + (b * n + p) * stride + h * d;
                const number *in = dy + ((b * heads + h) * n + p) * d;
                const float *c = cosines + p * half, *s = sines + p * half;
                for (long i = 0; i < half; i++) {
                    float u = widen(in[i]), v = widen(in[i + half]);
                    out[i] = narrow(u * c[i] + v * s[i]);
                    out[i + half] = narrow(v * c[i] - u * s[i]);
                }
            }
}

/* z = x + y */
void add(const float *x, const number *y, float *z, long n) {
    for (long i = 0; i < n; i++)
        z[i] = x[i] + widen(y[i]);
}
