/* kernels_avx512.c - kernels_body.h for AVX-512 F, BW, DQ, VL; the flags are in CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS kernels_avx512
#include "worker/engine/kernels_body.h"
#endif
