/* store.h - the index's one writer: LMDB transactions around what workers hold.
 *
 * Changes gather in one open write transaction until store_commit. After any failure nothing but
 * store_close is allowed; what was not committed is lost. */
#ifndef QUIRE_BROKER_INDEX_STORE_H
#define QUIRE_BROKER_INDEX_STORE_H

#include "common/error.h"
#include "proto/index/format.h"

/* What a failure means for the file. */
enum store_fault {
    STORE_FULL,     /* no room: on the disk, in the map, or by a limit on files */
    STORE_DAMAGED,  /* its content is wrong */
    STORE_UNUSABLE, /* it can't be opened, read or written */
};

struct store_settings {
    const char *dir;
    uint64_t max_links; /* holders kept; the least recently used go first */
    uint64_t seed_mark;
};

struct store;

/* Opens DIR, which must exist, or makes the files. Begins the first transaction. A failure leaves
 * *out NULL, and says in *fault what it means. ERR_IO, ERR_NOMEM. */
int store_open(struct store **out, const struct store_settings *s, enum store_fault *fault,
               struct error *e);
void store_close(struct store *s); /* NULL is fine; without a commit */

/* ---- changes: 0, or ERR_IO with *fault (store_fault_of) ---- */

/* This incarnation is there. One of another incarnation with its name is void from now on. */
int store_worker(struct store *s, const struct index_worker *w, struct error *e);
int store_void(struct store *s, uint64_t incarnation, struct error *e);
/* What LINKS says; of an incarnation that is not known: nothing. */
int store_links(struct store *s, uint64_t incarnation, bool reset, struct bytes held,
                struct bytes dropped, struct error *e);

/* Removes void records, a bounded number in one call; *more: call again. */
int store_sweep(struct store *s, bool *more, struct error *e);

int store_commit(struct store *s, struct error *e);

enum store_fault store_fault_of(const struct store *s); /* of the last failure */
size_t store_pending(const struct store *s);            /* changes since the last commit */
uint64_t store_holders(const struct store *s);          /* as of the last commit */
uint64_t store_bytes(const struct store *s);

/* ---- what was recorded ---- */

struct store_listener {
    void *context;
    void (*worker)(void *context, const struct index_worker *w);
    /* LINK_HELD_BYTES each, at most LIMIT_LINKS of them */
    void (*held)(void *context, uint64_t incarnation, struct bytes held);
};

/* Tells every worker, then all they hold that is not void. */
int store_tell(struct store *s, const struct store_listener *to, struct error *e);

#endif
