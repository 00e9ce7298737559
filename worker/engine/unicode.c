/* unicode.c - UTF-8 and a search in the table of ranges.
 *
 * ASCII, which is most text, has its own small table; all else is a binary search. */
#include "worker/engine/unicode.h"

#define L UNICODE_LETTER
#define N UNICODE_NUMBER
#define P UNICODE_PUNCTUATION
#define S UNICODE_SPACE

static const uint8_t ascii[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, S, S, S, S, S, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    S, P, P, P, 0, P, P, P, P, P, P, 0, P, P, P, P, N, N, N, N, N, N, N, N, N, N, P, P, 0, 0, 0, P,
    P, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, P, P, 0, P,
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, P, 0, P, 0, 0,
};

uint8_t unicode_classes(uint32_t code) {
    if (code < 128) {
        return ascii[code];
    }
    size_t low = 0, high = unicode_range_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (unicode_ranges[middle] >> 8 <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (uint8_t)(unicode_ranges[low] & 0xFF);
}

/* How many bytes follow a first byte, the smallest code of that length, and the bits it gives. */
static size_t read_first(uint8_t byte, uint32_t *smallest, uint32_t *code) {
    if (byte >= 0xC2 && byte < 0xE0) {
        *smallest = 0x80, *code = byte & 0x1Fu;
        return 1;
    }
    if (byte >= 0xE0 && byte < 0xF0) {
        *smallest = 0x800, *code = byte & 0x0Fu;
        return 2;
    }
    if (byte >= 0xF0 && byte < 0xF5) {
        *smallest = 0x10000, *code = byte & 0x07u;
        return 3;
    }
    return 0;
}

uint32_t utf8_read(const uint8_t *s, size_t size, size_t *used) {
    *used = 1;
    if (s[0] < 0x80) {
        return s[0];
    }
    uint32_t smallest, code;
    size_t more = read_first(s[0], &smallest, &code);
    if (more == 0 || more >= size) {
        return UNICODE_REPLACEMENT;
    }
    for (size_t i = 1; i <= more; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return UNICODE_REPLACEMENT;
        }
        code = code << 6 | (s[i] & 0x3Fu);
    }
    if (code < smallest || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        return UNICODE_REPLACEMENT;
    }
    *used = more + 1;
    return code;
}

size_t utf8_write(uint8_t out[UTF8_MAX_BYTES], uint32_t code) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t first[4] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = more; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (uint8_t)(first[more] | code);
    return more + 1;
}
