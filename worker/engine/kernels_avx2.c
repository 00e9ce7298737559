/* kernels_avx2.c - kernels_body.h for AVX2, FMA and F16C; the flags are in CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS kernels_avx2
#define TILE_WEIGHTS 2 /* weight rows by activation rows that registers hold sums for */
#define TILE_ROWS 2
#define FEW_ROWS 24
#include "worker/engine/kernels_body.h"
#endif
