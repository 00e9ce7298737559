/* jpeg_tables.h - the tables a JPEG defines and the scans that use them, checked.
 *
 * Internal to worker/image. The decoder trusts the sizes inside table segments and that a scan's
 * tables exist; so every one is looked at here first. */
#ifndef QUIRE_IMAGE_JPEG_TABLES_H
#define QUIRE_IMAGE_JPEG_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

#define JPEG_TABLES 4     /* of each kind */
#define JPEG_COMPONENTS 4 /* at most */

/* What has been seen so far; starts as zeros. */
struct jpeg_tables {
    bool progressive;
    bool quant[JPEG_TABLES], dc[JPEG_TABLES], ac[JPEG_TABLES];
    int32_t components;
    struct {
        uint8_t id, quant;
    } component[JPEG_COMPONENTS];
};

/* Each takes a segment's content, without marker and length. `at`, its place in the file, is for
 * the sentence only. ERR_BAD_PICTURE. */
int jpeg_check_huffman(struct jpeg_tables *t, struct bytes data, size_t at, struct error *e);
int jpeg_check_quant(struct jpeg_tables *t, struct bytes data, size_t at, struct error *e);
int jpeg_check_frame(struct jpeg_tables *t, struct bytes data, size_t at, struct error *e);
int jpeg_check_scan(const struct jpeg_tables *t, struct bytes data, size_t at, struct error *e);

#endif
