/* stb.h - stb_image behind a wall: JPEG and PNG only, no files, a budget of memory.
 *
 * Internal to worker/image. */
#ifndef QUIRE_IMAGE_STB_H
#define QUIRE_IMAGE_STB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

struct stb_result {
    uint8_t *rgb; /* [height][width][3], free() it; NULL on failure */
    int width, height;
    const char *why;    /* on failure: stb's short reason, static storage */
    bool over_budget;   /* it failed because it wanted more than the budget */
    bool out_of_memory; /* it failed because the system had none */
    size_t peak_bytes;  /* most that was held at once */
};

/* Decodes to 8-bit RGB, holding at most budget bytes at any moment. encoded.size <= INT_MAX. Safe
 * in any number of threads at once. */
struct stb_result stb_decode(struct bytes encoded, size_t budget);

#endif
