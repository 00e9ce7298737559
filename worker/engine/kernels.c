/* kernels.c - picks the kernels of an instruction set. */
#include "worker/engine/kernels.h"

const struct kernels *kernels_of(enum quant_isa isa) {
#if defined(__x86_64__)
    if (isa >= QUANT_ISA_AVX512)
        return &kernels_avx512;
    if (isa >= QUANT_ISA_AVX2)
        return &kernels_avx2;
#else
    (void)isa;
#endif
    return &kernels_portable;
}

const struct kernels *kernels_chosen(void) {
    return kernels_of(quant_isa_chosen());
}
