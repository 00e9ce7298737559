/* unicode.h - UTF-8 and the classes of characters that pre-tokenizers ask for. */
#ifndef QUIRE_ENGINE_UNICODE_H
#define QUIRE_ENGINE_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum unicode_class {
    UNICODE_LETTER = 1,      /* general category L* */
    UNICODE_NUMBER = 2,      /* N* */
    UNICODE_MARK = 4,        /* M* */
    UNICODE_PUNCTUATION = 8, /* P* */
    UNICODE_SPACE = 16,      /* property White_Space */
};

#define UNICODE_REPLACEMENT 0xFFFDu
#define UTF8_MAX_BYTES 4

/* The classes of a code point, or-ed; 0 for symbols, controls and what is not assigned. */
uint8_t unicode_classes(uint32_t code);

/* Reads one code point from the `size` > 0 bytes at s. Sets *used, 1..4. A byte that begins no
 * well-formed sequence (RFC 3629) is UNICODE_REPLACEMENT with *used 1. */
uint32_t utf8_read(const uint8_t *s, size_t size, size_t *used);

/* Writes code (below 0x110000) and returns how many bytes it took, 1..4. */
size_t utf8_write(uint8_t out[UTF8_MAX_BYTES], uint32_t code);

/* In unicode_tables.c. */
extern const size_t unicode_range_count;
extern const uint32_t unicode_ranges[];

#endif
