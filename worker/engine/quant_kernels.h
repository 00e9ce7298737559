/* quant_kernels.h - the x86 expanders, included once for each instruction set by quant_simd.c.
 *
 * The includer defines TARGET (the function attribute) and NAME(x) (a suffix), and the step every
 * kernel ends in: 16 signed bytes become 16 floats, times a scale, with or without a sum.
 *     put_mul(dst, bytes, scale)           dst[i] = scale * bytes[i]
 *     put_mul_add(dst, bytes, scale, m)    dst[i] = scale * bytes[i] + m
 *     put_mul_sub(dst, bytes, scale, m)    dst[i] = scale * bytes[i] - m
 * Everything before that step is integers, so it cannot differ from the definitions by a rounding.
 * Loads stay inside of the block they are for. No include guard, on purpose. */

TARGET static inline __m256i NAME(load32)(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

TARGET static inline __m128i NAME(load16)(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

TARGET static inline float NAME(half)(const uint8_t *p) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(quant_u16(p))));
}

/* 16 bytes of nibbles: low ones of all bytes first, then high ones. */
TARGET static inline __m256i NAME(nibbles)(const uint8_t *p) {
    __m128i bytes = NAME(load16)(p);
    __m256i both = _mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

TARGET static inline void NAME(put32_mul)(float *dst, __m256i bytes, float scale) {
    NAME(put_mul)(dst, _mm256_castsi256_si128(bytes), scale);
    NAME(put_mul)(dst + 16, _mm256_extracti128_si256(bytes, 1), scale);
}

TARGET static inline void NAME(put32_mul_add)(float *dst, __m256i bytes, float scale, float m) {
    NAME(put_mul_add)(dst, _mm256_castsi256_si128(bytes), scale, m);
    NAME(put_mul_add)(dst + 16, _mm256_extracti128_si256(bytes, 1), scale, m);
}

TARGET static inline void NAME(put32_mul_sub)(float *dst, __m256i bytes, float scale, float m) {
    NAME(put_mul_sub)(dst, _mm256_castsi256_si128(bytes), scale, m);
    NAME(put_mul_sub)(dst + 16, _mm256_extracti128_si256(bytes, 1), scale, m);
}

/* ---- blocks of 32 ---- */

TARGET static void NAME(q4_0)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 18, dst += 32)
        NAME(put32_mul)
    (dst, _mm256_sub_epi8(NAME(nibbles)(src + 2), _mm256_set1_epi8(8)), NAME(half)(src));
}

TARGET static void NAME(q4_1)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 20, dst += 32)
        NAME(put32_mul_add)(dst, NAME(nibbles)(src + 4), NAME(half)(src), NAME(half)(src + 2));
}

/* 16 in every byte whose bit is set in the 32 bits at p. */
TARGET static inline __m256i NAME(fifth_bits)(const uint8_t *p) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)quant_u32(p)), spread);
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

TARGET static void NAME(q5_0)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 22, dst += 32) {
        __m256i q = _mm256_or_si256(NAME(nibbles)(src + 6), NAME(fifth_bits)(src + 2));
        NAME(put32_mul)(dst, _mm256_sub_epi8(q, _mm256_set1_epi8(16)), NAME(half)(src));
    }
}

TARGET static void NAME(q5_1)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 24, dst += 32) {
        __m256i q = _mm256_or_si256(NAME(nibbles)(src + 8), NAME(fifth_bits)(src + 4));
        NAME(put32_mul_add)(dst, q, NAME(half)(src), NAME(half)(src + 2));
    }
}

TARGET static void NAME(q8_0)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 34, dst += 32)
        NAME(put32_mul)(dst, NAME(load32)(src + 2), NAME(half)(src));
}

TARGET static inline __m256i NAME(iq4_values)(const uint8_t *p) {
    __m128i table = NAME(load16)((const uint8_t *)quant_iq4_values);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), NAME(nibbles)(p));
}

TARGET static void NAME(iq4_nl)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 18, dst += 32)
        NAME(put32_mul)(dst, NAME(iq4_values)(src + 2), NAME(half)(src));
}

/* ---- blocks of 256 ---- */

