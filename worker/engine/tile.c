/* tile.c - which format and which kernel a type has. */
#include "worker/engine/tile.h"

#include "common/must.h"
#include "worker/engine/tile_float.h"
#include "worker/engine/tile_int.h"

const struct tile_format *tile_format_of(enum quant_type type) {
    const struct tile_format *f = tile_float_format(type);
    if (f == NULL)
        f = tile_int_format(type);
    MUST(f != NULL);
    return f;
}

tile_kernel *tile_kernel_of(enum quant_type type, enum quant_isa isa) {
    tile_kernel *k = tile_float_kernel(type, isa);
    if (k == NULL)
        k = tile_int_kernel(type, isa);
    MUST(k != NULL);
    return k;
}

size_t tile_scratch_floats(int32_t n_in) {
    return tile_float_scratch_floats(n_in);
}
