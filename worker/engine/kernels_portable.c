/* kernels_portable.c - kernels_body.h for plain C; the flags are in CMakeLists.txt. */
#define KERNELS kernels_portable
#define TILE_WEIGHTS 2 /* weight rows by activation rows that registers hold sums for */
#define TILE_ROWS 2
#define FEW_ROWS 12
#include "worker/engine/kernels_body.h"
