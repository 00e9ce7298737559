/* png.c - the structure of a PNG file, checked without decoding it.
 *
 * A PNG is a signature and a list of chunks: length, type, data, CRC-32 of type and data. Here
 * every chunk is inside the file, the ones that matter are in order and undamaged, and IDAT carries
 * enough bytes that its pixels could be there: deflate expands at most 1032 times, so a small file
 * that claims a huge picture is refused before memory is taken for it. That it may not inflate to
 * *more* than its pixels is the decoder's budget (decode.c). */
#include "worker/image/format.h"

#include <string.h>

#define SIGNATURE_BYTES 8
#define CHUNK_EXTRA_BYTES 12 /* length, type, CRC */
#define IHDR_BYTES 13
#define DEFLATE_MAX_RATIO 1032

#define CHUNK(a, b, c, d)                                                                          \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define CHUNK_IHDR CHUNK('I', 'H', 'D', 'R')
#define CHUNK_PLTE CHUNK('P', 'L', 'T', 'E')
#define CHUNK_TRNS CHUNK('t', 'R', 'N', 'S')
#define CHUNK_IDAT CHUNK('I', 'D', 'A', 'T')
#define CHUNK_IEND CHUNK('I', 'E', 'N', 'D')
#define CHUNK_CGBI CHUNK('C', 'g', 'B', 'I')

struct chunk {
    uint32_t type;
    size_t at; /* of the length field, in the file */
    struct bytes data;
};

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads the chunk at *at and moves *at past it. */
static int next_chunk(struct bytes file, size_t *at, struct chunk *out, struct error *e) {
    size_t left = file.size - *at;
    if (left < CHUNK_EXTRA_BYTES)
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG ends at byte %zu before its IEND chunk; it is cut off",
                         file.size);
    const uint8_t *p = file.data + *at;
    uint32_t length = read_u32(p);
    if (length > left - CHUNK_EXTRA_BYTES)
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG's chunk at byte %zu is %u bytes long but only %zu follow; it is "
                         "cut off or damaged",
                         *at, length, left - CHUNK_EXTRA_BYTES);
    out->type = read_u32(p + 4);
    out->at = *at;
    out->data = (struct bytes){p + 8, length};
    *at += CHUNK_EXTRA_BYTES + length;
    return 0;
}

/* CRC-32 of PNG and zlib, four bits at a time. */
static uint32_t crc32_of(const uint8_t *p, size_t n) {
    static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc = nibble[(crc ^ p[i]) & 15] ^ (crc >> 4);
        crc = nibble[(crc ^ (p[i] >> 4)) & 15] ^ (crc >> 4);
    }
    return ~crc;
}

static int check_crc(const struct chunk *c, struct error *e) {
    if (read_u32(c->data.data + c->data.size) == crc32_of(c->data.data - 4, c->data.size + 4))
        return 0;
    return error_set(e, ERR_BAD_PICTURE,
                     "the PNG's %.4s chunk at byte %zu is damaged (its checksum does not match)",
                     (const char *)c->data.data - 4, c->at);
}

static int32_t channels_of(uint8_t colour) {
    static const uint8_t channels[7] = {1, 0, 3, 1, 2, 0, 4};
    return colour < sizeof channels ? channels[colour] : 0;
}

static bool depth_fits(uint8_t colour, uint8_t depth) {
    if (depth == 8)
        return true;
    if (depth == 16)
        return colour != 3;
    return (depth == 1 || depth == 2 || depth == 4) && (colour == 0 || colour == 3);
}

int png_read_header(struct bytes encoded, struct format_header *out, struct error *e) {
    size_t at = SIGNATURE_BYTES;
    struct chunk c;
    int code = next_chunk(encoded, &at, &c, e);
    if (code)
        return code;
    if (c.type == CHUNK_CGBI)
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG is of Apple's private kind (CgBI); save it as a standard PNG");
    if (c.type != CHUNK_IHDR || c.data.size != IHDR_BYTES)
        return error_set(e, ERR_BAD_PICTURE, "the PNG does not begin with an IHDR chunk");
    if ((code = check_crc(&c, e)) != 0)
        return code;
    const uint8_t *p = c.data.data;
    uint32_t width = read_u32(p), height = read_u32(p + 4);
    uint8_t depth = p[8], colour = p[9];
    if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
        return error_set(e, ERR_BAD_PICTURE, "the PNG says it is %u x %u pixels", width, height);
    if (channels_of(colour) == 0 || !depth_fits(colour, depth))
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG has colour type %u with %u bits, which the format does not know",
                         colour, depth);
    if (p[10] != 0 || p[11] != 0 || p[12] > 1)
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG uses compression %u, filter %u, interlace %u, which the format "
                         "does not know",
                         p[10], p[11], p[12]);
    out->kind = FORMAT_PNG;
    out->width = (int32_t)width;
    out->height = (int32_t)height;
    out->depth = depth;
    out->channels = channels_of(colour);
    out->palette = colour == 3;
    out->interlaced = p[12] == 1;
    return 0;
}

