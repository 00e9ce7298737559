/* attention_avx512.c - attention_body.h for AVX-512 F, BW, DQ, VL; the flags are in CMakeLists.txt.
 */
#if defined(__x86_64__)
#define KERNELS attend_avx512
#define FEW_QUERIES 4
#define FEW_PAGES 4
#define FEW_VECTORS 4
#define MANY_ROWS 12
#define MANY_VECTORS 2
#include "worker/engine/attention_body.h"
#endif
