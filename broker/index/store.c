/* store.c - the environment, its transaction, and the workers.
 *
 * The file is opened with MDB_NOSYNC: nothing waits for the disk. What the kernel has, it has also
 * after this process was killed; after a power cut the file may be damaged, is then found so by the
 * check at start, and the workers it speaks of are gone anyway. Without MDB_WRITEMAP a full disk is
 * an error code and no SIGBUS, and a stray pointer of ours can't write into the map.
 *
 * A slot is never used twice. So "all that this worker held is void" is one write: its record moves
 * to a new slot (or goes), and links that name the old one mean nothing. store_sweep removes them
 * later. */
#include "broker/index/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/index/store_links.h"

#define SWEEP_LINKS 1024 /* looked at in one call of store_sweep */

/* The map is address space; the file grows as far as it needs. A holder takes about 130 bytes in
 * links and ages; pages are two thirds full at random, and each transaction needs new ones until
 * the last but one is given back. */
#define MAP_BASE_BYTES ((size_t)64 << 20)
#define MAP_LINK_BYTES 512

uint64_t store_now_us(const struct store *s) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    return now_us > s->newest_us ? now_us : s->newest_us + 1; /* the wall clock may be set back */
}

static enum store_fault fault_of(int code) {
    switch (code) {
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STORE_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
    case EIO:
    case ENOENT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOTDIR:
    case MDB_READERS_FULL:
        return STORE_UNUSABLE;
    default:
        return STORE_DAMAGED;
    }
}

int store_failed(struct store *s, int code, const char *doing, struct error *e) {
    s->fault = fault_of(code);
    return index_failed(e, code, doing);
}

int store_damaged(struct store *s, const char *db, struct error *e) {
    s->fault = STORE_DAMAGED;
    return error_set(e, ERR_IO, "a record of \"%s\" is damaged", db);
}

/* ---- workers ---- */

struct index_worker *store_find(struct store *s, uint64_t incarnation) {
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i].incarnation == incarnation)
            return &s->workers[i];
    return NULL;
}

bool store_is_current(const struct store *s, const struct index_holder *h) {
    for (size_t i = 0; i < s->n_workers; i++)
        if (s->workers[i].slot == h->slot)
            return s->workers[i].incarnation == h->incarnation;
    return false;
}

static int write_meta(struct store *s, struct error *e) {
    uint8_t bytes[INDEX_META_BYTES];
    index_meta_write(&s->meta, bytes);
    MDB_val key = index_val(INDEX_META_KEY, sizeof INDEX_META_KEY - 1);
    MDB_val value = index_val(bytes, sizeof bytes);
    int rc = mdb_put(s->txn, s->dbs.meta, &key, &value, 0);
    return rc == 0 ? 0 : store_failed(s, rc, "the index's head can't be written", e);
}

static int write_worker(struct store *s, const struct index_worker *w, struct error *e) {
    uint8_t slot[4], bytes[INDEX_WORKER_BYTES];
    index_slot_write(w->slot, slot);
    size_t size = index_worker_write(w, bytes);
    MDB_val key = index_val(slot, sizeof slot), value = index_val(bytes, size);
    int rc = mdb_put(s->txn, s->dbs.workers, &key, &value, 0);
    s->pending++;
    return rc == 0 ? 0 : store_failed(s, rc, "a worker can't be recorded", e);
}

static int delete_worker(struct store *s, struct index_worker *w, struct error *e) {
    uint8_t slot[4];
    index_slot_write(w->slot, slot);
    MDB_val key = index_val(slot, sizeof slot);
    int rc = mdb_del(s->txn, s->dbs.workers, &key, NULL);
    *w = s->workers[--s->n_workers];
    s->pending++;
    s->sweep_again = s->sweep_due; /* one is under way, perhaps far into the file */
    s->sweep_due = true;
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : store_failed(s, rc, "a worker can't be removed", e);
}

static struct index_worker *first_registered(struct store *s) {
    struct index_worker *first = &s->workers[0];
    for (size_t i = 1; i < s->n_workers; i++)
        if (s->workers[i].since_us < first->since_us ||
            (s->workers[i].since_us == first->since_us && s->workers[i].slot < first->slot))
            first = &s->workers[i];
    return first;
}

