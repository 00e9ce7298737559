/* store_links.c - a holder in `links` and its twin in `ages`, always written and removed together.
 *
 * A link that is used again is written again only if its record is TOUCH_US old: most of what a
 * busy worker reports is known already, and then costs one look-up and no page. */
#include "broker/index/store_links.h"

#include <stdlib.h>
#include <string.h>

#define TOUCH_US ((uint64_t)60 * 1000000)

/* Puts the links cursor on the holder. *found false: there is none. */
static int find_holder(struct store *s, const struct link *link, uint32_t slot,
                       struct index_holder *out, bool *found, struct error *e) {
    uint8_t wanted[INDEX_HOLDER_BYTES] = {0};
    index_slot_write(slot, wanted);
    MDB_val key = index_val(link->bytes, LINK_BYTES), value = index_val(wanted, sizeof wanted);
    int rc = mdb_cursor_get(s->links, &key, &value, MDB_GET_BOTH_RANGE);
    *found = false;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return store_failed(s, rc, "a link can't be read", e);
    if (!index_holder_read(out, link, index_bytes(&value)))
        return store_damaged(s, INDEX_DB_LINKS, e);
    *found = out->slot == slot;
    return 0;
}

static int delete_age(struct store *s, const struct link *link, const struct index_holder *h,
                      struct error *e) {
    uint8_t bytes[INDEX_AGE_BYTES];
    index_age_write(&(struct index_age){h->used_us, *link, h->slot}, bytes);
    MDB_val key = index_val(bytes, sizeof bytes);
    int rc = mdb_del(s->txn, s->dbs.ages, &key, NULL);
    if (rc == MDB_NOTFOUND)
        return store_damaged(s, INDEX_DB_AGES, e);
    return rc == 0 ? 0 : store_failed(s, rc, "an age can't be removed", e);
}

/* The holder that the links cursor stands on. */
static int delete_here(struct store *s, const struct link *link, const struct index_holder *h,
                       struct error *e) {
    int rc = delete_age(s, link, h, e);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_del(s->links, 0);
    s->pending++;
    return rc == 0 ? 0 : store_failed(s, rc, "a link can't be removed", e);
}

static int put(struct store *s, const struct link *link, const struct index_holder *h,
               struct error *e) {
    uint8_t holder[INDEX_HOLDER_BYTES], age[INDEX_AGE_BYTES];
    index_holder_write(h, link, holder);
    index_age_write(&(struct index_age){h->used_us, *link, h->slot}, age);
    MDB_val key = index_val(link->bytes, LINK_BYTES), value = index_val(holder, sizeof holder);
    int rc = mdb_cursor_put(s->links, &key, &value, 0);
    key = index_val(age, sizeof age);
    value = index_val("", 0);
    if (rc == 0)
        rc = mdb_put(s->txn, s->dbs.ages, &key, &value, 0);
    s->newest_us = h->used_us;
    s->pending++;
    return rc == 0 ? 0 : store_failed(s, rc, "a link can't be recorded", e);
}

static int add_one(struct store *s, const struct link *link, const struct index_holder *h,
                   struct error *e) {
    struct index_holder old;
    bool found;
    int rc = find_holder(s, link, h->slot, &old, &found, e);
    if (rc == 0 && found) {
        if (old.incarnation == h->incarnation && old.positions == h->positions &&
            h->used_us - old.used_us < TOUCH_US)
            return 0;
        rc = delete_here(s, link, &old, e);
    }
    return rc == 0 ? put(s, link, h, e) : rc;
}

