/* png_make.h - PNG files of every kind, byte by byte, for tests.
 *
 * Pixels are stored, not compressed, so that a test knows each byte of the file; or they are all
 * zero and compressed as far as the format can. */
#ifndef QUIRE_TESTS_SUPPORT_PNG_MAKE_H
#define QUIRE_TESTS_SUPPORT_PNG_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

struct png_spec {
    uint32_t width, height;
    uint8_t depth, colour; /* as in IHDR: 0 grey, 2 RGB, 3 palette, 4 grey+alpha, 6 RGB+alpha */
    bool interlaced;
    struct bytes palette, transparency; /* chunk contents; empty: no such chunk */
    /* Sample `channel` of the pixel, in 0 .. 2^depth - 1. NULL: zeros, compressed. */
    uint16_t (*sample)(uint32_t x, uint32_t y, int channel);
    size_t extra_bytes; /* zeros that follow the last row inside the compressed data */
};

/* A file in new memory; free data. */
struct bytes png_make(const struct png_spec *spec);

/* Makes all checksums of a (damaged) file right again, as far as its chunks can be followed. */
void png_repair_checksums(uint8_t *file, size_t size);

#endif
