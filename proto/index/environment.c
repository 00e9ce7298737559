/* environment.c - see environment.h. */
#include "proto/index/environment.h"

#include <errno.h>

int index_dbs_open(struct index_dbs *d, MDB_txn *txn, bool make) {
    unsigned flags = make ? MDB_CREATE : 0;
    int rc = mdb_dbi_open(txn, INDEX_DB_META, flags, &d->meta);
    if (rc == 0)
        rc = mdb_dbi_open(txn, INDEX_DB_WORKERS, flags, &d->workers);
    if (rc == 0)
        rc = mdb_dbi_open(txn, INDEX_DB_LINKS, flags | MDB_DUPSORT | MDB_DUPFIXED, &d->links);
    if (rc == 0)
        rc = mdb_dbi_open(txn, INDEX_DB_AGES, flags, &d->ages);
    return rc;
}

int index_failed(struct error *e, int lmdb_code, const char *doing) {
    return error_set(e, lmdb_code == ENOMEM ? ERR_NOMEM : ERR_IO, "%s: %s", doing,
                     mdb_strerror(lmdb_code));
}

bool index_worker_at(MDB_txn *txn, const struct index_dbs *d, uint32_t slot,
                     struct index_worker *out) {
    uint8_t bytes[4];
    index_slot_write(slot, bytes);
    MDB_val key = index_val(bytes, sizeof bytes), value;
    return mdb_get(txn, d->workers, &key, &value) == 0 &&
           index_worker_read(out, index_bytes(&key), index_bytes(&value));
}
