/* tile_int_avxvnni.c - tile_int_body.h for AVX2 with AVX-VNNI; the flags are in CMakeLists.txt. */
#include "worker/engine/tile_int_inside.h"

#if defined(__x86_64__)

#include "worker/engine/tile_int_vec256.h"

#define ROWS_AT_ONCE 2

static inline vec_i four_bytes(vec_i acc, vec_i w, vec_i x) {
    return _mm256_dpbusd_avx_epi32(acc, w, x);
}

#include "worker/engine/tile_int_vnni.h"

#include "worker/engine/tile_int_body.h"

tile_kernel *tile_int_avxvnni(enum quant_type type) {
    return kernel_of(type);
}

#else

tile_kernel *tile_int_avxvnni(enum quant_type type) {
    (void)type;
    return NULL;
}

#endif
