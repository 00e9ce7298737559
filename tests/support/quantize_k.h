/* quantize_k.h - blocks of 256 values of quantize.c's larger types. */
#ifndef QUIRE_TESTS_SUPPORT_QUANTIZE_K_H
#define QUIRE_TESTS_SUPPORT_QUANTIZE_K_H

#include <stdint.h>

/* x: [256]; dst: 144 and 210 bytes. */
void quantize_block_q4_k(const float *x, uint8_t *dst);
void quantize_block_q6_k(const float *x, uint8_t *dst);

#endif
