/* orientation.c - reading the tag and turning the pixels.
 *
 * Exif is a small TIFF file: a byte order, the place of a directory, and in it entries of 12 bytes:
 * tag, type, count, value. Only the first directory is looked at, and every place in it is checked
 * against what there is. */
#include "worker/image/orientation.h"

#include <stdlib.h>
#include <string.h>

#define EXIF_NAME_BYTES 6
#define TIFF_HEAD_BYTES 8
#define ENTRY_BYTES 12
#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3

struct tiff {
    struct bytes data;
    bool big_endian;
};

static uint32_t read_u16(const struct tiff *t, size_t at) {
    const uint8_t *p = t->data.data + at;
    return t->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const struct tiff *t, size_t at) {
    uint32_t first = read_u16(t, at), second = read_u16(t, at + 2);
    return t->big_endian ? first << 16 | second : second << 16 | first;
}

static int32_t find_tag(const struct tiff *t) {
    size_t size = t->data.size, at = read_u32(t, 4);
    if (at < TIFF_HEAD_BYTES || at > size || size - at < 2)
        return 0;
    size_t entries = read_u16(t, at);
    at += 2;
    for (size_t i = 0; i < entries && size - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        if (read_u16(t, at) != TAG_ORIENTATION)
            continue;
        uint32_t value = read_u16(t, at + 8);
        bool fits = read_u16(t, at + 2) == TYPE_SHORT && read_u32(t, at + 4) == 1;
        return fits && value >= 1 && value <= 8 ? (int32_t)value : 0;
    }
    return 0;
}

int32_t orientation_read(struct bytes app1) {
    if (app1.size < EXIF_NAME_BYTES + TIFF_HEAD_BYTES ||
        memcmp(app1.data, "Exif\0\0", EXIF_NAME_BYTES) != 0)
        return 0;
    struct tiff t = {{app1.data + EXIF_NAME_BYTES, app1.size - EXIF_NAME_BYTES}, false};
    if (memcmp(t.data.data, "MM\0*", 4) == 0)
        t.big_endian = true;
    else if (memcmp(t.data.data, "II*\0", 4) != 0)
        return 0;
    return find_tag(&t);
}

#define BLOCK                                                                                      \
    32 /* pixels a side that are turned together, so that both pictures stay in the cache */

/* A place in the stored picture, and the steps to what is right of it and below it when upright. */
struct walk {
    const uint8_t *from;
    ptrdiff_t right, down;
};

static struct walk walk_of(const struct image *i, int32_t orientation) {
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    ptrdiff_t row = (ptrdiff_t)i->width * 3;
    struct walk w = {i->rgb, from_right ? -3 : 3, from_bottom ? -row : row};
    if (from_right)
        w.from += row - 3;
    if (from_bottom)
        w.from += (i->height - 1) * row;
    if (orientation_transposes(orientation)) {
        ptrdiff_t right = w.right;
        w.right = w.down;
        w.down = right;
    }
    return w;
}

static void turn_block(const struct walk *w, struct image *out, int32_t x0, int32_t y0) {
    int32_t x_end = out->width - x0 < BLOCK ? out->width : x0 + BLOCK;
    int32_t y_end = out->height - y0 < BLOCK ? out->height : y0 + BLOCK;
    for (int32_t y = y0; y < y_end; y++) {
        uint8_t *to = out->rgb + ((size_t)y * (size_t)out->width + (size_t)x0) * 3;
        const uint8_t *from = w->from + y * w->down + x0 * w->right;
        for (int32_t x = x0; x < x_end; x++, to += 3, from += w->right)
            memcpy(to, from, 3);
    }
}

int orientation_apply(struct image *i, int32_t orientation) {
    if (orientation == ORIENTATION_UPRIGHT)
        return 0;
    bool transposes = orientation_transposes(orientation);
    struct image out = {transposes ? i->height : i->width, transposes ? i->width : i->height,
                        malloc((size_t)i->width * (size_t)i->height * 3)};
    if (out.rgb == NULL)
        return ERR_NOMEM;
    struct walk w = walk_of(i, orientation);
    for (int32_t y = 0; y < out.height; y += BLOCK)
        for (int32_t x = 0; x < out.width; x += BLOCK)
            turn_block(&w, &out, x, y);
    image_clear(i);
    *i = out;
    return 0;
}
