/* orientation.h - which way up a photograph is, by its Exif tag.
 *
 * Internal to worker/image. Cameras store what the sensor saw and say in a tag how to hold it:
 *
 *     1 upright    2 mirrored left to right    3 by 180 degrees        4 mirrored top to bottom
 *     5 transposed 6 to be turned clockwise    7 transposed both ways  8 counter-clockwise */
#ifndef QUIRE_IMAGE_ORIENTATION_H
#define QUIRE_IMAGE_ORIENTATION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "worker/image/image.h"

#define ORIENTATION_UPRIGHT 1

/* The tag in the data of a JPEG's APP1 segment, 1..8; 0 when that is not Exif or has no such tag
 * that can be understood: a picture whose tags are damaged is still a picture. */
int32_t orientation_read(struct bytes app1);

/* Whether width and height change places. */
static inline bool orientation_transposes(int32_t orientation) {
    return orientation >= 5;
}

/* Turns the picture upright. ERR_NOMEM leaves it as it was. */
int orientation_apply(struct image *i, int32_t orientation);

#endif
