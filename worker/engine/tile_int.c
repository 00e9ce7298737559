/* tile_int.c - picks the kernel of a quantised type. */
#include "worker/engine/tile_int_inside.h"

tile_kernel *tile_int_kernel(enum quant_type type, enum quant_isa isa) {
    /* By enum quant_isa. */
    static tile_kernel *(*const sets[QUANT_ISAS])(enum quant_type) = {
        tile_int_portable, tile_int_avx2, tile_int_avxvnni, tile_int_avx512, tile_int_avx512vnni};
    for (int i = (int)isa; i > (int)QUANT_ISA_PORTABLE; i--) {
        tile_kernel *k = sets[i](type);
        if (k != NULL)
            return k;
    }
    return tile_int_portable(type);
}
