/* kernels_avx2.c - kernels_body.h for AVX2, FMA and F16C; the flags are in CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS kernels_avx2
#include "worker/engine/kernels_body.h"
#endif
