/* tile_int_avx2.c - tile_int_body.h for AVX2 with FMA and F16C; the flags are in CMakeLists.txt. */
#include "worker/engine/tile_int_inside.h"

#if defined(__x86_64__)

#include "worker/engine/tile_int_vec256.h"

static inline vec_i add_shorts(vec_i a, vec_i b) {
    return _mm256_add_epi16(a, b);
}

#define ROWS_AT_ONCE 2

/* w's bytes times x's, added in pairs. */
static inline vec_i byte_pairs(vec_i w, vec_i x, bool is_signed) {
    if (is_signed)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_maddubs_epi16(w, x);
}

#include "worker/engine/tile_int_pairs.h"

#include "worker/engine/tile_int_body.h"

tile_kernel *tile_int_avx2(enum quant_type type) {
    return kernel_of(type);
}

#else

tile_kernel *tile_int_avx2(enum quant_type type) {
    (void)type;
    return NULL;
}

#endif
