/* tile_float_avx512.c - tile_float_body.h for AVX-512 F, BW, DQ, VL; the flags are in
 * CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS tile_float_avx512
#define BLOCKS_14 1
#include "worker/engine/tile_float_body.h"
#endif
