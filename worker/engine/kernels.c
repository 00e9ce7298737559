/* kernels.c - picks the kernels of an instruction set. */
#include "worker/engine/kernels.h"

const struct kernels *kernels_of(enum quant_isa isa) {
#if defined(__x86_64__)
    switch (isa) {
    case QUANT_ISA_AVX512:
        return &kernels_avx512;
    case QUANT_ISA_AVX2:
        return &kernels_avx2;
    case QUANT_ISA_PORTABLE:
        break;
    }
#else
    (void)isa;
#endif
    return &kernels_portable;
}

const struct kernels *kernels_chosen(void) {
    return kernels_of(quant_isa_chosen());
}
