/* bed.c - pool.c once more, compiled under the names of bed.h, so that both pools fit into one
 * program. */
#define BED_SOURCE
#include "tests/support/bed.h"

#include "tests/support/pool.c"
