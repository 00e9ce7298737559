/* attention_avx2.c - attention_body.h for AVX2, FMA and F16C; the flags are in CMakeLists.txt. */
#if defined(__x86_64__)
#define KERNELS attend_avx2
#define FEW_QUERIES 3
#define FEW_PAGES 2
#define FEW_VECTORS 2
#define MANY_ROWS 6
#define MANY_VECTORS 1
#include "worker/engine/attention_body.h"
#endif
