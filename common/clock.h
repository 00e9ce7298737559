/* clock.h - monotonic time; the wall clock is used in log lines only. */
#ifndef QUIRE_COMMON_CLOCK_H
#define QUIRE_COMMON_CLOCK_H

#include <stdint.h>

int64_t clock_us(void); /* microseconds since some fixed point, never backwards */
int64_t clock_ms(void); /* milliseconds of the same clock */

#endif
