/* vec16_plain.h - vec16.h in plain C, on the compiler's vectors of four floats, which every target
 * has in one form or another.
 *
 * Arithmetic is inlined. What takes lanes apart is called: the kernels use it in many places, and
 * copies in all of them would cost minutes of compiling for a path that is not the fast one. */
#ifndef QUIRE_ENGINE_VEC16_PLAIN_H
#define QUIRE_ENGINE_VEC16_PLAIN_H

#define V_CALL static __attribute__((noinline, unused))
#define V_PARTS 4

typedef float vec4 __attribute__((vector_size(16)));
typedef int32_t vec4i __attribute__((vector_size(16)));
typedef uint32_t vec4u __attribute__((vector_size(16)));
typedef double vec4d __attribute__((vector_size(32)));
typedef int64_t vec4l __attribute__((vector_size(32)));
typedef struct {
    vec4 part[V_PARTS];
} vec16;

V_INLINE vec16 v_set1(float f) {
    vec4 four = {f, f, f, f};
    return (vec16){{four, four, four, four}};
}
V_INLINE vec16 v_load(const float *p) {
    vec16 r;
    memcpy(&r, p, sizeof r);
    return r;
}
V_CALL vec16 v_load_n(const float *p, int32_t n) { /* the rest is zero */
    float lane[V_LANES] = {0};
    memcpy(lane, p, (size_t)n * sizeof *p);
    return v_load(lane);
}
V_INLINE void v_store(float *p, vec16 a) {
    memcpy(p, &a, sizeof a);
}
V_INLINE void v_store_n(float *p, vec16 a, int32_t n) {
    memcpy(p, &a, (size_t)n * sizeof *p);
}
V_INLINE vec16 v_add(vec16 a, vec16 b) {
    for (int i = 0; i < V_PARTS; i++)
        a.part[i] += b.part[i];
    return a;
}
V_INLINE vec16 v_sub(vec16 a, vec16 b) {
    for (int i = 0; i < V_PARTS; i++)
        a.part[i] -= b.part[i];
    return a;
}
V_INLINE vec16 v_mul(vec16 a, vec16 b) {
    for (int i = 0; i < V_PARTS; i++)
        a.part[i] *= b.part[i];
    return a;
}
V_INLINE vec16 v_div(vec16 a, vec16 b) {
    for (int i = 0; i < V_PARTS; i++)
        a.part[i] /= b.part[i];
    return a;
}
V_INLINE vec4 v_choose(vec4i first, vec4 a, vec4 b) {
    return (vec4)((first & (vec4i)a) | (~first & (vec4i)b));
}
V_INLINE vec16 v_max(vec16 a, vec16 b) {
    for (int i = 0; i < V_PARTS; i++)
        a.part[i] = v_choose(a.part[i] > b.part[i], a.part[i], b.part[i]);
    return a;
}
V_INLINE vec16 v_min(vec16 a, vec16 b) {
    for (int i = 0; i < V_PARTS; i++)
        a.part[i] = v_choose(a.part[i] < b.part[i], a.part[i], b.part[i]);
    return a;
}
/* a * b + c rounded once. In double the product is exact and the sum is wrong by a rest that can be
 * told exactly; a sum whose last bit is even is moved to the odd number on the side of the rest, so
 * that rounding it to float gives what rounding the true sum gives. */
V_INLINE vec4 v_fma4(vec4 a, vec4 b, vec4 c) {
    vec4d p = __builtin_convertvector(a, vec4d) * __builtin_convertvector(b, vec4d);
    vec4d q = __builtin_convertvector(c, vec4d), s = p + q, z = s - p;
    vec4d rest = (p - (s - z)) + (q - z), none = {0, 0, 0, 0};
    vec4l away = (rest > none) ^ (s < none); /* -1: the true sum is larger in magnitude */
    vec4l even = ~(vec4l)s & ((rest > none) | (rest < none)) & 1;
    vec4l moved = (vec4l)s + (even & away) - (even & ~away);
    return __builtin_convertvector((vec4d)moved, vec4);
}
V_CALL vec16 v_fma(vec16 a, vec16 b, vec16 c) {
    for (int i = 0; i < V_PARTS; i++)
        c.part[i] = v_fma4(a.part[i], b.part[i], c.part[i]);
    return c;
}
V_INLINE vec16 v_round(vec16 a) { /* |a| < 2^22, which v_exp has seen to */
    vec16 shift = v_set1(12582912.0F);
    return v_sub(v_add(a, shift), shift);
}
V_CALL vec16 v_power_of_two(vec16 n) { /* n whole, -126..127 */
    float lane[V_LANES];
    v_store(lane, n);
    for (int i = 0; i < V_LANES; i++) {
        uint32_t bits = (uint32_t)((int32_t)lane[i] + 127) << 23;
        memcpy(&lane[i], &bits, sizeof bits);
    }
    return v_load(lane);
}
/* p * 2^n; n: the lowest bits of shifted, which is n + 1.5 * 2^23 */
V_INLINE vec16 v_times_power(vec16 p, vec16 shifted) {
    for (int i = 0; i < V_PARTS; i++)
        p.part[i] = (vec4)((vec4u)p.part[i] + ((vec4u)shifted.part[i] << 23));
    return p;
}

/* ---- numbers of other types ---- */

V_CALL vec16 v_load_half(const uint16_t *p) {
    float lane[V_LANES];
    for (int i = 0; i < V_LANES; i++)
        lane[i] = quant_half_to_float(p[i]);
    return v_load(lane);
}
V_CALL void v_store_half_n(uint16_t *p, vec16 a, int32_t n) {
    float lane[V_LANES];
    v_store(lane, a);
    for (int32_t i = 0; i < n; i++)
        p[i] = quant_float_to_half(lane[i]);
}
V_CALL vec16 v_load_bf16(const uint16_t *p) {
    float lane[V_LANES];
    for (int i = 0; i < V_LANES; i++) {
        uint32_t bits = (uint32_t)p[i] << 16;
        memcpy(&lane[i], &bits, sizeof bits);
    }
    return v_load(lane);
}
V_INLINE vec16 v_set1_half(const uint8_t *p) { /* one half in all lanes */
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return v_set1(quant_half_to_float(h));
}
V_CALL vec16 v_load_i8(const uint8_t *p) {
    float lane[V_LANES];
    for (int i = 0; i < V_LANES; i++)
        lane[i] = (float)(int8_t)p[i];
    return v_load(lane);
}

/* ---- sums over lanes: 16 -> 8 -> 4 -> 2 -> 1, the upper half added to the lower each time ---- */

V_INLINE float v_sum(vec16 a) {
    vec4 four = (a.part[0] + a.part[2]) + (a.part[1] + a.part[3]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}
V_CALL float v_highest(vec16 a) {
    float lane[V_LANES];
    v_store(lane, a);
    float highest = lane[0];
    for (int i = 1; i < V_LANES; i++)
        highest = lane[i] > highest ? lane[i] : highest;
    return highest;
}

#endif
