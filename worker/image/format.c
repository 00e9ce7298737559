/* format.c - which kind of picture this is, by its first bytes. */
#include "worker/image/format.h"

#include <string.h>

#include "worker/image/image.h"
#include "worker/image/orientation.h"

struct magic {
    const char *name;
    size_t at, size;
    const char *bytes;
};

/* Kinds that people send most, so that the refusal can name them. */
static const struct magic others[] = {
    {"a GIF", 0, 4, "GIF8"},         {"a WebP", 8, 4, "WEBP"},    {"a BMP", 0, 2, "BM"},
    {"a TIFF", 0, 4, "II*\0"},       {"a TIFF", 0, 4, "MM\0*"},   {"a HEIC or AVIF", 4, 4, "ftyp"},
    {"a JPEG XL", 0, 2, "\xff\x0a"}, {"a JPEG XL", 4, 4, "JXL "}, {"a JPEG 2000", 4, 4, "jP  "},
    {"a PDF", 0, 4, "%PDF"},         {"an SVG", 0, 4, "<svg"},    {"an XML file", 0, 5, "<?xml"},
};

static bool begins(struct bytes b, size_t at, const char *what, size_t size) {
    return b.size >= at + size && memcmp(b.data + at, what, size) == 0;
}

static const char *name_other(struct bytes b) {
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (begins(b, others[i].at, others[i].bytes, others[i].size))
            return others[i].name;
    return "of an unknown kind";
}

static int check_size(const struct format_header *h, struct error *e) {
    if (h->width > IMAGE_MAX_SIDE || h->height > IMAGE_MAX_SIDE)
        return error_set(e, ERR_BAD_PICTURE,
                         "the picture is %d x %d pixels; a side may have at most %d", h->width,
                         h->height, IMAGE_MAX_SIDE);
    if ((int64_t)h->width * h->height > (int64_t)IMAGE_MAX_PIXELS)
        return error_set(e, ERR_BAD_PICTURE, "the picture is %d x %d, which is more than %u pixels",
                         h->width, h->height, IMAGE_MAX_PIXELS);
    return 0;
}

int format_read_header(struct bytes encoded, struct format_header *out, struct error *e) {
    memset(out, 0, sizeof *out);
    out->orientation = ORIENTATION_UPRIGHT;
    int code;
    if (encoded.size == 0)
        return error_set(e, ERR_BAD_PICTURE, "the picture is empty (0 bytes)");
    if (begins(encoded, 0, "\x89PNG\r\n\x1a\n", 8))
        code = png_read_header(encoded, out, e);
    else if (begins(encoded, 0, "\xff\xd8\xff", 3))
        code = jpeg_read_header(encoded, out, e);
    else
        return error_set(e, ERR_BAD_PICTURE, "the picture is %s; only JPEG and PNG are read",
                         name_other(encoded));
    return code ? code : check_size(out, e);
}

int format_check_body(struct bytes encoded, const struct format_header *h, struct error *e) {
    return h->kind == FORMAT_PNG ? png_check_body(encoded, h, e) : jpeg_check_body(encoded, h, e);
}
