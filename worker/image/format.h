/* format.h - what the bytes of a PNG or JPEG say before anything is decoded.
 *
 * Internal to worker/image. Nothing here allocates or trusts a length: the header is read and
 * bounded, then the file's structure is walked to its end, so that the decoder only ever sees whole
 * files of kinds it knows and whose cost is known. */
#ifndef QUIRE_IMAGE_FORMAT_H
#define QUIRE_IMAGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

#define FORMAT_MAX_SCANS 64 /* of a progressive JPEG; encoders make about ten */

enum format_kind { FORMAT_PNG, FORMAT_JPEG };

struct format_header {
    enum format_kind kind;
    int32_t width, height; /* as stored */
    int32_t orientation;   /* 1..8, see orientation.h */
    /* PNG */
    int32_t depth, channels; /* bits and samples of a pixel as stored; a palette index is one */
    bool palette, interlaced;
    /* JPEG */
    int32_t components, h_max, v_max; /* sampling factors; 1..4 */
    bool progressive;
};

/* Reads type and dimensions; checks them against IMAGE_MAX_SIDE and IMAGE_MAX_PIXELS. */
int format_read_header(struct bytes encoded, struct format_header *out, struct error *e);

/* Walks the rest of the file: whole, of known parts, and with enough data for its dimensions. */
int format_check_body(struct bytes encoded, const struct format_header *h, struct error *e);

/* One format each; same promises. */
int png_read_header(struct bytes encoded, struct format_header *out, struct error *e);
int png_check_body(struct bytes encoded, const struct format_header *h, struct error *e);
int jpeg_read_header(struct bytes encoded, struct format_header *out, struct error *e);
int jpeg_check_body(struct bytes encoded, const struct format_header *h, struct error *e);

/* Bytes of a PNG's pixels once inflated: rows of all passes, each with its filter byte. */
size_t png_raw_bytes(const struct format_header *h);

#endif
