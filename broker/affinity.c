/* affinity.c - buckets of four entries, one cache line each; a full bucket forgets its oldest.
 *
 * A holder is one bit, so that an entry says of every worker whether it holds the link. A worker
 * that is gone is taken out of `live` and with it out of every answer at once; its bit stays behind
 * in the entries until a sweep has passed them all, and only then may stand for somebody else.
 *
 * Links are hashes already, so their own first bytes choose the bucket. Nothing here must be true
 * for an answer to be right: a worker compares its own pages. */
#include "broker/affinity.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define WAYS 4
#define WORDS (AFFINITY_HOLDERS / 64)
#define PROMISE_MAX UINT8_MAX /* more are not counted */

/* `before`: the first bytes of the link before it in its chain, enough to find that again. */
#define BEFORE_UNKNOWN 0
#define BEFORE_NOTHING 1 /* it begins its chain */

struct promise {
    uint8_t holder, count;
};

struct entry {
    uint8_t link[LINK_BYTES];
    struct holder_set holders;
    uint32_t positions;
    uint32_t used_s;
    uint32_t before;
    struct promise promises[AFFINITY_PROMISES];
};
_Static_assert(sizeof(struct entry) == 64, "an entry is one cache line");

struct affinity {
    size_t mask; /* buckets - 1 */
    size_t count;
    struct holder_set live;
    struct holder_set dirty;    /* void; their bits are still in entries */
    struct holder_set sweeping; /* of them, those the sweep under way removes */
    size_t hand;                /* the entry that the sweep looks at next */
    struct entry *entries;
};

int affinity_open(struct affinity **out, size_t links) {
    MUST(links >= AFFINITY_MIN_LINKS && (links & (links - 1)) == 0);
    *out = NULL;
    struct affinity *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->mask = links / WAYS - 1;
    a->entries = calloc(links, sizeof *a->entries);
    if (!a->entries) {
        free(a);
        return ERR_NOMEM;
    }
    *out = a;
    return 0;
}

void affinity_close(struct affinity *a) {
    if (!a)
        return;
    free(a->entries);
    free(a);
}

/* ---- sets ---- */

static bool set_empty(const struct holder_set *s) {
    uint64_t any = 0;
    for (int i = 0; i < WORDS; i++)
        any |= s->words[i];
    return any == 0;
}

static bool promised(const struct entry *e) {
    for (int i = 0; i < AFFINITY_PROMISES; i++)
        if (e->promises[i].count > 0)
            return true;
    return false;
}

static struct holder_set believed(const struct affinity *a, const struct entry *e) {
    struct holder_set s;
    for (int i = 0; i < WORDS; i++)
        s.words[i] = e->holders.words[i] & a->live.words[i];
    return s;
}

/* ---- entries ---- */

static uint32_t tag_of(const uint8_t *link) {
    uint32_t tag;
    memcpy(&tag, link, sizeof tag);
    return tag > BEFORE_NOTHING ? tag : 2;
}

static struct entry *bucket_of(const struct affinity *a, const uint8_t *link) {
    uint32_t hash;
    memcpy(&hash, link, sizeof hash);
    return &a->entries[(hash & a->mask) * WAYS];
}

static struct entry *find(const struct affinity *a, const struct link *link) {
    struct entry *bucket = bucket_of(a, link->bytes);
    for (int i = 0; i < WAYS; i++)
        if (memcmp(bucket[i].link, link->bytes, LINK_BYTES) == 0)
            return &bucket[i];
    return NULL;
}

static void forget(struct affinity *a, struct entry *e) {
    if (!set_empty(&e->holders))
        a->count--;
    memset(e, 0, sizeof *e);
}

/* The link's entry, made at the cost of a void one or of the bucket's oldest. */
static struct entry *claim(struct affinity *a, const struct link *link) {
    struct entry *e = find(a, link);
    if (e)
        return e;
    struct entry *bucket = bucket_of(a, link->bytes);
    e = &bucket[0];
    for (int i = 0; i < WAYS; i++) {
        struct holder_set s = believed(a, &bucket[i]);
        if (set_empty(&s) && !promised(&bucket[i])) {
            e = &bucket[i];
            break;
        }
        if (bucket[i].used_s < e->used_s)
            e = &bucket[i];
    }
    forget(a, e);
    memcpy(e->link, link->bytes, LINK_BYTES);
    return e;
}

static void note_before(struct entry *e, const struct link *before, bool first) {
    if (first)
        e->before = BEFORE_NOTHING;
    else if (before)
        e->before = tag_of(before->bytes);
}

void affinity_add(struct affinity *a, int holder, const struct link *link, uint32_t positions,
                  const struct link *before, uint32_t now_s) {
    if (!holder_set_has(&a->live, holder))
        return;
    struct entry *e = claim(a, link);
    a->count += set_empty(&e->holders);
    holder_set_add(&e->holders, holder);
    e->positions = positions;
    e->used_s = now_s;
    if (e->before == BEFORE_UNKNOWN)
        note_before(e, before, false);
}

void affinity_drop(struct affinity *a, int holder, const struct link *link) {
    struct entry *e = find(a, link);
    if (!e || !holder_set_has(&e->holders, holder))
        return;
    holder_set_remove(&e->holders, holder);
    a->count -= set_empty(&e->holders);
}

