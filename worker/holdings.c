/* holdings.c - two tables of fixed size and one queue.
 *
 * A record is HELD, or GONE: then it stays only until the broker has been told. Both are found by
 * their link, so a link that comes back before that takes its record up again, and the queue, which
 * runs through the records themselves, never holds a link twice. What is told is always the present
 * state, so the order of the queue is free: new holdings go to its front, since the next turn of
 * that conversation may come at once, drops and an inventory to its end.
 *
 * A place is known here while it has records, so there are never more places than records. Its tag
 * is its index and a generation, which grows when the last record goes; what still has the old tag
 * gets a new one with the next link. So nobody has to be asked before something is forgotten. */
#include "worker/holdings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define NONE UINT32_MAX
#define GONE_SHARE 4  /* beside those held, one part in so many for those that are gone */
#define PLACE_BITS 17 /* of a tag; the generation has the rest */
#define PLACE_MASK ((1u << PLACE_BITS) - 1)
#define GENERATIONS (1u << (32 - PLACE_BITS))
_Static_assert(HOLDINGS_PER_PLACE >= GONE_SHARE, "there is room for one that is gone");
_Static_assert(HOLDINGS_RECORDS < PLACE_MASK, "a tag holds a place's index + 1");

enum record_state { FREE, HELD, GONE };

struct record {
    struct link link;
    uint32_t positions;
    uint32_t place;     /* HELD: index */
    uint32_t beside;    /* HELD: the next one of the same place, an older one */
    uint32_t chained;   /* HELD, GONE: the next one in the same bucket */
    uint32_t following; /* in the queue, or in the free list */
    uint8_t state;
    bool queued;
    bool told; /* the broker takes it for held */
};

struct place {
    uint32_t generation;
    uint32_t first, count; /* its records, the newest first */
    uint32_t next_free;    /* when it has none */
};

struct holdings {
    pthread_mutex_t lock; /* of all that follows */
    uint64_t seed;
    bool reset; /* the next news begin anew */
    uint32_t limit, n_held;
    struct record *records; /* [n_records]: `limit` held ones, and room for those that are gone */
    uint32_t n_records, free_record, hand;
    struct place *places; /* [limit] */
    uint32_t free_place;
    uint32_t *buckets; /* [n_buckets], a power of two */
    uint32_t n_buckets;
    uint32_t queue_first, queue_last;
};

/* ---- records by link ---- */

static uint32_t *bucket_of(struct holdings *h, const struct link *link) {
    uint64_t hash; /* a link is one already */
    memcpy(&hash, link->bytes, sizeof hash);
    return &h->buckets[hash & (h->n_buckets - 1)];
}

static uint32_t find(struct holdings *h, const struct link *link) {
    uint32_t i = *bucket_of(h, link);
    while (i != NONE && memcmp(&h->records[i].link, link, sizeof *link) != 0)
        i = h->records[i].chained;
    return i;
}

static void free_record(struct holdings *h, uint32_t index) {
    struct record *r = &h->records[index];
    uint32_t *at = bucket_of(h, &r->link);
    while (*at != index)
        at = &h->records[*at].chained;
    *at = r->chained;
    *r = (struct record){.state = FREE, .following = h->free_record};
    h->free_record = index;
}

/* ---- the queue ---- */

static void enqueue(struct holdings *h, uint32_t index, bool front) {
    struct record *r = &h->records[index];
    if (r->queued)
        return;
    r->queued = true;
    r->following = front ? h->queue_first : NONE;
    if (h->queue_first == NONE)
        h->queue_first = h->queue_last = index;
    else if (front)
        h->queue_first = index;
    else
        h->queue_last = h->records[h->queue_last].following = index;
}

static uint32_t dequeue(struct holdings *h) {
    uint32_t index = h->queue_first;
    h->queue_first = h->records[index].following;
    h->records[index].queued = false;
    return index;
}

/* Lets go of all that is gone, and queues all that is held. */
static void begin_anew(struct holdings *h) {
    h->reset = true;
    h->queue_first = h->queue_last = NONE;
    for (uint32_t i = 0; i < h->n_records; i++) {
        struct record *r = &h->records[i];
        r->queued = r->told = false;
        if (r->state == GONE)
            free_record(h, i);
        else if (r->state == HELD)
            enqueue(h, i, false);
    }
}

/* ---- places ---- */

