/* philox.h - Philox4x32-10, a counter-based generator of random bits.
 *
 * Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The numbers
 * for (key, counter) depend on nothing else, so there is no state to move along with a stream. */
#ifndef QUIRE_ENGINE_PHILOX_H
#define QUIRE_ENGINE_PHILOX_H

#include <stdint.h>

void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
