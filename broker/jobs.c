/* jobs.c - one array, three lists threaded through it by index: all jobs, the queue, the free
 * slots.
 *
 * ticket = serial << TICKET_BITS | slot. The slot makes looking up a ticket one step, the serial
 * makes a ticket of a job that is over match nothing, and grows with age, which is the queue's
 * order. */
#include "broker/jobs.h"

#include <stdlib.h>

#include "common/must.h"

#define TICKET_BITS 12
_Static_assert(JOBS_MAX == 1 << TICKET_BITS, "a ticket's low bits name a slot");

#define NONE (-1)

struct jobs {
    size_t capacity, count, queued;
    uint64_t serial;
    int first, free;
    int queue_first, queue_last;
    struct job slots[];
};

int jobs_open(struct jobs **out, size_t capacity) {
    MUST(capacity > 0 && capacity <= JOBS_MAX);
    struct jobs *t = calloc(1, sizeof *t + capacity * sizeof t->slots[0]);
    *out = t;
    if (!t)
        return ERR_NOMEM;
    t->capacity = capacity;
    t->first = t->queue_first = t->queue_last = NONE;
    for (size_t i = 0; i < capacity; i++)
        t->slots[i].next = i + 1 < capacity ? (int)i + 1 : NONE;
    return 0;
}

void jobs_close(struct jobs *t) {
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
    j->worker = NONE;
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

size_t jobs_slot(uint64_t ticket) {
    return (size_t)(ticket & (JOBS_MAX - 1));
}

size_t jobs_count(const struct jobs *t) {
    return t->count;
}

size_t jobs_queued(const struct jobs *t) {
    return t->queued;
}

void jobs_enqueue(struct jobs *t, struct job *j) {
    MUST(j->state != JOB_QUEUED);
    j->state = JOB_QUEUED;
    int i = index_of(t, j);
    int before = t->queue_last; /* the job it will stand behind */
    while (before != NONE && t->slots[before].ticket > j->ticket)
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
