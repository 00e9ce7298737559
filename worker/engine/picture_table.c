/* picture_table.c - a hash table in one array, its slots in a ring by last use. */
#include "worker/engine/picture_table.h"

#include <stdlib.h>
#include <string.h>

#define NONE (-1)

struct slot {
    struct picture_digest encoded;
    size_t encoded_bytes;
    struct picture_options options;
    struct picture_seen seen;
    int32_t next_in_bucket;
    int32_t newer, older; /* the ring by last use */
    bool filled;
    uint8_t tenant_bytes;
    uint8_t tenant[PICTURE_TABLE_TENANT_BYTES];
};

struct picture_table {
    struct slot *slots; /* [entries] */
    int32_t *buckets;   /* [mask + 1]: first slot of each, or NONE */
    size_t mask;
    int32_t newest; /* its newer one is the oldest: the ring is closed */
};

int picture_table_open(struct picture_table **out, size_t entries, struct error *e) {
    *out = NULL;
    size_t n_buckets = 1;
    while (n_buckets < 2 * entries)
        n_buckets *= 2;
    struct picture_table *t = calloc(1, sizeof *t);
    if (t != NULL) {
        t->slots = calloc(entries, sizeof *t->slots);
        t->buckets = calloc(n_buckets, sizeof *t->buckets);
    }
    if (t == NULL || t->slots == NULL || t->buckets == NULL) {
        picture_table_close(t);
        return error_set(e, ERR_NOMEM, "no memory for a table of %zu pictures", entries);
    }
    t->mask = n_buckets - 1;
    for (size_t i = 0; i < n_buckets; i++)
        t->buckets[i] = NONE;
    int32_t n = (int32_t)entries;
    for (int32_t i = 0; i < n; i++) {
        t->slots[i].newer = (i + 1) % n;
        t->slots[i].older = (i + n - 1) % n;
    }
    t->newest = n - 1;
    *out = t;
    return 0;
}

void picture_table_close(struct picture_table *t) {
    if (t == NULL)
        return;
    free(t->slots);
    free(t->buckets);
    free(t);
}

static int32_t *bucket_of(struct picture_table *t, struct picture_digest encoded) {
    return &t->buckets[encoded.half[0] & t->mask];
}

static bool is(const struct slot *s, const struct picture_key *k) {
    return picture_digest_equal(s->encoded, k->encoded) && s->encoded_bytes == k->encoded_bytes &&
           s->options.max_pixels == k->options.max_pixels &&
           s->options.overview_only == k->options.overview_only &&
           s->tenant_bytes == k->tenant.size &&
           (k->tenant.size == 0 || memcmp(s->tenant, k->tenant.data, k->tenant.size) == 0);
}

/* Moves a slot to the newest end of the ring. */
static void touch(struct picture_table *t, int32_t at) {
    struct slot *s = &t->slots[at];
    if (at == t->newest)
        return;
    t->slots[s->older].newer = s->newer;
    t->slots[s->newer].older = s->older;
    struct slot *newest = &t->slots[t->newest];
    s->older = t->newest;
    s->newer = newest->newer;
    t->slots[newest->newer].older = at;
    newest->newer = at;
    t->newest = at;
}

static int32_t find(struct picture_table *t, const struct picture_key *k) {
    int32_t at = *bucket_of(t, k->encoded);
    while (at != NONE && !is(&t->slots[at], k))
        at = t->slots[at].next_in_bucket;
    return at;
}

bool picture_table_find(struct picture_table *t, const struct picture_key *k,
                        struct picture_seen *out) {
    int32_t at = find(t, k);
    if (at == NONE)
        return false;
    touch(t, at);
    *out = t->slots[at].seen;
    return true;
}

/* Takes the oldest slot out of its bucket. */
static int32_t take_oldest(struct picture_table *t) {
    int32_t at = t->slots[t->newest].newer;
    struct slot *s = &t->slots[at];
    if (s->filled) {
        int32_t *link = bucket_of(t, s->encoded);
        while (*link != at)
            link = &t->slots[*link].next_in_bucket;
        *link = s->next_in_bucket;
    }
    return at;
}

void picture_table_put(struct picture_table *t, const struct picture_key *k,
                       const struct picture_seen *seen) {
    if (k->tenant.size > PICTURE_TABLE_TENANT_BYTES)
        return;
    int32_t at = find(t, k);
    if (at == NONE) {
        at = take_oldest(t);
        struct slot *s = &t->slots[at];
        int32_t *bucket = bucket_of(t, k->encoded);
        s->encoded = k->encoded;
        s->encoded_bytes = k->encoded_bytes;
        s->options = k->options;
        s->tenant_bytes = (uint8_t)k->tenant.size;
        if (k->tenant.size > 0)
            memcpy(s->tenant, k->tenant.data, k->tenant.size);
        s->filled = true;
        s->next_in_bucket = *bucket;
        *bucket = at;
    }
    t->slots[at].seen = *seen;
    touch(t, at);
}
