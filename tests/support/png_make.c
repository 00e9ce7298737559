/* png_make.c - a PNG writer of stored blocks and of zeros. */
#include "tests/support/png_make.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define STORED_MAX 65535u

struct writer {
    uint8_t *data;
    size_t size, capacity;
};

static void put(struct writer *w, const void *p, size_t n) {
    if (w->capacity - w->size < n) {
        w->capacity = (w->size + n) * 2;
        w->data = realloc(w->data, w->capacity);
        MUST(w->data != NULL);
    }
    if (n)
        memcpy(w->data + w->size, p, n);
    w->size += n;
}

static void put_u8(struct writer *w, unsigned v) {
    put(w, &(uint8_t){(uint8_t)v}, 1);
}

static void store_u32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void put_u32(struct writer *w, uint32_t v) {
    uint8_t b[4];
    store_u32(b, v);
    put(w, b, 4);
}

static uint32_t crc_of(const uint8_t *p, size_t n) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void put_chunk(struct writer *w, const char *type, const void *data, size_t size) {
    put_u32(w, (uint32_t)size);
    size_t at = w->size;
    put(w, type, 4);
    put(w, data, size);
    put_u32(w, crc_of(w->data + at, w->size - at));
}

/* One row of a pass: its filter byte (none) and its samples packed from the high bits down. */
static void put_row(struct writer *w, const struct png_spec *s, uint32_t x0, uint32_t dx,
                    uint32_t y) {
    static const int channels[7] = {1, 0, 3, 1, 2, 0, 4};
    unsigned held = 0;
    int bits = 0;
    put_u8(w, 0);
    for (uint32_t x = x0; x < s->width; x += dx)
        for (int c = 0; c < channels[s->colour]; c++) {
            unsigned v = s->sample ? s->sample(x, y, c) : 0;
            if (s->depth == 16)
                put_u8(w, v >> 8);
            if (s->depth >= 8) {
                put_u8(w, v & 255);
                continue;
            }
            held = held << s->depth | v;
            if ((bits += s->depth) == 8) {
                put_u8(w, held);
                held = 0;
                bits = 0;
            }
        }
    if (bits)
        put_u8(w, held << (8 - bits));
}

static void put_rows(struct writer *w, const struct png_spec *s) {
    static const uint8_t x0[7] = {0, 4, 0, 2, 0, 1, 0}, dx[7] = {8, 8, 4, 4, 2, 2, 1};
    static const uint8_t y0[7] = {0, 0, 4, 0, 2, 0, 1}, dy[7] = {8, 8, 8, 4, 4, 2, 2};
    if (!s->interlaced)
        for (uint32_t y = 0; y < s->height; y++)
            put_row(w, s, 0, 1, y);
    for (int pass = 0; s->interlaced && pass < 7; pass++)
        for (uint32_t y = y0[pass]; x0[pass] < s->width && y < s->height; y += dy[pass])
            put_row(w, s, x0[pass], dx[pass], y);
    for (size_t i = 0; i < s->extra_bytes; i++)
        put_u8(w, 0);
}

static void put_stored(struct writer *w, const uint8_t *p, size_t n) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    put(w, "\x78\x01", 2);
    for (size_t at = 0; at < n;) {
        size_t run = n - at < STORED_MAX ? n - at : STORED_MAX;
        put_u8(w, at + run == n);
        put(w, (uint8_t[]){(uint8_t)run, (uint8_t)(run >> 8)}, 2);
        put(w, (uint8_t[]){(uint8_t)~run, (uint8_t)(~run >> 8)}, 2);
        put(w, p + at, run);
        at += run;
    }
    put_u32(w, b << 16 | a);
}

struct bit_writer {
    struct writer *w;
    uint32_t held;
    unsigned count;
};

/* The lowest bit of `bits` goes first. */
static void put_bits(struct bit_writer *b, uint32_t bits, unsigned count) {
    b->held |= bits << b->count;
    for (b->count += count; b->count >= 8; b->count -= 8) {
        put_u8(b->w, b->held & 255);
        b->held >>= 8;
    }
}

/* n zeros in one block of fixed codes: a literal 0, then matches of 258 bytes at distance 1. */
static void put_zeros(struct writer *w, size_t n) {
    struct bit_writer b = {w, 0, 0};
    put(w, "\x78\x01", 2);
    put_bits(&b, 3, 3); /* last block, fixed codes */
    size_t singles = n % 258 ? n % 258 : 258;
    for (size_t i = 0; i < singles; i++)
        put_bits(&b, 0x0c, 8); /* 00110000 from its highest bit */
    for (size_t i = singles; i < n; i += 258)
        put_bits(&b, 0xa3, 13); /* 11000101 likewise, then distance 00000 */
    put_bits(&b, 0, 7);
    put_bits(&b, 0, 7); /* fills the last byte */
    put_u32(w, (uint32_t)(n % 65521) << 16 | 1);
}

struct bytes png_make(const struct png_spec *s) {
    struct writer file = {0}, rows = {0}, packed = {0};
    uint8_t header[13] = {0};
    store_u32(header, s->width);
    store_u32(header + 4, s->height);
    header[8] = s->depth;
    header[9] = s->colour;
    header[12] = s->interlaced;
    put_rows(&rows, s);
    if (s->sample)
        put_stored(&packed, rows.data, rows.size);
    else
        put_zeros(&packed, rows.size);
    put(&file, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&file, "IHDR", header, sizeof header);
    if (s->palette.size)
        put_chunk(&file, "PLTE", s->palette.data, s->palette.size);
    if (s->transparency.size)
        put_chunk(&file, "tRNS", s->transparency.data, s->transparency.size);
    put_chunk(&file, "IDAT", packed.data, packed.size);
    put_chunk(&file, "IEND", NULL, 0);
    free(rows.data);
    free(packed.data);
    return (struct bytes){file.data, file.size};
}

void png_repair_checksums(uint8_t *file, size_t size) {
    for (size_t at = 8; size >= at && size - at >= 12;) {
        uint32_t length = (uint32_t)file[at] << 24 | (uint32_t)file[at + 1] << 16 |
                          (uint32_t)file[at + 2] << 8 | file[at + 3];
        if (length > size - at - 12)
            return;
        store_u32(file + at + 8 + length, crc_of(file + at + 4, (size_t)length + 4));
        at += 12 + (size_t)length;
    }
}
