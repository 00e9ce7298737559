/* quantize.h - rows of f32 put into blocks, for tests and for models made up for them. */
#ifndef QUIRE_TESTS_SUPPORT_QUANTIZE_H
#define QUIRE_TESTS_SUPPORT_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/engine/quant.h"

bool quant_can_quantize(enum quant_type type); /* F32, F16, Q8_0, Q4_0, Q4_K, Q6_K */

/* n values, a multiple of the block, to quant_row_bytes(type, n) bytes at dst. */
void quant_quantize_row(enum quant_type type, const float *src, void *dst, size_t n);

#endif
