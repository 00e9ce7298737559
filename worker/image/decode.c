/* decode.c - encoded pictures to RGB pixels, within what their header says they cost.
 *
 * Three steps, each of which may refuse: the header (format.h) gives kind and dimensions, the walk
 * finds the file whole, and only then does stb decode it, with a budget of memory computed from the
 * header. A file that lies about itself can waste that much for a moment and no more. */
#include "worker/image/image.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "worker/image/format.h"
#include "worker/image/orientation.h"
#include "worker/image/stb.h"

#define BUDGET_SLACK_BYTES (256u << 10) /* stb's own structures, rounding of allocations */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Three moments, of which the worst counts. Inflating: the compressed data, gathered in a buffer
 * that doubles, and the rows (stb guesses those of Adam7 low and doubles once). Unfiltering: the
 * rows, and the samples as stored with one more channel for a colour key, twice for Adam7; with a
 * palette then its colours. Converting: the samples, RGB of the same depth, RGB of 8 bits. */
static size_t png_budget(const struct format_header *h, size_t encoded_bytes) {
    size_t pixels = (size_t)h->width * (size_t)h->height;
    size_t depth_bytes = h->depth == 16 ? 2 : 1, channels = (size_t)h->channels;
    size_t rows = png_raw_bytes(h) * (h->interlaced ? 2 : 1);
    size_t samples = pixels * (channels + channels % 2) * depth_bytes;
    size_t inflating = 2 * encoded_bytes + rows;
    size_t unfiltering = rows + samples * (h->interlaced ? 2 : 1) + (h->palette ? pixels * 4 : 0);
    size_t converting = samples + pixels * 3 * depth_bytes + pixels * 3;
    return larger(larger(inflating, unfiltering), converting);
}

/* Planes rounded up to whole units, with coefficients of two bytes when progressive; RGB. */
static size_t jpeg_budget(const struct format_header *h) {
    size_t unit_w = 8 * (size_t)h->h_max, unit_h = 8 * (size_t)h->v_max;
    size_t across = ((size_t)h->width + unit_w - 1) / unit_w * unit_w;
    size_t down = ((size_t)h->height + unit_h - 1) / unit_h * unit_h;
    size_t planes = across * down * (size_t)h->components * (h->progressive ? 3 : 1);
    return planes + (size_t)h->width * (size_t)h->height * 4;
}

static const char *kind_name(const struct format_header *h) {
    return h->kind == FORMAT_PNG ? "PNG" : "JPEG";
}

static int refuse(const struct stb_result *r, const struct format_header *h, struct error *e) {
    if (r->out_of_memory)
        return error_set(e, ERR_NOMEM, "no memory to decode a picture of %d x %d pixels", h->width,
                         h->height);
    if (r->over_budget)
        return error_set(e, ERR_BAD_PICTURE,
                         "the %s of %d x %d pixels expands to more than its pixels", kind_name(h),
                         h->width, h->height);
    return error_set(e, ERR_BAD_PICTURE, "the %s is damaged: %s", kind_name(h), r->why);
}

/* Reads the header and says what decoding may cost; refuses what would cost too much. */
static int read_header(struct bytes encoded, struct format_header *h, size_t *budget,
                       struct error *e) {
    int code = format_read_header(encoded, h, e);
    if (code)
        return code;
    if (encoded.size > INT_MAX / 2)
        return error_set(e, ERR_BAD_PICTURE, "the picture's file has %zu bytes; %d are too many",
                         encoded.size, INT_MAX / 2);
    *budget = h->kind == FORMAT_PNG ? png_budget(h, encoded.size) : jpeg_budget(h);
    if (*budget > IMAGE_MAX_DECODE_BYTES)
        return error_set(e, ERR_BAD_PICTURE,
                         "decoding the %s of %d x %d pixels may take %zu MB of memory, and %u MB "
                         "are the most; send it smaller, or with 8 bits a sample",
                         kind_name(h), h->width, h->height, *budget / 1000000,
                         IMAGE_MAX_DECODE_BYTES / 1000000);
    return 0;
}

int image_probe(struct bytes encoded, int32_t *width, int32_t *height, struct error *e) {
    struct format_header h;
    size_t budget;
    int code = read_header(encoded, &h, &budget, e);
    if (code)
        return code;
    bool transposes = orientation_transposes(h.orientation);
    *width = transposes ? h.height : h.width;
    *height = transposes ? h.width : h.height;
    return 0;
}

int image_decode(struct bytes encoded, struct image *out, struct error *e) {
    memset(out, 0, sizeof *out);
    struct format_header h;
    size_t budget;
    int code = read_header(encoded, &h, &budget, e);
    if (code == 0)
        code = format_check_body(encoded, &h, e);
    if (code)
        return code;
    struct stb_result r = stb_decode(encoded, budget + BUDGET_SLACK_BYTES);
    if (r.rgb == NULL)
        return refuse(&r, &h, e);
    if (r.width != h.width || r.height != h.height) {
        free(r.rgb);
        return error_set(e, ERR_BAD_PICTURE,
                         "the %s says it is %d x %d pixels in one place and %d x %d in another",
                         kind_name(&h), h.width, h.height, r.width, r.height);
    }
    *out = (struct image){h.width, h.height, r.rgb};
    if (orientation_apply(out, h.orientation) != 0) {
        image_clear(out);
        return error_set(e, ERR_NOMEM, "no memory to turn a picture of %d x %d pixels", h.width,
                         h.height);
    }
    return 0;
}

void image_clear(struct image *i) {
    if (i == NULL)
        return;
    free(i->rgb);
    memset(i, 0, sizeof *i);
}