static struct place *place_of(struct holdings *h, uint32_t tag) {
    uint32_t index = (tag & PLACE_MASK) - 1; /* tag 0: past any index */
    if (index >= h->limit || h->places[index].count == 0 ||
        h->places[index].generation != tag >> PLACE_BITS)
        return NULL;
    return &h->places[index];
}

static void leave_place(struct holdings *h, uint32_t index) {
    struct record *r = &h->records[index];
    struct place *p = &h->places[r->place];
    uint32_t *at = &p->first;
    while (*at != index)
        at = &h->records[*at].beside;
    *at = r->beside;
    if (--p->count > 0)
        return;
    p->generation = (p->generation + 1) % GENERATIONS;
    p->next_free = h->free_place;
    h->free_place = r->place;
}

/* A held record holds no more. */
static void forget(struct holdings *h, uint32_t index) {
    struct record *r = &h->records[index];
    leave_place(h, index);
    h->n_held--;
    r->state = GONE;
    if (r->told)
        enqueue(h, index, false);
    else if (!r->queued)
        free_record(h, index);
}

static void forget_all(struct holdings *h, struct place *p) {
    while (p->count > 0)
        forget(h, p->first);
}

/* A place for a new tag; its first record must follow. */
static struct place *take_place(struct holdings *h, uint32_t *tag) {
    uint32_t index = h->free_place;
    MUST(index != NONE); /* there are `limit`, and fewer records are held */
    struct place *p = &h->places[index];
    h->free_place = p->next_free;
    *tag = p->generation << PLACE_BITS | (index + 1);
    return p;
}

static void enter_place(struct holdings *h, struct place *p, uint32_t index) {
    if (p->count == HOLDINGS_PER_PLACE) {
        uint32_t oldest = p->first;
        while (h->records[oldest].beside != NONE)
            oldest = h->records[oldest].beside;
        forget(h, oldest);
    }
    h->records[index].place = (uint32_t)(p - h->places);
    h->records[index].beside = p->first;
    p->first = index;
    p->count++;
}

/* ---- adding and dropping ---- */

/* Makes room for one more held record: the next in turn goes. */
static void make_room(struct holdings *h) {
    if (h->n_held < h->limit)
        return;
    while (h->records[h->hand].state != HELD)
        h->hand = (h->hand + 1) % h->n_records;
    forget(h, h->hand);
    h->hand = (h->hand + 1) % h->n_records;
}

static uint32_t take_record(struct holdings *h, const struct link *link) {
    if (h->free_record == NONE)
        begin_anew(h); /* nobody has read of drops for long */
    uint32_t index = h->free_record;
    MUST(index != NONE); /* there are more than `limit` */
    struct record *r = &h->records[index];
    h->free_record = r->following;
    uint32_t *bucket = bucket_of(h, link);
    *r = (struct record){.link = *link, .chained = *bucket};
    *bucket = index;
    return index;
}

/* Takes a held record from its place, to be held elsewhere. */
static void take_out(struct holdings *h, uint32_t index) {
    leave_place(h, index);
    h->records[index].state = GONE;
    h->n_held--;
}

static void put_in(struct holdings *h, uint32_t index, uint32_t *tag) {
    struct place *p = place_of(h, *tag);
    enter_place(h, p != NULL ? p : take_place(h, tag), index);
    h->records[index].state = HELD;
    h->n_held++;
}

static void add(struct holdings *h, const struct link *link, uint32_t positions, uint32_t *tag) {
    uint32_t index = find(h, link);
    bool held = index != NONE && h->records[index].state == HELD;
    if (!held || &h->places[h->records[index].place] != place_of(h, *tag)) {
        if (held)
            take_out(h, index);
        make_room(h);
        if (index == NONE)
            index = take_record(h, link);
        put_in(h, index, tag);
    }
    struct record *r = &h->records[index];
    if (!r->told || r->positions != positions)
        enqueue(h, index, true);
    r->positions = positions;
}

uint32_t holdings_add(struct holdings *h, uint64_t seed, const struct link *link,
                      uint32_t positions, uint32_t tag) {
    if (h == NULL)
        return tag;
    (void)pthread_mutex_lock(&h->lock);
    if (seed == h->seed && seed != 0)
        add(h, link, positions, &tag);
    (void)pthread_mutex_unlock(&h->lock);
    return tag;
}