/* Writes w, as of *from, under a new slot. */
static int add_worker(struct store *s, const struct index_worker *from, struct error *e) {
    int rc = 0;
    if (s->n_workers == INDEX_WORKERS_MAX)
        rc = delete_worker(s, first_registered(s), e);
    if (rc != 0)
        return rc;
    struct index_worker *w = &s->workers[s->n_workers++];
    *w = *from;
    w->slot = s->meta.next_slot++;
    w->since_us = store_now_us(s);
    rc = write_meta(s, e);
    return rc == 0 ? write_worker(s, w, e) : rc;
}

static bool same_name(const struct index_worker *a, const struct index_worker *b) {
    return a->name.size == b->name.size && memcmp(a->name.text, b->name.text, a->name.size) == 0;
}

int store_worker(struct store *s, const struct index_worker *w, struct error *e) {
    struct index_worker *known = store_find(s, w->incarnation);
    if (known) {
        struct index_worker now = *w;
        now.slot = known->slot;
        now.since_us = known->since_us;
        *known = now;
        return write_worker(s, known, e);
    }
    for (size_t i = s->n_workers; i-- > 0;)
        if (same_name(&s->workers[i], w)) {
            int rc = delete_worker(s, &s->workers[i], e);
            if (rc != 0)
                return rc;
        }
    return add_worker(s, w, e);
}

int store_void(struct store *s, uint64_t incarnation, struct error *e) {
    struct index_worker *w = store_find(s, incarnation);
    return w ? delete_worker(s, w, e) : 0;
}

int store_links(struct store *s, uint64_t incarnation, bool reset, struct bytes held,
                struct bytes dropped, struct error *e) {
    struct index_worker *w = store_find(s, incarnation);
    if (!w)
        return 0;
    if (reset) {
        struct index_worker copy = *w;
        int rc = delete_worker(s, w, e);
        if (rc == 0)
            rc = add_worker(s, &copy, e);
        if (rc != 0)
            return rc;
        w = store_find(s, incarnation);
    }
    struct index_worker holder = *w;
    int rc = store_add_all(s, &holder, held, e);
    return rc == 0 ? store_drop_all(s, &holder, dropped, e) : rc;
}

/* ---- transactions ---- */

static int begin(struct store *s, struct error *e) {
    int rc = mdb_txn_begin(s->env, NULL, 0, &s->txn);
    if (rc == 0)
        rc = mdb_cursor_open(s->txn, s->dbs.links, &s->links);
    if (rc == 0)
        rc = mdb_cursor_open(s->txn, s->dbs.ages, &s->ages);
    return rc == 0 ? 0 : store_failed(s, rc, "a write transaction can't begin", e);
}

static void measure(struct store *s) {
    MDB_stat stat;
    MDB_envinfo info;
    if (mdb_stat(s->txn, s->dbs.ages, &stat) == 0)
        s->holders = stat.ms_entries;
    if (mdb_env_info(s->env, &info) == 0)
        s->bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
}

/* In a write transaction the cursors go with it. */
static void end_cursors(struct store *s) {
    if (s->links)
        mdb_cursor_close(s->links);
    if (s->ages)
        mdb_cursor_close(s->ages);
    s->links = s->ages = NULL;
}

int store_commit(struct store *s, struct error *e) {
    end_cursors(s);
    int rc = mdb_txn_commit(s->txn);
    s->txn = NULL;
    if (rc != 0)
        return store_failed(s, rc, "the index can't be written", e);
    s->pending = 0;
    /* Readers that were killed would keep old pages from being used again. */
    int dead;
    (void)mdb_reader_check(s->env, &dead);
    rc = begin(s, e);
    if (rc == 0)
        measure(s);
    return rc;
}

/* ---- open and close ---- */

static int read_workers(struct store *s, struct error *e) {
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = 0, code = mdb_cursor_open(s->txn, s->dbs.workers, &cursor);
    if (code != 0)
        return store_failed(s, code, "the workers can't be read", e);
    while (rc == 0 && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct index_worker w;
        if (s->n_workers == INDEX_WORKERS_MAX ||
            !index_worker_read(&w, index_bytes(&key), index_bytes(&value)) ||
            w.slot >= s->meta.next_slot)
            rc = store_damaged(s, INDEX_DB_WORKERS, e);
        else
            s->workers[s->n_workers++] = w;
    }
    mdb_cursor_close(cursor);
    if (rc == 0 && code != MDB_NOTFOUND)
        rc = store_failed(s, code, "the workers can't be read", e);
    return rc;
}

