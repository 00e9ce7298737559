/* gallery.h - pictures for scenarios, made from numbers and kept until gallery_close. */
#ifndef QUIRE_TESTS_SCENARIOS_GALLERY_H
#define QUIRE_TESTS_SCENARIOS_GALLERY_H

#include <stdint.h>

#include "common/bytes.h"

/* A PNG of coloured blocks; equal arguments give the same file. */
struct bytes gallery_picture(uint32_t seed, uint32_t width, uint32_t height);
/* 128 x 32: few tiles in every model. */
struct bytes gallery_strip(uint32_t seed);
/* Pixels that go by their place in the file: two of equal area have the same raw bytes. */
struct bytes gallery_raw(uint32_t seed, uint32_t width, uint32_t height);
/* The same pixels as gallery_picture, in another file. */
struct bytes gallery_interlaced(uint32_t seed, uint32_t width, uint32_t height);
struct bytes gallery_with_alpha(uint32_t seed, uint32_t width, uint32_t height);
/* A file of tests/golden/formats. */
struct bytes gallery_format(const char *name);
/* A PNG of the pixels that `encoded` decodes to. */
struct bytes gallery_redrawn(struct bytes encoded);
/* A JPEG without its APP1 segments. */
struct bytes gallery_without_tags(struct bytes jpeg);
/* A PNG of zeros, of so many pixels, as small as it can be. */
struct bytes gallery_zeros(uint32_t width, uint32_t height);
/* The first `size` bytes of a file. */
struct bytes gallery_truncated(struct bytes encoded, size_t size);

void gallery_close(void);

#endif