static size_t pass_bytes(const struct format_header *h, size_t width, size_t height) {
    if (width == 0 || height == 0)
        return 0;
    size_t bits = width * (size_t)h->depth * (size_t)h->channels;
    return height * (1 + (bits + 7) / 8);
}

size_t png_raw_bytes(const struct format_header *h) {
    /* Adam7: first column and row, and the steps, of each pass. */
    static const uint8_t x0[7] = {0, 4, 0, 2, 0, 1, 0}, dx[7] = {8, 8, 4, 4, 2, 2, 1};
    static const uint8_t y0[7] = {0, 0, 4, 0, 2, 0, 1}, dy[7] = {8, 8, 8, 4, 4, 2, 2};
    size_t width = (size_t)h->width, height = (size_t)h->height, sum = 0;
    if (!h->interlaced)
        return pass_bytes(h, width, height);
    for (int i = 0; i < 7; i++)
        sum += pass_bytes(h, (width + dx[i] - 1u - x0[i]) / dx[i],
                          (height + dy[i] - 1u - y0[i]) / dy[i]);
    return sum;
}

static int check_data(const struct format_header *h, size_t idat_bytes, struct error *e) {
    if (png_raw_bytes(h) / DEFLATE_MAX_RATIO > idat_bytes)
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG says it is %d x %d pixels but carries only %zu bytes of them",
                         h->width, h->height, idat_bytes);
    return 0;
}

static int check_palette(const struct format_header *h, const struct chunk *c, size_t *entries,
                         struct error *e) {
    if (*entries || c->data.size == 0 || c->data.size % 3 || c->data.size > 256 * 3)
        return error_set(e, ERR_BAD_PICTURE,
                         "the PNG's palette at byte %zu has %zu bytes or is its second one", c->at,
                         c->data.size);
    if (h->palette)
        *entries = c->data.size / 3;
    return check_crc(c, e);
}

static bool transparency_fits(const struct format_header *h, size_t size, size_t entries) {
    if (h->palette)
        return size <= entries;
    return (h->channels & 1) && size == (size_t)h->channels * 2;
}

int png_check_body(struct bytes encoded, const struct format_header *h, struct error *e) {
    size_t at = SIGNATURE_BYTES, idat_bytes = 0, entries = 0;
    struct chunk c;
    int code = next_chunk(encoded, &at, &c, e); /* IHDR, checked before */
    while (code == 0 && (code = next_chunk(encoded, &at, &c, e)) == 0) {
        switch (c.type) {
        case CHUNK_IEND:
            return check_data(h, idat_bytes, e);
        case CHUNK_PLTE:
            code = check_palette(h, &c, &entries, e);
            break;
        case CHUNK_TRNS:
            if (idat_bytes || !transparency_fits(h, c.data.size, entries))
                return error_set(e, ERR_BAD_PICTURE,
                                 "the PNG's transparency at byte %zu does not fit its colours",
                                 c.at);
            code = check_crc(&c, e);
            break;
        case CHUNK_IDAT:
            if (h->palette && entries == 0)
                return error_set(e, ERR_BAD_PICTURE, "the PNG has no palette before its pixels");
            if (idat_bytes + c.data.size == 0) /* stb would copy them to NULL */
                return error_set(e, ERR_BAD_PICTURE,
                                 "the PNG's pixels begin with an empty chunk at byte %zu", c.at);
            idat_bytes += c.data.size;
            code = check_crc(&c, e);
            break;
        default:
            if ((c.type & 0x20000000u) == 0) /* upper-case first letter: cannot be ignored */
                return error_set(e, ERR_BAD_PICTURE,
                                 "the PNG has a chunk of unknown type %08x at byte %zu", c.type,
                                 c.at);
        }
    }
    return code;
}
