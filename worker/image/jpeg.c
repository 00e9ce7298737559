/* jpeg.c - the structure of a JPEG file, checked without decoding it.
 *
 * A JPEG is a list of segments, each a marker (0xff and a code) and most with a length; after a
 * scan header come entropy-coded bytes in which 0xff is followed by 0 or a restart code. The
 * decoder fills what is missing from a cut-off file with grey and does not say so; so the walk here
 * goes on to the end marker. It also counts scans, since each one makes the decoder touch every
 * block again. */
#include "worker/image/format.h"

#include <string.h>

#include "worker/image/jpeg_tables.h"
#include "worker/image/orientation.h"

enum {
    MARKER_SOF0 = 0xc0, /* baseline */
    MARKER_SOF1 = 0xc1, /* extended, Huffman */
    MARKER_SOF2 = 0xc2, /* progressive */
    MARKER_DHT = 0xc4,
    MARKER_JPG = 0xc8,
    MARKER_DAC = 0xcc,
    MARKER_SOF15 = 0xcf,
    MARKER_RST0 = 0xd0,
    MARKER_RST7 = 0xd7,
    MARKER_EOI = 0xd9,
    MARKER_SOS = 0xda,
    MARKER_DQT = 0xdb,
    MARKER_APP1 = 0xe1, /* Exif, XMP */
    MARKER_TEM = 0x01,
};

struct segment {
    uint8_t marker;
    size_t at; /* of its 0xff */
    struct bytes data;
};

static int cut_off(struct bytes file, struct error *e) {
    return error_set(e, ERR_BAD_PICTURE,
                     "the JPEG ends at byte %zu before its end marker; it is cut off", file.size);
}

static bool has_length(uint8_t marker) {
    return marker != MARKER_EOI && marker != MARKER_TEM &&
           !(marker >= MARKER_RST0 && marker <= MARKER_RST7);
}

/* The next marker at or after *at; bytes between segments are skipped, as decoders do. */
static int next_segment(struct bytes file, size_t *at, struct segment *out, struct error *e) {
    for (;;) {
        const uint8_t *p = *at < file.size ? memchr(file.data + *at, 0xff, file.size - *at) : NULL;
        if (p == NULL)
            return cut_off(file, e);
        size_t i = (size_t)(p - file.data);
        out->at = i;
        while (i < file.size && file.data[i] == 0xff)
            i++;
        if (i == file.size)
            return cut_off(file, e);
        *at = i + 1;
        if (file.data[i] == 0)
            continue;
        out->marker = file.data[i];
        out->data = (struct bytes){file.data + *at, 0};
        break;
    }
    if (!has_length(out->marker))
        return 0;
    if (file.size - *at < 2)
        return cut_off(file, e);
    size_t length = (size_t)file.data[*at] << 8 | file.data[*at + 1];
    if (length < 2)
        return error_set(e, ERR_BAD_PICTURE, "the JPEG's segment %02x at byte %zu has length %zu",
                         out->marker, out->at, length);
    if (length > file.size - *at)
        return cut_off(file, e);
    out->data = (struct bytes){file.data + *at + 2, length - 2};
    *at += length;
    return 0;
}

static bool is_frame(uint8_t marker) {
    return marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT &&
           marker != MARKER_JPG && marker != MARKER_DAC;
}

static int read_sampling(const struct segment *s, struct format_header *out, struct error *e) {
    out->h_max = out->v_max = 1;
    for (int32_t i = 0; i < out->components; i++) {
        int32_t h = s->data.data[7 + 3 * i] >> 4, v = s->data.data[7 + 3 * i] & 15;
        if (h < 1 || h > 4 || v < 1 || v > 4)
            return error_set(e, ERR_BAD_PICTURE,
                             "the JPEG's component %d is sampled %d x %d; 1..4 are possible", i, h,
                             v);
        out->h_max = h > out->h_max ? h : out->h_max;
        out->v_max = v > out->v_max ? v : out->v_max;
    }
    return 0;
}

