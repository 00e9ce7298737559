/* attention_portable.c - attention_body.h for plain C, and the choice among the sets. */
#define KERNELS attend_portable
#define FEW_QUERIES 1
#define FEW_PAGES 1
#define FEW_VECTORS 1
#define MANY_ROWS 1
#define MANY_VECTORS 1
#include "worker/engine/attention_body.h"

const struct attend_kernels *attend_kernels_of(enum quant_isa isa) {
#if defined(__x86_64__)
    if (isa >= QUANT_ISA_AVX512)
        return &attend_avx512;
    if (isa >= QUANT_ISA_AVX2)
        return &attend_avx2;
#else
    (void)isa;
#endif
    return &attend_portable;
}
