/* reader.c - short transactions, every record checked.
 *
 * One read transaction is made at open and renewed for each call (MDB_NOTLS ties its slot in the
 * reader table to it and not to the thread), so that a call costs no entry in the table and between
 * calls nothing is held. */
#include "proto/index/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/index/environment.h"

struct index_reader {
    MDB_env *env;
    MDB_txn *txn; /* reset between calls */
    struct index_dbs dbs;
};

static int damaged(struct error *e, const char *db) {
    return error_set(e, ERR_IO, "a record of \"%s\" is damaged", db);
}

/* The writer may have been started anew with room for more links. */
static int renew(struct index_reader *r, struct error *e) {
    int rc = mdb_txn_renew(r->txn);
    if (rc == MDB_MAP_RESIZED && mdb_env_set_mapsize(r->env, 0) == 0)
        rc = mdb_txn_renew(r->txn);
    return rc == 0 ? 0 : index_failed(e, rc, "a read transaction can't begin");
}

static int read_meta(struct index_reader *r, struct index_meta *out, struct error *e) {
    MDB_val key = index_val(INDEX_META_KEY, sizeof INDEX_META_KEY - 1), value;
    int rc = mdb_get(r->txn, r->dbs.meta, &key, &value);
    if (rc != 0 || !index_meta_read(out, index_bytes(&value)))
        return damaged(e, INDEX_DB_META);
    if (out->format != INDEX_FORMAT)
        return error_set(e, ERR_UNSUPPORTED, "the index has format %u; this program reads %d",
                         out->format, INDEX_FORMAT);
    return 0;
}