void affinity_promise(struct affinity *a, int holder, const struct link *link,
                      const struct link *before, bool first, uint32_t now_s) {
    if (!holder_set_has(&a->live, holder))
        return;
    struct entry *e = claim(a, link);
    e->used_s = now_s;
    note_before(e, before, first);
    struct promise *room = NULL;
    for (int i = 0; i < AFFINITY_PROMISES; i++) {
        struct promise *p = &e->promises[i];
        if (p->count > 0 && p->holder == holder) {
            if (p->count < PROMISE_MAX)
                p->count++;
            return;
        }
        if (p->count == 0 && !room)
            room = p;
    }
    if (room)
        *room = (struct promise){.holder = (uint8_t)holder, .count = 1};
}

void affinity_withdraw(struct affinity *a, int holder, const struct link *link) {
    struct entry *e = find(a, link);
    for (int i = 0; e && i < AFFINITY_PROMISES; i++)
        if (e->promises[i].count > 0 && e->promises[i].holder == holder)
            e->promises[i].count--;
}

bool affinity_find(const struct affinity *a, const struct link *link, struct affinity_view *out) {
    *out = (struct affinity_view){0};
    const struct entry *e = find(a, link);
    if (!e)
        return false;
    out->holders = believed(a, e);
    out->positions = e->positions;
    for (int i = 0; i < AFFINITY_PROMISES; i++) {
        int holder = e->promises[i].holder;
        if (e->promises[i].count > 0 && holder_set_has(&a->live, holder) &&
            !holder_set_has(&out->holders, holder))
            holder_set_add(&out->coming, holder);
    }
    return !set_empty(&out->holders) || !set_empty(&out->coming);
}

void affinity_prefetch(const struct affinity *a, const struct link *link) {
    const struct entry *bucket = bucket_of(a, link->bytes);
    for (int i = 0; i < WAYS; i++)
        __builtin_prefetch(&bucket[i]);
}

void affinity_touch(struct affinity *a, const struct link *link, uint32_t now_s) {
    struct entry *e = find(a, link);
    if (e)
        e->used_s = now_s;
}

size_t affinity_count(const struct affinity *a) {
    return a->count;
}

/* ---- holders ---- */

static int free_holder(const struct affinity *a) {
    for (int i = 0; i < AFFINITY_HOLDERS; i++)
        if (!holder_set_has(&a->live, i) && !holder_set_has(&a->dirty, i) &&
            !holder_set_has(&a->sweeping, i))
            return i;
    return -1;
}

int affinity_join(struct affinity *a) {
    int holder = free_holder(a);
    /* one is under way, one may follow */
    for (int rounds = 0; holder < 0 && rounds < 2; rounds++) {
        affinity_sweep(a, (a->mask + 1) * WAYS);
        holder = free_holder(a);
    }
    if (holder >= 0)
        holder_set_add(&a->live, holder);
    return holder;
}

void affinity_void(struct affinity *a, int holder) {
    MUST(holder_set_has(&a->live, holder));
    holder_set_remove(&a->live, holder);
    holder_set_add(&a->dirty, holder);
}

static void sweep_entry(struct affinity *a, struct entry *e) {
    if (!set_empty(&e->holders)) {
        for (int i = 0; i < WORDS; i++)
            e->holders.words[i] &= ~a->sweeping.words[i];
        a->count -= set_empty(&e->holders);
    }
    for (int i = 0; i < AFFINITY_PROMISES; i++)
        if (e->promises[i].count > 0 && holder_set_has(&a->sweeping, e->promises[i].holder))
            e->promises[i].count = 0;
}

void affinity_sweep(struct affinity *a, size_t links) {
    size_t end = (a->mask + 1) * WAYS;
    if (set_empty(&a->sweeping)) {
        if (set_empty(&a->dirty))
            return;
        a->sweeping = a->dirty;
        a->dirty = (struct holder_set){0};
        a->hand = 0;
    }
    for (; links > 0 && a->hand < end; links--)
        sweep_entry(a, &a->entries[a->hand++]);
    if (a->hand == end)
        a->sweeping = (struct holder_set){0};
}

/* ---- losses ---- */

static uint32_t positions_before(const struct affinity *a, const struct entry *e) {
    if (e->before == BEFORE_NOTHING)
        return 0;
    const struct entry *bucket = &a->entries[(e->before & a->mask) * WAYS];
    for (int i = 0; e->before != BEFORE_UNKNOWN && i < WAYS; i++)
        if (tag_of(bucket[i].link) == e->before && bucket[i].positions < e->positions)
            return bucket[i].positions;
    return e->positions;
}

void affinity_losses(const struct affinity *a, int holder, struct affinity_loss *out) {
    *out = (struct affinity_loss){0};
    for (size_t i = 0; i < (a->mask + 1) * WAYS; i++) {
        const struct entry *e = &a->entries[i];
        struct holder_set s = believed(a, e);
        if (!holder_set_has(&s, holder))
            continue;
        holder_set_remove(&s, holder);
        if (!set_empty(&s)) {
            out->shared_links++;
        } else if (e->positions == 0) {
            out->pictures++;
        } else {
            out->links++;
            out->positions += e->positions - positions_before(a, e);
        }
    }
}
