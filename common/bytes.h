/* bytes.h - borrowed runs of bytes and checked arithmetic on sizes. */
#ifndef QUIRE_COMMON_BYTES_H
#define QUIRE_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed run of bytes; not NUL-terminated, may be empty (then data may be NULL). */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline bool size_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

static inline bool size_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

#endif
