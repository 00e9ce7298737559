/* quant.h - tensor types: sizes, and expansion of rows to f32.
 *
 * Block layouts are those of GGUF files (type ids are the file's). Expansion is the definition of
 * what a block means; every faster kernel is tested against it. */
#ifndef QUIRE_ENGINE_QUANT_H
#define QUIRE_ENGINE_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quant_type {
    QUANT_F32 = 0,
    QUANT_F16 = 1,
    QUANT_Q4_0 = 2,
    QUANT_Q4_1 = 3,
    QUANT_Q5_0 = 6,
    QUANT_Q5_1 = 7,
    QUANT_Q8_0 = 8,
    QUANT_Q2_K = 10,
    QUANT_Q3_K = 11,
    QUANT_Q4_K = 12,
    QUANT_Q5_K = 13,
    QUANT_Q6_K = 14,
    QUANT_IQ4_NL = 20,
    QUANT_IQ4_XS = 23,
    QUANT_BF16 = 30,
};

struct quant_traits {
    const char *name;     /* "Q8_0" */
    uint32_t block;       /* elements in a block */
    uint32_t block_bytes; /* bytes of a block */
};

/* NULL for a type this engine does not read. */
const struct quant_traits *quant_traits(uint32_t type_id);

/* Bytes of a row of n elements; n must be a multiple of the block (caller's promise). */
size_t quant_row_bytes(enum quant_type type, size_t n);

/* Expands n elements (a multiple of the block) from src to dst[n]. Chosen by CPU at start, equal to
 * the portable reference bit for bit (but for which NaN comes out). The environment variable
 * QUIRE_ISA (portable, avx2, avxvnni, avx512, avx512vnni) asks for a lesser set. Safe on any bytes:
 * no value in src can read out of bounds. */
void quant_expand_row(enum quant_type type, const void *src, float *dst, size_t n);

/* The portable reference of the same. */
void quant_expand_row_reference(enum quant_type type, const void *src, float *dst, size_t n);

float quant_half_to_float(uint16_t h);
uint16_t quant_float_to_half(float f); /* round to nearest even */

#endif
