/* queue.h - 64-bit entries, the smallest first. */
#ifndef QUIRE_ENGINE_QUEUE_H
#define QUIRE_ENGINE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/* Zero it to begin with. Its memory stays until queue_clear, so it may be filled again. */
struct queue {
    uint64_t *heap;
    size_t count, capacity;
};

int queue_push(struct queue *q, uint64_t entry); /* ERR_NOMEM */
uint64_t queue_pop(struct queue *q);             /* count > 0 is the caller's promise */
void queue_clear(struct queue *q);

#endif
