/* kernels_portable.c - kernels_body.h for plain C; the flags are in CMakeLists.txt. */
#define KERNELS kernels_portable
#include "worker/engine/kernels_body.h"
