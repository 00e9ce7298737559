/* tile_int_avx512.c - tile_int_body.h for AVX-512 F, BW, DQ, VL; the flags are in CMakeLists.txt.
 */
#include "worker/engine/tile_int_inside.h"

#if defined(__x86_64__)

#include "worker/engine/tile_int_vec512.h"

#define VECS 2

static inline vec_i add_shorts(vec_i a, vec_i b) {
    return _mm512_add_epi16(a, b);
}

#define ROWS_AT_ONCE 2

/* w's bytes times x's, added in pairs. */
static inline vec_i byte_pairs(vec_i w, vec_i x, bool is_signed) {
    if (!is_signed)
        return _mm512_maddubs_epi16(w, x);
    vec_i turned = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
    return _mm512_maddubs_epi16(_mm512_abs_epi8(w), turned);
}

#include "worker/engine/tile_int_pairs.h"

#include "worker/engine/tile_int_body.h"

tile_kernel *tile_int_avx512(enum quant_type type) {
    return kernel_of(type);
}

#else

tile_kernel *tile_int_avx512(enum quant_type type) {
    (void)type;
    return NULL;
}

#endif