void holdings_dropped(void *arg, uint32_t tag) {
    struct holdings *h = arg;
    if (h == NULL || tag == 0)
        return;
    (void)pthread_mutex_lock(&h->lock);
    struct place *p = place_of(h, tag);
    if (p != NULL)
        forget_all(h, p);
    (void)pthread_mutex_unlock(&h->lock);
}

/* ---- news ---- */

/* Moves what the first in the queue has to say to `out`; false when there is no room for it. */
static bool tell_first(struct holdings *h, struct holdings_news *out) {
    struct record *r = &h->records[h->queue_first];
    if (r->state == HELD ? out->n_held == LIMIT_LINKS : out->n_dropped == LIMIT_LINKS)
        return false;
    uint32_t index = dequeue(h);
    if (r->state == HELD) {
        uint8_t *at = out->held + out->n_held++ * LINK_HELD_BYTES;
        memcpy(at, r->link.bytes, LINK_BYTES);
        for (int i = 0; i < LINK_HELD_BYTES - LINK_BYTES; i++)
            at[LINK_BYTES + i] = (uint8_t)(r->positions >> 8 * i);
        r->told = true;
        return true;
    }
    if (r->told) {
        memcpy(out->dropped + out->n_dropped * LINK_BYTES, r->link.bytes, LINK_BYTES);
        out->n_dropped++;
    }
    free_record(h, index);
    return true;
}

bool holdings_take(struct holdings *h, struct holdings_news *out) {
    out->n_held = out->n_dropped = 0;
    (void)pthread_mutex_lock(&h->lock);
    out->reset = h->reset;
    h->reset = false;
    while (h->queue_first != NONE && tell_first(h, out)) {
    }
    (void)pthread_mutex_unlock(&h->lock);
    return out->reset || out->n_held > 0 || out->n_dropped > 0;
}

bool holdings_pending(struct holdings *h) {
    (void)pthread_mutex_lock(&h->lock);
    bool pending = h->reset || h->queue_first != NONE;
    (void)pthread_mutex_unlock(&h->lock);
    return pending;
}

void holdings_resync(struct holdings *h) {
    (void)pthread_mutex_lock(&h->lock);
    begin_anew(h);
    (void)pthread_mutex_unlock(&h->lock);
}

void holdings_seed(struct holdings *h, uint64_t seed) {
    (void)pthread_mutex_lock(&h->lock);
    if (seed != h->seed) {
        h->seed = seed;
        for (uint32_t i = 0; i < h->limit; i++)
            forget_all(h, &h->places[i]);
        begin_anew(h);
    }
    (void)pthread_mutex_unlock(&h->lock);
}

/* ---- open and close ---- */

static int take_memory(struct holdings *h) {
    h->n_buckets = 1;
    while (h->n_buckets < h->n_records)
        h->n_buckets *= 2;
    h->records = calloc(h->n_records, sizeof *h->records);
    h->places = calloc(h->limit, sizeof *h->places);
    h->buckets = malloc(h->n_buckets * sizeof *h->buckets);
    if (h->records == NULL || h->places == NULL || h->buckets == NULL)
        return ERR_NOMEM;
    memset(h->buckets, 0xFF, h->n_buckets * sizeof *h->buckets);
    h->free_record = h->free_place = NONE;
    for (uint32_t i = h->n_records; i-- > 0; h->free_record = i)
        h->records[i].following = h->free_record;
    for (uint32_t i = h->limit; i-- > 0; h->free_place = i)
        h->places[i] = (struct place){.first = NONE, .next_free = h->free_place};
    h->queue_first = h->queue_last = NONE;
    return 0;
}

int holdings_open(struct holdings **out, uint32_t records, struct error *e) {
    *out = NULL;
    MUST(records >= HOLDINGS_PER_PLACE && records <= HOLDINGS_RECORDS);
    struct holdings *h = calloc(1, sizeof *h);
    if (h == NULL || pthread_mutex_init(&h->lock, NULL) != 0) {
        free(h);
        return error_set(e, ERR_NOMEM, "no memory for links");
    }
    h->limit = records;
    h->n_records = records + records / GONE_SHARE;
    if (take_memory(h) < 0) {
        holdings_close(h);
        return error_set(e, ERR_NOMEM, "no memory for %u links", records);
    }
    *out = h;
    return 0;
}

void holdings_close(struct holdings *h) {
    if (h == NULL)
        return;
    free(h->records);
    free(h->places);
    free(h->buckets);
    (void)pthread_mutex_destroy(&h->lock);
    free(h);
}
