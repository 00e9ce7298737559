/* kernels_avx512.c - kernels_body.h for AVX-512 F, BW, DQ, VL; the flags are in CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS kernels_avx512
#define TILE_WEIGHTS 4 /* weight rows by activation rows that registers hold sums for */
#define TILE_ROWS 4
#define FEW_ROWS 64
#include "worker/engine/kernels_body.h"
#endif
