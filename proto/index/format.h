/* format.h - the records of the index: which worker holds which link, kept in LMDB.
 *
 * proto/INDEX.md describes the same for readers in other languages. Integers are big-endian, so
 * that LMDB's order, which is that of bytes, is theirs too. Every value that a reader acts upon
 * ends in a check of 32 bits over its key and the rest of it, since LMDB itself has no checksums.
 *
 * All of it is a hint. A record that is wrong costs somebody's time, never an answer. */
#ifndef QUIRE_PROTO_INDEX_FORMAT_H
#define QUIRE_PROTO_INDEX_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "proto/limits.h"
#include "proto/segments.h"

#define INDEX_FORMAT 1 /* in meta; another number is another format */

#define INDEX_DB_META "meta"
#define INDEX_DB_WORKERS "workers"
#define INDEX_DB_LINKS "links" /* MDB_DUPSORT | MDB_DUPFIXED */
#define INDEX_DB_AGES "ages"
#define INDEX_DBS 4
#define INDEX_READERS 126     /* of the environment, all processes together */
#define INDEX_WORKERS_MAX 512 /* records in workers; those that registered first go first */
#define INDEX_PATH_BYTES 512  /* of a file in the index's directory */

/* ---- links: key = link (16 bytes), a value for each worker that holds it ---- */

#define INDEX_HOLDER_BYTES 28

struct index_holder {
    uint32_t slot;        /* key in workers */
    uint64_t incarnation; /* void unless it is that slot's */
    uint32_t
        positions;    /* from the prompt's begin to the segment's end; 0: a picture's embeddings */
    uint64_t used_us; /* last use, microseconds since 1970; rises with every message of a worker,
                        whatever the clock does */
};

/* ---- workers: key = slot (4 bytes) ---- */

#define INDEX_ADDRESS_BYTES 64
#define INDEX_TEXT_BYTES 128
#define INDEX_WORKER_BYTES (8 + 8 + 16 + 4 * (1 + INDEX_TEXT_BYTES) + 4) /* at most */

struct index_text {
    uint8_t size;
    char text[INDEX_TEXT_BYTES + 1]; /* NUL-terminated */
};

struct index_worker {
    uint32_t slot;
    uint64_t incarnation;
    uint64_t since_us; /* when it registered, microseconds since 1970 */
    uint8_t fingerprint[16];
    struct index_text name, model, template_id;
    struct index_text address; /* as the transport tells it; empty for a local one */
};

/* Keeps a copy; what is longer than INDEX_TEXT_BYTES is cut. */
void index_text_set(struct index_text *t, struct bytes from);

/* ---- ages: key = used_us, link, slot; no value. One for each holder in links ---- */

#define INDEX_AGE_BYTES (8 + LINK_BYTES + 4)

struct index_age {
    uint64_t used_us;
    struct link link;
    uint32_t slot;
};

/* ---- meta: one record ---- */

#define INDEX_META_KEY "index"
#define INDEX_META_BYTES 32

struct index_meta {
    uint32_t format;
    uint32_t next_slot;  /* slots are numbered on and never used again */
    uint64_t created_us; /* microseconds since 1970 */
    uint64_t seed_mark;  /* a hash of the chain's seed: links of another seed are of no use */
};

/* ---- to and from bytes. Reading returns false for a record of the wrong size, with a wrong check
 * or with content that can't be ---- */

void index_holder_write(const struct index_holder *h, const struct link *link,
                        uint8_t out[INDEX_HOLDER_BYTES]);
bool index_holder_read(struct index_holder *h, const struct link *link, struct bytes from);

/* Returns how many bytes were written. */
size_t index_worker_write(const struct index_worker *w, uint8_t out[INDEX_WORKER_BYTES]);
bool index_worker_read(struct index_worker *w, struct bytes key, struct bytes value);

void index_age_write(const struct index_age *a, uint8_t out[INDEX_AGE_BYTES]);
bool index_age_read(struct index_age *a, struct bytes from);

void index_meta_write(const struct index_meta *m, uint8_t out[INDEX_META_BYTES]);
bool index_meta_read(struct index_meta *m, struct bytes from);

void index_slot_write(uint32_t slot, uint8_t out[4]);

/* DIR/data.mdb and the like. False when the path is longer than INDEX_PATH_BYTES. */
bool index_path(char out[INDEX_PATH_BYTES], const char *dir, const char *file);
#define INDEX_DATA_FILE "data.mdb"
#define INDEX_LOCK_FILE "lock.mdb"

#endif
