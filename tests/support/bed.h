/* bed.h - the broker and workers of tests/support/pool.h under other names, for tests of
 * gateway/pool, which has a pool of its own: struct bed, bed_open, bed_close and bed_ask. All else
 * is called as there. */
#ifndef QUIRE_TESTS_SUPPORT_BED_H
#define QUIRE_TESTS_SUPPORT_BED_H

#define pool bed
#define pool_open bed_open
#define pool_close bed_close
#define pool_ask bed_ask
#include "tests/support/pool.h"
#ifndef BED_SOURCE
#undef pool
#undef pool_open
#undef pool_close
#undef pool_ask
#endif

#endif