static int open_environment(struct index_reader *r, const char *dir, struct error *e) {
    int rc = mdb_env_create(&r->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(r->env, INDEX_DBS);
    if (rc == 0)
        rc = mdb_env_open(r->env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
    if (rc != 0)
        return index_failed(e, rc, "the index can't be opened");
    int dead;
    (void)mdb_reader_check(r->env, &dead); /* entries of readers that were killed */
    rc = mdb_txn_begin(r->env, NULL, MDB_RDONLY, &r->txn);
    if (rc != 0)
        return index_failed(e, rc, "a read transaction can't begin");
    rc = index_dbs_open(&r->dbs, r->txn, false);
    if (rc == MDB_NOTFOUND)
        return error_set(e, ERR_NOT_FOUND, "the file in %s holds no index", dir);
    if (rc != 0)
        return index_failed(e, rc, "the index's databases can't be opened");
    struct index_meta meta;
    rc = read_meta(r, &meta, e);
    if (rc != 0)
        return rc;
    rc = mdb_txn_commit(r->txn); /* which keeps the handles */
    r->txn = NULL;
    if (rc == 0)
        rc = mdb_txn_begin(r->env, NULL, MDB_RDONLY, &r->txn);
    if (rc != 0)
        return index_failed(e, rc, "a read transaction can't begin");
    mdb_txn_reset(r->txn);
    return 0;
}

int index_reader_open(struct index_reader **out, const char *dir, struct error *e) {
    char path[INDEX_PATH_BYTES];
    struct stat st;
    *out = NULL;
    if (!index_path(path, dir, INDEX_DATA_FILE))
        return error_set(e, ERR_LIMIT, "the index's path is too long");
    if (stat(path, &st) != 0)
        return error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                         strerror(errno));
    struct index_reader *r = calloc(1, sizeof *r);
    if (!r)
        return error_set(e, ERR_NOMEM, "memory ran out");
    int rc = open_environment(r, dir, e);
    if (rc != 0) {
        index_reader_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void index_reader_close(struct index_reader *r) {
    if (!r)
        return;
    if (r->txn)
        mdb_txn_abort(r->txn);
    if (r->env)
        mdb_env_close(r->env);
    free(r);
}

/* ---- totals and workers ---- */

static int count_all(struct index_reader *r, struct index_totals *out, struct error *e) {
    MDB_envinfo info;
    MDB_stat links, ages, workers;
    int rc = mdb_env_info(r->env, &info);
    if (rc == 0)
        rc = mdb_stat(r->txn, r->dbs.links, &links);
    if (rc == 0)
        rc = mdb_stat(r->txn, r->dbs.ages, &ages);
    if (rc == 0)
        rc = mdb_stat(r->txn, r->dbs.workers, &workers);
    if (rc != 0)
        return index_failed(e, rc, "the index's sizes can't be read");
    out->holders = links.ms_entries; /* of MDB_DUPSORT, entries are values */
    out->links = links.ms_entries;
    out->workers = workers.ms_entries;
    out->bytes = (info.me_last_pgno + 1) * (uint64_t)links.ms_psize;
    return 0;
}

int index_reader_totals(struct index_reader *r, struct index_totals *out, struct error *e) {
    memset(out, 0, sizeof *out);
    int rc = renew(r, e);
    if (rc != 0)
        return rc;
    rc = read_meta(r, &out->meta, e);
    if (rc == 0)
        rc = count_all(r, out, e);
    mdb_txn_reset(r->txn);
    return rc;
}

int index_reader_workers(struct index_reader *r, struct index_worker *out, size_t capacity,
                         size_t *n, struct error *e) {
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    *n = 0;
    int rc = renew(r, e);
    if (rc != 0)
        return rc;
    int code = mdb_cursor_open(r->txn, r->dbs.workers, &cursor);
    while (rc == 0 && code == 0 && *n < capacity &&
           (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        rc = index_worker_read(&out[*n], index_bytes(&key), index_bytes(&value))
                 ? (++*n, 0)
                 : damaged(e, INDEX_DB_WORKERS);
    if (rc == 0 && code != 0 && code != MDB_NOTFOUND)
        rc = index_failed(e, code, "the workers can't be read");
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_reset(r->txn);
    return rc;
}

/* ---- links ---- */

static int copy_entry(struct index_reader *r, const MDB_val *key, const MDB_val *value,
                      struct index_entry *out, struct error *e) {
    struct index_worker worker;
    if (key->mv_size != LINK_BYTES)
        return damaged(e, INDEX_DB_LINKS);
    memcpy(out->link.bytes, key->mv_data, LINK_BYTES);
    if (!index_holder_read(&out->holder, &out->link, index_bytes(value)))
        return damaged(e, INDEX_DB_LINKS);
    out->is_void = !index_worker_at(r->txn, &r->dbs, out->holder.slot, &worker) ||
                   worker.incarnation != out->holder.incarnation;
    return 0;
}

static bool is_past(const struct index_entry *entry, const struct index_entry *after) {
    int order = memcmp(entry->link.bytes, after->link.bytes, LINK_BYTES);
    return order > 0 || (order == 0 && entry->holder.slot > after->holder.slot);
}

/* From the first key that is not below *from (NULL: the first of all); only that key's holders when
 * `one`. */
static int walk(struct index_reader *r, const struct link *from, bool one,
                const struct index_entry *after, struct index_entry *out, size_t capacity,
                size_t *n, struct error *e) {
    MDB_cursor *cursor = NULL;
    MDB_val key = {0}, value;
    if (from)
        key = index_val(from->bytes, LINK_BYTES);
    *n = 0;
    int rc = renew(r, e);
    if (rc != 0)
        return rc;
    int code = mdb_cursor_open(r->txn, r->dbs.links, &cursor);
    if (code == 0)
        code = mdb_cursor_get(cursor, &key, &value,
                              !from ? MDB_FIRST
                              : one ? MDB_SET_KEY
                                    : MDB_SET_RANGE);
    while (rc == 0 && code == 0 && *n < capacity) {
        rc = copy_entry(r, &key, &value, &out[*n], e);
        *n += rc == 0 && (!after || is_past(&out[*n], after));
        code = mdb_cursor_get(cursor, &key, &value, one ? MDB_NEXT_DUP : MDB_NEXT);
    }
    if (rc == 0 && code != 0 && code != MDB_NOTFOUND)
        rc = index_failed(e, code, "the links can't be read");
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_reset(r->txn);
    return rc;
}

int index_reader_entries(struct index_reader *r, const struct index_entry *after,
                         struct index_entry *out, size_t capacity, size_t *n, struct error *e) {
    return walk(r, after ? &after->link : NULL, false, after, out, capacity, n, e);
}

int index_reader_find(struct index_reader *r, const struct link *link, struct index_entry *out,
                      size_t capacity, size_t *n, struct error *e) {
    return walk(r, link, true, NULL, out, capacity, n, e);
}

/* ---- the check ---- */

#define FREE_DBI 0 /* LMDB's own list of free pages; readable through a cursor like any other */

/* What links and ages must agree on: how many, and the sum of a hash of each. */
struct tally {
    uint64_t count, sum;
};

static void tally_add(struct tally *t, uint64_t used_us, const struct link *link, uint32_t slot) {
    uint64_t words[2];
    memcpy(words, link->bytes, sizeof words);
    uint64_t h = (used_us + 0x9E3779B97F4A7C15u) * 0xC2B2AE3D27D4EB4Fu;
    h = (h ^ words[0] ^ (words[1] << 1)) * 0x9E3779B185EBCA87u;
    t->sum += (h ^ (h >> 29)) + slot * (uint64_t)0x165667B19E3779F9u;
    t->count++;
}

static bool see_free_pages(const MDB_val *key, const MDB_val *value, uint64_t last_page) {
    size_t ids = value->mv_size / sizeof(size_t);
    if (key->mv_size != sizeof(size_t) || ids == 0 || value->mv_size % sizeof(size_t) != 0)
        return false;
    const uint8_t *at = value->mv_data;
    size_t count, page, above = SIZE_MAX;
    memcpy(&count, at, sizeof count);
    if (count >= ids) /* the list may have room behind it */
        return false;
    for (size_t i = 1; i <= count; i++) { /* falling */
        memcpy(&page, at + i * sizeof page, sizeof page);
        if (page >= above || page < 2 || page > last_page)
            return false;
        above = page;
    }
    return true;
}

struct walk_check {
    MDB_dbi dbi;
    const char *name;
    bool is_list;
    uint64_t last_page;
    struct tally *tally;
};

static bool see_record(const struct walk_check *w, const struct index_reader *r, const MDB_val *key,
                       const MDB_val *value) {
    struct index_worker worker;
    struct index_holder holder;
    struct index_age age;
    struct link link;
    if (w->is_list)
        return see_free_pages(key, value, w->last_page);
    if (w->dbi == r->dbs.workers)
        return index_worker_read(&worker, index_bytes(key), index_bytes(value));
    if (w->dbi == r->dbs.meta)
        return key->mv_size <= sizeof INDEX_META_KEY && value->mv_size == INDEX_META_BYTES;
    if (w->dbi == r->dbs.links) {
        if (key->mv_size != LINK_BYTES)
            return false;
        memcpy(link.bytes, key->mv_data, LINK_BYTES);
        if (!index_holder_read(&holder, &link, index_bytes(value)))
            return false;
        tally_add(w->tally, holder.used_us, &link, holder.slot);
        return true;
    }
    if (!index_age_read(&age, index_bytes(key)))
        return false;
    tally_add(w->tally, age.used_us, &age.link, age.slot);
    return true;
}

static int walk_one(struct index_reader *r, const struct walk_check *w, struct error *e) {
    MDB_cursor *cursor = NULL;
    MDB_stat stat;
    MDB_val key, value, last = {0};
    uint8_t last_key[512];
    uint64_t seen = 0;
    int code = mdb_stat(r->txn, w->dbi, &stat);
    if (code == 0)
        code = mdb_cursor_open(r->txn, w->dbi, &cursor);
    int rc = 0;
    while (rc == 0 && code == 0 && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        bool rises = w->is_list || last.mv_size == 0 ||
                     mdb_cmp(r->txn, w->dbi, &last, &key) < (w->dbi == r->dbs.links ? 1 : 0);
        if (++seen > stat.ms_entries || key.mv_size > sizeof last_key || !rises ||
            !see_record(w, r, &key, &value)) {
            rc = damaged(e, w->name);
            break;
        }
        memcpy(last_key, key.mv_data, key.mv_size);
        last = index_val(last_key, key.mv_size);
    }
    if (rc == 0 && code != MDB_NOTFOUND)
        rc = index_failed(e, code, "a database can't be read to its end");
    if (rc == 0 && seen != stat.ms_entries)
        rc = error_set(e, ERR_IO, "\"%s\" has fewer records than it says", w->name);
    if (cursor)
        mdb_cursor_close(cursor);
    return rc;
}

int index_reader_check(struct index_reader *r, struct error *e) {
    struct tally links = {0}, ages = {0};
    MDB_envinfo info;
    int rc = renew(r, e);
    if (rc != 0)
        return rc;
    (void)mdb_env_info(r->env, &info);
    const struct walk_check walks[] = {
        {FREE_DBI, "free pages", true, info.me_last_pgno, NULL},
        {r->dbs.meta, INDEX_DB_META, false, 0, NULL},
        {r->dbs.workers, INDEX_DB_WORKERS, false, 0, NULL},
        {r->dbs.links, INDEX_DB_LINKS, false, 0, &links},
        {r->dbs.ages, INDEX_DB_AGES, false, 0, &ages},
    };
    for (size_t i = 0; rc == 0 && i < sizeof walks / sizeof walks[0]; i++)
        rc = walk_one(r, &walks[i], e);
    if (rc == 0 && (links.count != ages.count || links.sum != ages.sum))
        rc = error_set(e, ERR_IO, "\"ages\" and \"links\" do not agree");
    mdb_txn_reset(r->txn);
    return rc;
}
