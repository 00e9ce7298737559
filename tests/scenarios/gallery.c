/* gallery.c - see gallery.h. */
#include "tests/scenarios/gallery.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "tests/support/file.h"
#include "tests/support/png_make.h"
#include "worker/image/image.h"

#define GALLERY_MAX 1024
#define BLOCK 8 /* pixels along a side of one colour */

static struct bytes kept[GALLERY_MAX];
static size_t n_kept;

static struct bytes keep(struct bytes picture) {
    MUST(n_kept < GALLERY_MAX);
    kept[n_kept++] = picture;
    return picture;
}

void gallery_close(void) {
    for (size_t i = 0; i < n_kept; i++)
        free((void *)(uintptr_t)kept[i].data);
    n_kept = 0;
}

/* What the sample functions below draw, since png_make gives them no argument of ours. */
static uint32_t drawn_seed, drawn_width;
static const struct image *drawn_image;

static uint16_t mix(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    uint32_t h = a * 0x9e3779b1u ^ b * 0x85ebca77u ^ c * 0xc2b2ae3du ^ d * 0x27d4eb2fu;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    return (uint16_t)((h ^ h >> 13) & 255);
}

static uint16_t block_sample(uint32_t x, uint32_t y, int channel) {
    return channel == 3 ? mix(x, y, 1, 2)
                        : mix(drawn_seed, x / BLOCK, y / BLOCK, (uint32_t)channel);
}

static uint16_t raw_sample(uint32_t x, uint32_t y, int channel) {
    return mix(drawn_seed, y * drawn_width + x, 77, (uint32_t)channel);
}

static uint16_t image_sample(uint32_t x, uint32_t y, int channel) {
    size_t at = ((size_t)y * (size_t)drawn_image->width + x) * 3;
    return drawn_image->rgb[at + (size_t)channel];
}

static struct bytes draw(uint32_t seed, struct png_spec spec) {
    drawn_seed = seed;
    drawn_width = spec.width;
    spec.depth = 8;
    return keep(png_make(&spec));
}

struct bytes gallery_picture(uint32_t seed, uint32_t width, uint32_t height) {
    return draw(seed, (struct png_spec){
                          .width = width, .height = height, .colour = 2, .sample = block_sample});
}

struct bytes gallery_strip(uint32_t seed) {
    return gallery_picture(seed, 128, 32);
}

struct bytes gallery_raw(uint32_t seed, uint32_t width, uint32_t height) {
    return draw(seed, (struct png_spec){
                          .width = width, .height = height, .colour = 2, .sample = raw_sample});
}

struct bytes gallery_interlaced(uint32_t seed, uint32_t width, uint32_t height) {
    return draw(seed, (struct png_spec){.width = width,
                                        .height = height,
                                        .colour = 2,
                                        .interlaced = true,
                                        .sample = block_sample});
}

struct bytes gallery_with_alpha(uint32_t seed, uint32_t width, uint32_t height) {
    return draw(seed, (struct png_spec){
                          .width = width, .height = height, .colour = 6, .sample = block_sample});
}

struct bytes gallery_format(const char *name) {
    return keep(file_read(QUIRE_GOLDEN_DIR "/formats", name));
}

struct bytes gallery_redrawn(struct bytes encoded) {
    struct image image;
    assert_int_equal(image_decode(encoded, &image, NULL), 0);
    drawn_image = &image;
    struct bytes out = draw(0, (struct png_spec){.width = (uint32_t)image.width,
                                                 .height = (uint32_t)image.height,
                                                 .colour = 2,
                                                 .sample = image_sample});
    image_clear(&image);
    return out;
}

struct bytes gallery_without_tags(struct bytes jpeg) {
    uint8_t *out = malloc(jpeg.size);
    MUST(out != NULL && jpeg.size > 4);
    size_t at = 2, n = 2;
    memcpy(out, jpeg.data, 2);
    while (at + 4 <= jpeg.size && jpeg.data[at] == 0xff && jpeg.data[at + 1] != 0xda) {
        size_t size = 2 + ((size_t)jpeg.data[at + 2] << 8 | jpeg.data[at + 3]);
        MUST(size <= jpeg.size - at);
        if (jpeg.data[at + 1] != 0xe1) {
            memcpy(out + n, jpeg.data + at, size);
            n += size;
        }
        at += size;
    }
    memcpy(out + n, jpeg.data + at, jpeg.size - at);
    return keep((struct bytes){out, n + jpeg.size - at});
}

struct bytes gallery_zeros(uint32_t width, uint32_t height) {
    return draw(0, (struct png_spec){.width = width, .height = height, .colour = 2});
}

struct bytes gallery_truncated(struct bytes encoded, size_t size) {
    MUST(size < encoded.size);
    uint8_t *out = malloc(size + 1);
    MUST(out != NULL);
    memcpy(out, encoded.data, size);
    return keep((struct bytes){out, size});
}