static int read_meta(struct store *s, uint64_t seed_mark, struct error *e) {
    MDB_val key = index_val(INDEX_META_KEY, sizeof INDEX_META_KEY - 1), value;
    int rc = mdb_get(s->txn, s->dbs.meta, &key, &value);
    if (rc == MDB_NOTFOUND) {
        s->meta = (struct index_meta){.format = INDEX_FORMAT,
                                      .next_slot = 1,
                                      .created_us = store_now_us(s),
                                      .seed_mark = seed_mark};
        return write_meta(s, e);
    }
    if (rc != 0)
        return store_failed(s, rc, "the index's head can't be read", e);
    if (!index_meta_read(&s->meta, index_bytes(&value)))
        return store_damaged(s, INDEX_DB_META, e);
    s->fault = STORE_DAMAGED;
    if (s->meta.format != INDEX_FORMAT)
        return error_set(e, ERR_IO, "the index has format %u, not %d", s->meta.format,
                         INDEX_FORMAT);
    if (s->meta.seed_mark != seed_mark)
        return error_set(e, ERR_IO, "the index was made with another secret");
    return 0;
}

/* The newest record's time, so that time never runs backwards in the file. */
static int read_newest(struct store *s, struct error *e) {
    MDB_val key, value;
    struct index_age age;
    int rc = mdb_cursor_get(s->ages, &key, &value, MDB_LAST);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return store_failed(s, rc, "the ages can't be read", e);
    if (!index_age_read(&age, index_bytes(&key)))
        return store_damaged(s, INDEX_DB_AGES, e);
    s->newest_us = age.used_us;
    return 0;
}

static int open_environment(struct store *s, const struct store_settings *settings,
                            struct error *e) {
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(s->env, INDEX_DBS);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(s->env, INDEX_READERS);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env,
                                 MAP_BASE_BYTES + (size_t)settings->max_links * MAP_LINK_BYTES);
    if (rc == 0)
        rc = mdb_env_open(s->env, settings->dir, MDB_NOSYNC, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(s->env, NULL, 0, &s->txn);
    if (rc == 0)
        rc = index_dbs_open(&s->dbs, s->txn, true);
    if (rc == 0)
        rc = mdb_cursor_open(s->txn, s->dbs.links, &s->links);
    if (rc == 0)
        rc = mdb_cursor_open(s->txn, s->dbs.ages, &s->ages);
    return rc == 0 ? 0 : store_failed(s, rc, "the index can't be opened", e);
}

int store_open(struct store **out, const struct store_settings *settings, enum store_fault *fault,
               struct error *e) {
    *out = NULL;
    *fault = STORE_UNUSABLE;
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(e, ERR_NOMEM, "memory ran out");
    s->max_links = settings->max_links;
    s->sweep_due = true;
    int rc = open_environment(s, settings, e);
    if (rc == 0)
        rc = read_meta(s, settings->seed_mark, e);
    if (rc == 0)
        rc = read_newest(s, e);
    if (rc == 0)
        rc = read_workers(s, e);
    if (rc == 0) /* and see whether the file can be written at all */
        rc = store_commit(s, e);
    if (rc != 0) {
        *fault = s->fault;
        store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s) {
    if (!s)
        return;
    end_cursors(s);
    if (s->txn)
        mdb_txn_abort(s->txn);
    if (s->env)
        mdb_env_close(s->env);
    free(s);
}

/* ---- void records, and what others want to know ---- */

int store_sweep(struct store *s, bool *more, struct error *e) {
    *more = s->sweep_due;
    if (!s->sweep_due)
        return 0;
    bool end = false;
    int rc = store_sweep_some(s, SWEEP_LINKS, &end, e);
    if (rc == 0 && end) {
        s->sweep_due = s->sweep_again;
        s->sweep_again = false;
        s->sweep_from = (struct link){{0}};
    }
    *more = s->sweep_due;
    return rc;
}

enum store_fault store_fault_of(const struct store *s) {
    return s->fault;
}

size_t store_pending(const struct store *s) {
    return s->pending;
}

uint64_t store_holders(const struct store *s) {
    return s->holders;
}

uint64_t store_bytes(const struct store *s) {
    return s->bytes;
}
