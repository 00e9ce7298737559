/* store_links.h - the store's state, and its changes to links and ages; for broker/index only. */
#ifndef QUIRE_BROKER_INDEX_STORE_LINKS_H
#define QUIRE_BROKER_INDEX_STORE_LINKS_H

#include "broker/index/store.h"
#include "proto/index/environment.h"

struct store {
    MDB_env *env;
    MDB_txn *txn;
    struct index_dbs dbs;
    MDB_cursor *links, *ages; /* of txn */
    struct index_meta meta;
    struct index_worker workers[INDEX_WORKERS_MAX]; /* all that are in the file */
    size_t n_workers;
    uint64_t max_links, newest_us;
    size_t pending;
    bool sweep_due;   /* there may be void records from sweep_from on */
    bool sweep_again; /* and before it */
    struct link sweep_from;
    uint64_t holders, bytes; /* as of the last commit */
    enum store_fault fault;
};

/* Microseconds since 1970, and later than the newest record. */
uint64_t store_now_us(const struct store *s);

/* Note the fault; return ERR_IO or ERR_NOMEM with the sentence. */
int store_failed(struct store *s, int lmdb_code, const char *doing, struct error *e);
int store_damaged(struct store *s, const char *db, struct error *e);

/* NULL when it is not known; moves when workers change. */
struct index_worker *store_find(struct store *s, uint64_t incarnation);
bool store_is_current(const struct store *s, const struct index_holder *h);

int store_add_all(struct store *s, const struct index_worker *holder, struct bytes held,
                  struct error *e);
int store_drop_all(struct store *s, const struct index_worker *holder, struct bytes dropped,
                   struct error *e);

/* Removes the void ones of the next `most` holders from sweep_from on, and moves that. */
int store_sweep_some(struct store *s, size_t most, bool *end, struct error *e);

#endif
