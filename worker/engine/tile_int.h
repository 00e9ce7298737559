/* tile_int.h - the tiles of quantised types; for tile.c, which knows the tiles of all types. */
#ifndef QUIRE_ENGINE_TILE_INT_H
#define QUIRE_ENGINE_TILE_INT_H

#include "worker/engine/tile.h"

/* NULL for a type that is not quantised. */
const struct tile_format *tile_int_format(enum quant_type type);
/* Of the best set not above isa; all of them give the same bits. NULL as above. They need nothing
 * of a call's scratch. */
tile_kernel *tile_int_kernel(enum quant_type type, enum quant_isa isa);

#endif
