/* reader.h - reading the index while its writer goes on.
 *
 * Each call is one short read transaction; what it returns is copied out. A reader that sleeps
 * holds no pages back. Nothing here writes, but for the reader's entry in lock.mdb.
 *
 * A damaged file can crash or stall whoever maps it: call all of this inside guard_run. */
#ifndef QUIRE_PROTO_INDEX_READER_H
#define QUIRE_PROTO_INDEX_READER_H

#include "common/error.h"
#include "proto/index/format.h"

struct index_reader;

/* Opens DIR for reading. ERR_NOT_FOUND when there is no index, ERR_UNSUPPORTED when it is of
 * another format, ERR_IO; *out is then NULL. One per process. */
int index_reader_open(struct index_reader **out, const char *dir, struct error *e);
void index_reader_close(struct index_reader *r); /* NULL is fine */

struct index_entry {
    struct link link;
    struct index_holder holder;
    bool is_void; /* its slot has another incarnation now, or none */
};

struct index_totals {
    struct index_meta meta;
    uint64_t links;   /* keys */
    uint64_t holders; /* values of them */
    uint64_t bytes;   /* of data.mdb in use */
    size_t workers;
};
int index_reader_totals(struct index_reader *r, struct index_totals *out, struct error *e);

/* Copies out the workers, at most `capacity`, and how many. ERR_IO when a record is damaged. */
int index_reader_workers(struct index_reader *r, struct index_worker *out, size_t capacity,
                         size_t *n, struct error *e);

/* Copies out up to `capacity` entries in the order of their links and slots, beginning after *after
 * (NULL: with the first). *n 0: there are no more. A writer may change the index between two calls;
 * what is there all the time is seen exactly once. ERR_IO when a record is damaged. */
int index_reader_entries(struct index_reader *r, const struct index_entry *after,
                         struct index_entry *out, size_t capacity, size_t *n, struct error *e);

/* The same for the holders of one link. */
int index_reader_find(struct index_reader *r, const struct link *link, struct index_entry *out,
                      size_t capacity, size_t *n, struct error *e);

/* Reads every record of every database, the list of free pages too, and compares ages with links.
 * ERR_IO with a sentence when something can't be. */
int index_reader_check(struct index_reader *r, struct error *e);

#endif
