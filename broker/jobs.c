/* jobs.c - one array, three lists threaded through it by index: all jobs, the queue, the free
 * slots.
 *
 * ticket = serial << TICKET_BITS | slot. The slot makes looking up a ticket one step, the serial
 * makes a ticket of a job that is over match nothing, and grows with age, which is the queue's
 * order among jobs of the same turn. */
#include "broker/jobs.h"

#include <stdlib.h>

#include "common/must.h"

#define TICKET_BITS 12
_Static_assert(JOBS_MAX == 1 << TICKET_BITS, "a ticket's low bits name a slot");

#define NONE (-1)
#define BUCKETS (2 * JOBS_MAX)

/* A client's open jobs. Clients whose hashes are equal are counted as one, and share one bound. */
struct tally {
    uint64_t client_hash; /* 0: not in use */
    uint32_t jobs;
};

struct jobs {
    size_t capacity, count, queued;
    uint64_t serial;
    int first, free;
    int queue_first, queue_last;
    int by_id[BUCKETS];              /* first open job of each bucket, the rest by id_next */
    struct tally by_client[BUCKETS]; /* open addressing; at most half full */
    struct trail *trails;
    struct job slots[];
};

int jobs_open(struct jobs **out, size_t capacity) {
    MUST(capacity > 0 && capacity <= JOBS_MAX);
    *out = NULL;
    struct jobs *t = calloc(1, sizeof *t + capacity * sizeof t->slots[0]);
    struct trail *trails = calloc(capacity, sizeof *trails);
    if (!t || !trails) {
        free(t);
        free(trails);
        return ERR_NOMEM;
    }
    t->trails = trails;
    t->capacity = capacity;
    t->first = t->queue_first = t->queue_last = NONE;
    for (size_t i = 0; i < capacity; i++)
        t->slots[i].next = i + 1 < capacity ? (int)i + 1 : NONE;
    for (size_t i = 0; i < BUCKETS; i++)
        t->by_id[i] = NONE;
    *out = t;
    return 0;
}

void jobs_close(struct jobs *t) {
    if (!t)
        return;
    free(t->trails);
    free(t);
}

static struct job *at(struct jobs *t, int i) {
    return i == NONE ? NULL : &t->slots[i];
}

static int index_of(const struct jobs *t, const struct job *j) {
    return (int)(j - t->slots);
}

struct job *jobs_add(struct jobs *t) {
    int i = t->free;
    if (i == NONE)
        return NULL;
    struct job *j = &t->slots[i];
    t->free = j->next;
    memset(j, 0, sizeof *j);
    j->ticket = ++t->serial << TICKET_BITS | (uint64_t)i;
    j->worker = j->holder = NONE;
    j->waits_us = -1;
    j->look_us = INT64_MAX;
    j->trail = &t->trails[i];
    j->trail->kept = j->trail->pictures = j->trail->shown = 0;
    j->prev = NONE;
    j->next = t->first;
    if (t->first != NONE)
        t->slots[t->first].prev = i;
    t->first = i;
    j->queue_next = j->queue_prev = NONE;
    t->count++;
    return j;
}

void jobs_remove(struct jobs *t, struct job *j) {
    if (j->state == JOB_QUEUED)
        jobs_dequeue(t, j);
    jobs_close_job(t, j);
    if (j->prev != NONE)
        t->slots[j->prev].next = j->next;
    else
        t->first = j->next;
    if (j->next != NONE)
        t->slots[j->next].prev = j->prev;
    j->state = JOB_FREE;
    j->ticket = 0;
    j->next = t->free;
    t->free = index_of(t, j);
    t->count--;
}

struct job *jobs_find(struct jobs *t, uint64_t ticket) {
    size_t slot = jobs_slot(ticket);
    if (ticket == 0 || slot >= t->capacity || t->slots[slot].ticket != ticket)
        return NULL;
    return &t->slots[slot];
}

/* ---- by client ---- */

static uint64_t mix(uint64_t h, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 0x100000001b3ULL; /* FNV-1a */
    return h ^ h >> 29;
}

static uint64_t hash_client(const struct peer *client) {
    uint64_t h = mix(0xcbf29ce484222325ULL, client->id, client->size);
    return h != 0 ? h : 1;
}

static size_t id_bucket(uint64_t client_hash, const struct request_id *id) {
    return mix(client_hash, id->bytes, sizeof id->bytes) % BUCKETS;
}

