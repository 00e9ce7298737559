/* tile_float_avx2.c - tile_float_body.h for AVX2, FMA and F16C; the flags are in CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS tile_float_avx2
#define BLOCKS_14 0
#include "worker/engine/tile_float_body.h"
#endif
