/* peaks.h - loops that do nothing but arithmetic on registers, or nothing but reading. */
#ifndef QUIRE_TESTS_BENCH_PEAKS_H
#define QUIRE_TESTS_BENCH_PEAKS_H

#include <stddef.h>
#include <stdint.h>

struct peak {
    const char *name;
    double ops; /* multiplications and additions of one round */
    void (*run)(uint64_t rounds);
};

/* The widest instructions of this CPU. */
const struct peak *peak_f32(void);
const struct peak *peak_int8(void);

/* Reads `bytes` (a multiple of 1024) at p, aligned to 64, and returns something that depends on all
 * of them. */
uint64_t peak_read(const uint8_t *p, size_t bytes);

#endif