/* The client's tally, or the free place for it. */
static size_t tally_of(const struct jobs *t, uint64_t client_hash) {
    size_t i = client_hash % BUCKETS;
    while (t->by_client[i].client_hash != 0 && t->by_client[i].client_hash != client_hash)
        i = (i + 1) % BUCKETS;
    return i;
}

/* Takes tally `hole` out, and moves back those after it that would not be found past a hole. */
static void tally_remove(struct jobs *t, size_t hole) {
    for (size_t i = (hole + 1) % BUCKETS; t->by_client[i].client_hash != 0; i = (i + 1) % BUCKETS) {
        size_t home = t->by_client[i].client_hash % BUCKETS;
        if ((i + BUCKETS - home) % BUCKETS >= (i + BUCKETS - hole) % BUCKETS) {
            t->by_client[hole] = t->by_client[i];
            hole = i;
        }
    }
    t->by_client[hole] = (struct tally){0};
}

void jobs_open_job(struct jobs *t, struct job *j) {
    MUST(j->client_hash == 0);
    j->client_hash = hash_client(&j->client);
    size_t bucket = id_bucket(j->client_hash, &j->id);
    j->id_next = t->by_id[bucket];
    t->by_id[bucket] = index_of(t, j);
    struct tally *tally = &t->by_client[tally_of(t, j->client_hash)];
    tally->client_hash = j->client_hash;
    tally->jobs++;
}

void jobs_close_job(struct jobs *t, struct job *j) {
    if (j->client_hash == 0)
        return;
    int *link = &t->by_id[id_bucket(j->client_hash, &j->id)];
    while (*link != index_of(t, j))
        link = &t->slots[*link].id_next;
    *link = j->id_next;
    size_t i = tally_of(t, j->client_hash);
    MUST(t->by_client[i].jobs > 0);
    if (--t->by_client[i].jobs == 0)
        tally_remove(t, i);
    j->client_hash = 0;
}

struct job *jobs_find_open(struct jobs *t, const struct peer *client, const struct request_id *id) {
    uint64_t client_hash = hash_client(client);
    for (int i = t->by_id[id_bucket(client_hash, id)]; i != NONE; i = t->slots[i].id_next) {
        struct job *j = &t->slots[i];
        if (memcmp(j->id.bytes, id->bytes, sizeof id->bytes) == 0 && peer_equal(&j->client, client))
            return j;
    }
    return NULL;
}

uint32_t jobs_open_of(const struct jobs *t, const struct peer *client) {
    return t->by_client[tally_of(t, hash_client(client))].jobs;
}

size_t jobs_slot(uint64_t ticket) {
    return (size_t)(ticket & (JOBS_MAX - 1));
}

size_t jobs_queued(const struct jobs *t) {
    return t->queued;
}

static bool goes_before(const struct job *a, const struct job *b) {
    return a->turn_us < b->turn_us || (a->turn_us == b->turn_us && a->ticket < b->ticket);
}

void jobs_enqueue(struct jobs *t, struct job *j) {
    MUST(j->state != JOB_QUEUED);
    j->state = JOB_QUEUED;
    int i = index_of(t, j);
    int before = t->queue_last; /* the job it will stand behind */
    while (before != NONE && goes_before(j, &t->slots[before]))
        before = t->slots[before].queue_prev;
    int after = before == NONE ? t->queue_first : t->slots[before].queue_next;
    j->queue_prev = before;
    j->queue_next = after;
    if (before == NONE)
        t->queue_first = i;
    else
        t->slots[before].queue_next = i;
    if (after == NONE)
        t->queue_last = i;
    else
        t->slots[after].queue_prev = i;
    t->queued++;
}

void jobs_dequeue(struct jobs *t, struct job *j) {
    MUST(j->state == JOB_QUEUED);
    if (j->queue_prev == NONE)
        t->queue_first = j->queue_next;
    else
        t->slots[j->queue_prev].queue_next = j->queue_next;
    if (j->queue_next == NONE)
        t->queue_last = j->queue_prev;
    else
        t->slots[j->queue_next].queue_prev = j->queue_prev;
    j->queue_next = j->queue_prev = NONE;
    j->state = JOB_FREE; /* the caller gives it its next state */
    t->queued--;
}

struct job *jobs_first(struct jobs *t) {
    return at(t, t->first);
}

struct job *jobs_next(struct jobs *t, const struct job *j) {
    return at(t, j->next);
}

struct job *jobs_queue_first(struct jobs *t) {
    return at(t, t->queue_first);
}

struct job *jobs_queue_next(struct jobs *t, const struct job *j) {
    return at(t, j->queue_next);
}