/* d times the eight scales, dmin times the eight minima of Q4_K and Q5_K. */
TARGET static inline void NAME(k_scales)(const uint8_t *src, float scale[8], float minimum[8]) {
    uint32_t a = quant_u32(src + 4), b = quant_u32(src + 8), c = quant_u32(src + 12);
    uint32_t s_low = a & 0x3f3f3f3f, m_low = b & 0x3f3f3f3f;
    uint32_t s_high = (c & 0x0f0f0f0f) | (a >> 6 & 0x03030303) << 4;
    uint32_t m_high = (c >> 4 & 0x0f0f0f0f) | (b >> 6 & 0x03030303) << 4;
    __m128i s = _mm_setr_epi32((int)s_low, (int)s_high, 0, 0);
    __m128i m = _mm_setr_epi32((int)m_low, (int)m_high, 0, 0);
    _mm256_storeu_ps(scale, _mm256_mul_ps(_mm256_set1_ps(NAME(half)(src)),
                                          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(s))));
    _mm256_storeu_ps(minimum, _mm256_mul_ps(_mm256_set1_ps(NAME(half)(src + 2)),
                                            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(m))));
}

TARGET static void NAME(q4_k)(const uint8_t *src, float *dst, size_t blocks) {
    const __m256i low = _mm256_set1_epi8(15);
    for (size_t b = 0; b < blocks; b++, src += 144, dst += 256) {
        float s[8], m[8];
        NAME(k_scales)(src, s, m);
        for (int c = 0; c < 4; c++) {
            __m256i q = NAME(load32)(src + 16 + 32 * c);
            __m256i high = _mm256_and_si256(_mm256_srli_epi16(q, 4), low);
            NAME(put32_mul_sub)(dst + 64 * c, _mm256_and_si256(q, low), s[2 * c], m[2 * c]);
            NAME(put32_mul_sub)(dst + 64 * c + 32, high, s[2 * c + 1], m[2 * c + 1]);
        }
    }
}

/* 16 in every byte of h that has this bit. */
TARGET static inline __m256i NAME(sixteen_if)(__m256i h, int bit) {
    __m256i mask = _mm256_set1_epi8((char)(1 << bit));
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(h, mask), mask),
                            _mm256_set1_epi8(16));
}

TARGET static void NAME(q5_k)(const uint8_t *src, float *dst, size_t blocks) {
    const __m256i low = _mm256_set1_epi8(15);
    for (size_t b = 0; b < blocks; b++, src += 176, dst += 256) {
        float s[8], m[8];
        NAME(k_scales)(src, s, m);
        __m256i h = NAME(load32)(src + 16);
        for (int c = 0; c < 4; c++) {
            __m256i q = NAME(load32)(src + 48 + 32 * c);
            __m256i even = _mm256_or_si256(_mm256_and_si256(q, low), NAME(sixteen_if)(h, 2 * c));
            __m256i odd = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(q, 4), low),
                                          NAME(sixteen_if)(h, 2 * c + 1));
            NAME(put32_mul_sub)(dst + 64 * c, even, s[2 * c], m[2 * c]);
            NAME(put32_mul_sub)(dst + 64 * c + 32, odd, s[2 * c + 1], m[2 * c + 1]);
        }
    }
}

TARGET static void NAME(q6_k)(const uint8_t *src, float *dst, size_t blocks) {
    const __m256i low = _mm256_set1_epi8(15), two = _mm256_set1_epi8(0x30);
    for (size_t b = 0; b < blocks; b++, src += 210) {
        float d = NAME(half)(src + 208);
        for (int part = 0; part < 8; part++, dst += 32) { /* four parts to a half */
            const int half = part / 4, k = part % 4;
            __m256i q = NAME(load32)(src + 64 * half + 32 * (k % 2));
            __m256i h = NAME(load32)(src + 128 + 32 * half);
            __m256i l = _mm256_and_si256(k < 2 ? q : _mm256_srli_epi16(q, 4), low);
            /* Bits 2k and 2k + 1 of h, moved to bits 4 and 5. */
            __m256i moved =
                k < 2 ? _mm256_slli_epi16(h, 4 - 2 * k) : _mm256_srli_epi16(h, 2 * k - 4);
            __m256i bits = _mm256_or_si256(l, _mm256_and_si256(moved, two));
            __m256i value = _mm256_sub_epi8(bits, _mm256_set1_epi8(32));
            const int8_t *scales = (const int8_t *)(src + 192 + 2 * part);
            NAME(put_mul)(dst, _mm256_castsi256_si128(value), d * (float)scales[0]);
            NAME(put_mul)(dst + 16, _mm256_extracti128_si256(value, 1), d * (float)scales[1]);
        }
    }
}

