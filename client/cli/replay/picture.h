/* picture.h - small drawings from a seed, as PNG files in memory, in place of screenshots and
 * photos.
 */
#ifndef QUIRE_CLI_REPLAY_PICTURE_H
#define QUIRE_CLI_REPLAY_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define PICTURE_MAX_SIDE 4096 /* pixels */

/* Draws width x height pixels (each 1..PICTURE_MAX_SIDE). *data is the caller's, from malloc.
 * ERR_NOMEM, ERR_LIMIT. Different seeds give different pixels; the same one the same file. */
int picture_make(uint64_t seed, uint32_t width, uint32_t height, uint8_t **data, size_t *size,
                 struct error *e);

#endif
