/* pipe_queue.h - records on their way to the index's writer: a fixed piece of memory used in a
 * circle, each record in one piece. */
#ifndef QUIRE_BROKER_SHELL_PIPE_QUEUE_H
#define QUIRE_BROKER_SHELL_PIPE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

struct pipe_queue {
    uint8_t *data;
    size_t capacity;
    size_t first, end; /* records lie in first..end, or in first..wrap and 0..end */
    size_t wrap;       /* 0: they do not wrap */
    size_t bytes;
};

/* capacity: a multiple of 8. False without memory. */
bool pipe_queue_open(struct pipe_queue *q, size_t capacity);
void pipe_queue_close(struct pipe_queue *q); /* a zeroed one is fine */
void pipe_queue_clear(struct pipe_queue *q);

/* Room for a record of `size` bytes (a multiple of 8), to be written there at once; NULL when there
 * is none. */
void *pipe_queue_push(struct pipe_queue *q, size_t size);

/* The oldest records, as many whole ones as fit in `most` bytes and lie in one piece; at least one
 * unless it is empty. Each begins with its size (u32). */
struct bytes pipe_queue_peek(const struct pipe_queue *q, size_t most);
void pipe_queue_pop(struct pipe_queue *q, size_t size); /* what pipe_queue_peek returned */

#endif