TARGET static void NAME(q2_k)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 84) {
        float d = NAME(half)(src + 80), dmin = NAME(half)(src + 82);
        for (int part = 0; part < 8; part++, dst += 32) {
            __m256i q = NAME(load32)(src + 16 + 32 * (part / 4));
            q = _mm256_and_si256(_mm256_srl_epi16(q, _mm_cvtsi32_si128(2 * (part % 4))),
                                 _mm256_set1_epi8(3));
            uint8_t s0 = src[2 * part], s1 = src[2 * part + 1];
            NAME(put_mul_sub)
            (dst, _mm256_castsi256_si128(q), d * (float)(s0 & 15), dmin * (float)(s0 >> 4));
            NAME(put_mul_sub)
            (dst + 16, _mm256_extracti128_si256(q, 1), d * (float)(s1 & 15),
             dmin * (float)(s1 >> 4));
        }
    }
}

TARGET static inline float NAME(q3_k_scale)(const uint8_t *s, int g, float d) {
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    int scale = low | (s[8 + g % 4] >> (2 * (g / 4)) & 3) << 4;
    return d * (float)(scale - 32);
}

TARGET static void NAME(q3_k)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 110) {
        float d = NAME(half)(src + 108);
        __m256i mask = NAME(load32)(src);
        for (int part = 0; part < 8; part++, dst += 32) {
            __m256i q = NAME(load32)(src + 32 + 32 * (part / 4));
            q = _mm256_and_si256(_mm256_srl_epi16(q, _mm_cvtsi32_si128(2 * (part % 4))),
                                 _mm256_set1_epi8(3));
            __m256i bit = _mm256_set1_epi8((char)(1 << part));
            __m256i clear = _mm256_cmpeq_epi8(_mm256_and_si256(mask, bit), _mm256_setzero_si256());
            q = _mm256_sub_epi8(q, _mm256_and_si256(clear, _mm256_set1_epi8(4)));
            NAME(put_mul)(dst, _mm256_castsi256_si128(q), NAME(q3_k_scale)(src + 96, 2 * part, d));
            NAME(put_mul)
            (dst + 16, _mm256_extracti128_si256(q, 1), NAME(q3_k_scale)(src + 96, 2 * part + 1, d));
        }
    }
}

TARGET static void NAME(iq4_xs)(const uint8_t *src, float *dst, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, src += 136) {
        float d = NAME(half)(src);
        uint16_t scales_high = quant_u16(src + 2);
        for (int ib = 0; ib < 8; ib++, dst += 32) {
            int low = src[4 + ib / 2] >> (4 * (ib % 2)) & 15;
            int scale = low | (scales_high >> (2 * ib) & 3) << 4;
            NAME(put32_mul)(dst, NAME(iq4_values)(src + 8 + 16 * ib), d * (float)(scale - 32));
        }
    }
}

/* ---- floats ---- */

TARGET static void NAME(f16)(const uint8_t *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        NAME(put_halves)(dst + i, NAME(load32)(src + 2 * i));
    for (; i < n; i++)
        dst[i] = NAME(half)(src + 2 * i);
}

TARGET static void NAME(bf16)(const uint8_t *src, float *dst, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(NAME(load16)(src + 2 * i)), 16);
        _mm256_storeu_ps(dst + i, _mm256_castsi256_ps(bits));
    }
    for (; i < n; i++) {
        uint32_t bits = (uint32_t)quant_u16(src + 2 * i) << 16;
        memcpy(dst + i, &bits, sizeof bits);
    }
}

static quant_expander *NAME(pick)(enum quant_type type) {
    switch (type) {
    case QUANT_F16:
        return NAME(f16);
    case QUANT_BF16:
        return NAME(bf16);
    case QUANT_Q4_0:
        return NAME(q4_0);
    case QUANT_Q4_1:
        return NAME(q4_1);
    case QUANT_Q5_0:
        return NAME(q5_0);
    case QUANT_Q5_1:
        return NAME(q5_1);
    case QUANT_Q8_0:
        return NAME(q8_0);
    case QUANT_Q2_K:
        return NAME(q2_k);
    case QUANT_Q3_K:
        return NAME(q3_k);
    case QUANT_Q4_K:
        return NAME(q4_k);
    case QUANT_Q5_K:
        return NAME(q5_k);
    case QUANT_Q6_K:
        return NAME(q6_k);
    case QUANT_IQ4_NL:
        return NAME(iq4_nl);
    case QUANT_IQ4_XS:
        return NAME(iq4_xs);
    case QUANT_F32:
        break;
    }
    return NULL;
}
