/* resize_kernels.h - the two loops of resizing, in the shapes that vectors like.
 *
 * Internal to worker/image. Both compute (2^21 + sum_k weight[k] * byte[k]) >> 22, clipped to
 * 0..255, for many bytes with the same weights; sums fit int32 (resize.c checks the weights). Every
 * version gives the same bits. */
#ifndef QUIRE_IMAGE_RESIZE_KERNELS_H
#define QUIRE_IMAGE_RESIZE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define RESIZE_BITS 22       /* of fraction in a weight */
#define RESIZE_BLOCK_ROWS 16 /* picture rows that go through the horizontal pass together */
#define RESIZE_LANES (3 * RESIZE_BLOCK_ROWS)

struct resize_kernels {
    /* One output column of a block: src[taps][RESIZE_LANES] -> dst[RESIZE_LANES]. */
    void (*mix_columns)(const uint8_t *src, const int32_t *weights, int32_t taps, uint8_t *dst);
    /* One output row: src[taps] rows, stride bytes apart -> dst[n]. */
    void (*mix_rows)(const uint8_t *src, size_t stride, const int32_t *weights, int32_t taps,
                     uint8_t *dst, size_t n);
};

extern const struct resize_kernels resize_kernels_portable;
const struct resize_kernels *resize_kernels_best(void); /* for this CPU */

#endif
