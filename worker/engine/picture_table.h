/* picture_table.h - what encoded pictures were found to be when they were decoded before.
 *
 * (tenant, digest of the encoded bytes, their length, options) -> (digest of what the model sees,
 * layout). It saves decoding: a picture whose pages or embeddings are still there is never looked
 * into again. Of fixed size; the entry that was not asked for the longest goes first. Tenants are
 * compared in full and never see each other's entries. */
#ifndef QUIRE_ENGINE_PICTURE_TABLE_H
#define QUIRE_ENGINE_PICTURE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/picture_digest.h"

#define PICTURE_TABLE_ENTRIES 4096
#define PICTURE_TABLE_TENANT_BYTES 64 /* pictures of longer names are not remembered */

struct picture_key {
    struct bytes tenant;
    struct picture_digest encoded;
    size_t encoded_bytes;
    struct picture_options options;
};

struct picture_seen {
    struct picture_digest digest;
    struct picture_layout layout;
};

struct picture_table;

/* Takes all its memory now, some 150 bytes an entry. 1 <= entries <= INT32_MAX / 4. ERR_NOMEM. */
int picture_table_open(struct picture_table **out, size_t entries, struct error *e);
void picture_table_close(struct picture_table *t); /* NULL is fine */

bool picture_table_find(struct picture_table *t, const struct picture_key *k,
                        struct picture_seen *out);
/* Copies the key. */
void picture_table_put(struct picture_table *t, const struct picture_key *k,
                       const struct picture_seen *seen);

#endif
