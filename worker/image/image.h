/* image.h - encoded pictures to RGB pixels.
 *
 * JPEG and PNG by stb_image, nothing else compiled in. Type, dimensions and pixel count are read
 * from the header and checked before anything is decoded. Grey and palette become RGB; alpha is
 * dropped without blending, as the reference does. A JPEG's orientation tag is applied, so that
 * people's photographs are upright; width and height are those of the upright picture everywhere.
 */
#ifndef QUIRE_IMAGE_IMAGE_H
#define QUIRE_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

#define IMAGE_MAX_SIDE 16384                 /* pixels */
#define IMAGE_MAX_PIXELS (40u * 1000 * 1000) /* 120 MB decoded */
#define IMAGE_MAX_DECODE_BYTES                                                                     \
    (260u * 1000 * 1000) /* that decoding one picture may take meanwhile */

struct image {
    int32_t width, height;
    uint8_t *rgb; /* [height][width][3], row-major; owned, free with image_clear */
};

/* Reads the header only: ERR_BAD_PICTURE with a sentence for anything that is not a JPEG or PNG
 * within the limits. */
int image_probe(struct bytes encoded, int32_t *width, int32_t *height, struct error *e);
int image_decode(struct bytes encoded, struct image *out, struct error *e);
void image_clear(struct image *i); /* NULL or cleared is fine */

enum resize_filter { RESIZE_BILINEAR, RESIZE_BICUBIC, RESIZE_LANCZOS };
/* Pillow's result to the last bit: separable, horizontal first, 8-bit between the passes. *out is
 * new; same size copies. ERR_NOMEM, ERR_LIMIT. */
int image_resize(const struct image *in, int32_t width, int32_t height, enum resize_filter filter,
                 struct image *out, struct error *e);

#endif
