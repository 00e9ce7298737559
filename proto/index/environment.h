/* environment.h - the calls to LMDB that reader and writer share, and its codes as sentences. */
#ifndef QUIRE_PROTO_INDEX_ENVIRONMENT_H
#define QUIRE_PROTO_INDEX_ENVIRONMENT_H

#include <lmdb.h>

#include "common/error.h"
#include "proto/index/format.h"

struct index_dbs {
    MDB_dbi meta, workers, links, ages;
};

/* Opens the four databases in txn, making them when `make`. Returns LMDB's code. */
int index_dbs_open(struct index_dbs *d, MDB_txn *txn, bool make);

/* Writes a sentence for a code of LMDB or an errno; returns ERR_IO, or ERR_NOMEM. */
int index_failed(struct error *e, int lmdb_code, const char *doing);

static inline MDB_val index_val(const void *data, size_t size) {
    return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data};
}

static inline struct bytes index_bytes(const MDB_val *v) {
    return (struct bytes){v->mv_data, v->mv_size};
}

/* The worker of that slot, from the transaction. False when there is none or it can't be read. */
bool index_worker_at(MDB_txn *txn, const struct index_dbs *d, uint32_t slot,
                     struct index_worker *out);

#endif