static int read_frame(const struct segment *s, struct format_header *out, struct error *e) {
    if (s->marker > MARKER_SOF2)
        return error_set(e, ERR_BAD_PICTURE,
                         "the JPEG is lossless, hierarchical or arithmetic-coded (frame type %d); "
                         "save it as a common JPEG",
                         s->marker - MARKER_SOF0);
    const uint8_t *p = s->data.data;
    if (s->data.size < 6 || s->data.size != 6 + 3 * (size_t)p[5])
        return error_set(e, ERR_BAD_PICTURE, "the JPEG's frame header at byte %zu is damaged",
                         s->at);
    out->kind = FORMAT_JPEG;
    out->height = p[1] << 8 | p[2];
    out->width = p[3] << 8 | p[4];
    out->components = p[5];
    out->progressive = s->marker == MARKER_SOF2;
    if (p[0] != 8)
        return error_set(e, ERR_BAD_PICTURE, "the JPEG has %u bits a sample; only 8 are read",
                         p[0]);
    if (out->width == 0 || out->height == 0)
        return error_set(e, ERR_BAD_PICTURE, "the JPEG says it is %d x %d pixels", out->width,
                         out->height);
    if (out->components != 1 && out->components != 3 && out->components != 4)
        return error_set(e, ERR_BAD_PICTURE, "the JPEG has %d components; 1, 3 or 4 are read",
                         out->components);
    return read_sampling(s, out, e);
}

int jpeg_read_header(struct bytes encoded, struct format_header *out, struct error *e) {
    size_t at = 2; /* past the start marker */
    int32_t orientation = 0;
    struct segment s;
    int code;
    while ((code = next_segment(encoded, &at, &s, e)) == 0) {
        if (is_frame(s.marker)) {
            out->orientation = orientation > 0 ? orientation : ORIENTATION_UPRIGHT;
            return read_frame(&s, out, e);
        }
        if (s.marker == MARKER_APP1 && orientation == 0)
            orientation = orientation_read(s.data);
        if (s.marker == MARKER_SOS || s.marker == MARKER_EOI)
            return error_set(e, ERR_BAD_PICTURE, "the JPEG has no frame header before byte %zu",
                             s.at);
    }
    return code;
}

/* Every unit of the picture takes a bit at least. */
static int check_data(struct bytes encoded, const struct format_header *h, struct error *e) {
    size_t across = ((size_t)h->width + 8u * (size_t)h->h_max - 1) / (8u * (size_t)h->h_max);
    size_t down = ((size_t)h->height + 8u * (size_t)h->v_max - 1) / (8u * (size_t)h->v_max);
    if (across * down / 8 > encoded.size)
        return error_set(e, ERR_BAD_PICTURE,
                         "the JPEG says it is %d x %d pixels but has only %zu bytes", h->width,
                         h->height, encoded.size);
    return 0;
}

/* Moves *at past entropy-coded bytes, to the 0xff of the marker that ends them. */
static void skip_entropy(struct bytes file, size_t *at) {
    while (*at < file.size) {
        const uint8_t *p = memchr(file.data + *at, 0xff, file.size - *at);
        size_t i = p ? (size_t)(p - file.data) : file.size;
        *at = i;
        if (i + 1 >= file.size)
            return;
        uint8_t next = file.data[i + 1];
        if (next != 0 && !(next >= MARKER_RST0 && next <= MARKER_RST7))
            return;
        *at = i + 2;
    }
}

static int check_segment(const struct segment *s, struct jpeg_tables *t, struct error *e) {
    switch (s->marker) {
    case MARKER_DHT:
        return jpeg_check_huffman(t, s->data, s->at, e);
    case MARKER_DQT:
        return jpeg_check_quant(t, s->data, s->at, e);
    case MARKER_SOF0:
    case MARKER_SOF1:
    case MARKER_SOF2:
        return jpeg_check_frame(t, s->data, s->at, e);
    case MARKER_SOS:
        return jpeg_check_scan(t, s->data, s->at, e);
    default:
        return 0;
    }
}

int jpeg_check_body(struct bytes encoded, const struct format_header *h, struct error *e) {
    struct jpeg_tables tables = {.progressive = h->progressive};
    size_t at = 2; /* past the start marker */
    int scans = 0;
    struct segment s;
    int code;
    while ((code = next_segment(encoded, &at, &s, e)) == 0) {
        if ((code = check_segment(&s, &tables, e)) != 0)
            return code;
        if (s.marker == MARKER_EOI) {
            if (scans == 0)
                return error_set(e, ERR_BAD_PICTURE, "the JPEG has no picture data");
            return check_data(encoded, h, e);
        }
        if (s.marker == MARKER_SOS) {
            if (++scans > FORMAT_MAX_SCANS)
                return error_set(e, ERR_BAD_PICTURE, "the JPEG has more than %d scans",
                                 FORMAT_MAX_SCANS);
            skip_entropy(encoded, &at);
        }
    }
    return code;
}