/* The holders that were used longest ago, until there are no more than max_links. */
static int bound(struct store *s, struct error *e) {
    MDB_stat stat;
    int rc = mdb_stat(s->txn, s->dbs.ages, &stat);
    if (rc != 0)
        return store_failed(s, rc, "the ages can't be counted", e);
    for (uint64_t n = stat.ms_entries; n > s->max_links; n--) {
        MDB_val key, value;
        struct index_age age;
        struct index_holder h;
        bool found;
        rc = mdb_cursor_get(s->ages, &key, &value, MDB_FIRST);
        if (rc != 0)
            return store_failed(s, rc, "the ages can't be read", e);
        if (!index_age_read(&age, index_bytes(&key)))
            return store_damaged(s, INDEX_DB_AGES, e);
        rc = find_holder(s, &age.link, age.slot, &h, &found, e);
        if (rc == 0 && (!found || h.used_us != age.used_us))
            rc = store_damaged(s, INDEX_DB_AGES, e);
        if (rc == 0)
            rc = delete_here(s, &age.link, &h, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static uint32_t positions_of(const uint8_t *held) {
    const uint8_t *at = held + LINK_BYTES; /* little-endian, as in LINKS */
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int store_add_all(struct store *s, const struct index_worker *holder, struct bytes held,
                  struct error *e) {
    struct index_holder h = {
        .slot = holder->slot, .incarnation = holder->incarnation, .used_us = store_now_us(s)};
    int rc = 0;
    for (size_t at = 0; rc == 0 && at + LINK_HELD_BYTES <= held.size; at += LINK_HELD_BYTES) {
        struct link link;
        memcpy(link.bytes, held.data + at, LINK_BYTES);
        h.positions = positions_of(held.data + at);
        rc = add_one(s, &link, &h, e);
    }
    return rc == 0 ? bound(s, e) : rc;
}

int store_drop_all(struct store *s, const struct index_worker *holder, struct bytes dropped,
                   struct error *e) {
    int rc = 0;
    for (size_t at = 0; rc == 0 && at + LINK_BYTES <= dropped.size; at += LINK_BYTES) {
        struct link link;
        struct index_holder h;
        bool found;
        memcpy(link.bytes, dropped.data + at, LINK_BYTES);
        rc = find_holder(s, &link, holder->slot, &h, &found, e);
        if (rc == 0 && found)
            rc = delete_here(s, &link, &h, e);
    }
    return rc;
}

/* ---- all of them ---- */

static int see(struct store *s, const MDB_val *key, const MDB_val *value, struct link *link,
               struct index_holder *h, struct error *e) {
    if (key->mv_size != LINK_BYTES)
        return store_damaged(s, INDEX_DB_LINKS, e);
    memcpy(link->bytes, key->mv_data, LINK_BYTES);
    return index_holder_read(h, link, index_bytes(value)) ? 0 : store_damaged(s, INDEX_DB_LINKS, e);
}

/* After a removal the cursor may stand anywhere near, so the next one is looked for anew. A link's
 * holders are seen again from the first, which costs little: they are few. */
int store_sweep_some(struct store *s, size_t most, bool *end, struct error *e) {
    MDB_val key = index_val(s->sweep_from.bytes, LINK_BYTES), value;
    int rc = 0, code = mdb_cursor_get(s->links, &key, &value, MDB_SET_RANGE);
    for (size_t n = 0; rc == 0 && code == 0; n++) {
        struct index_holder h;
        bool key_begins = memcmp(key.mv_data, s->sweep_from.bytes, LINK_BYTES) != 0;
        if (n >= most && key_begins)
            return 0;
        rc = see(s, &key, &value, &s->sweep_from, &h, e);
        if (rc != 0)
            return rc;
        if (store_is_current(s, &h)) {
            code = mdb_cursor_get(s->links, &key, &value, MDB_NEXT);
            continue;
        }
        rc = delete_here(s, &s->sweep_from, &h, e);
        key = index_val(s->sweep_from.bytes, LINK_BYTES);
        if (rc == 0)
            code = mdb_cursor_get(s->links, &key, &value, MDB_SET_RANGE);
    }
    *end = rc == 0 && code == MDB_NOTFOUND;
    if (rc == 0 && code != 0 && code != MDB_NOTFOUND)
        rc = store_failed(s, code, "the links can't be read", e);
    return rc;
}

/* What is told is gathered by worker, since the file is in the order of links. */
struct telling {
    struct store *store;
    const struct store_listener *to;
    struct gathered {
        size_t size;
        uint8_t held[LIMIT_LINKS * LINK_HELD_BYTES];
    } * gathered; /* as store->workers */
};

static void hand_over(struct telling *t, size_t worker) {
    struct gathered *g = &t->gathered[worker];
    if (g->size > 0)
        t->to->held(t->to->context, t->store->workers[worker].incarnation,
                    (struct bytes){g->held, g->size});
    g->size = 0;
}

static void gather(struct telling *t, const struct link *link, const struct index_holder *h) {
    for (size_t i = 0; i < t->store->n_workers; i++) {
        if (t->store->workers[i].slot != h->slot)
            continue;
        struct gathered *g = &t->gathered[i];
        uint8_t *at = g->held + g->size;
        memcpy(at, link->bytes, LINK_BYTES);
        for (int k = 0; k < 4; k++)
            at[LINK_BYTES + k] = (uint8_t)(h->positions >> (8 * k));
        g->size += LINK_HELD_BYTES;
        if (g->size == sizeof g->held)
            hand_over(t, i);
        return;
    }
}

static int tell_links(struct telling *t, struct error *e) {
    struct store *s = t->store;
    MDB_val key, value;
    int rc = 0, code = mdb_cursor_get(s->links, &key, &value, MDB_FIRST);
    for (; rc == 0 && code == 0; code = mdb_cursor_get(s->links, &key, &value, MDB_NEXT)) {
        struct link link;
        struct index_holder h;
        rc = see(s, &key, &value, &link, &h, e);
        if (rc == 0 && store_is_current(s, &h))
            gather(t, &link, &h);
    }
    if (rc == 0 && code != MDB_NOTFOUND)
        rc = store_failed(s, code, "the links can't be read", e);
    for (size_t i = 0; i < s->n_workers; i++)
        hand_over(t, i);
    return rc;
}

int store_tell(struct store *s, const struct store_listener *to, struct error *e) {
    struct telling t = {s, to, calloc(s->n_workers + 1, sizeof *t.gathered)};
    if (!t.gathered) {
        s->fault = STORE_UNUSABLE;
        return error_set(e, ERR_NOMEM, "memory ran out");
    }
    for (size_t i = 0; i < s->n_workers; i++)
        to->worker(to->context, &s->workers[i]);
    int rc = tell_links(&t, e);
    free(t.gathered);
    return rc;
}
