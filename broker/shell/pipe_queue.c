/* pipe_queue.c - see pipe_queue.h. */
#include "broker/shell/pipe_queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"

bool pipe_queue_open(struct pipe_queue *q, size_t capacity) {
    *q = (struct pipe_queue){.data = malloc(capacity), .capacity = capacity};
    return q->data != NULL;
}

void pipe_queue_close(struct pipe_queue *q) {
    free(q->data);
    *q = (struct pipe_queue){0};
}

void pipe_queue_clear(struct pipe_queue *q) {
    q->first = q->end = q->wrap = q->bytes = 0;
}

void *pipe_queue_push(struct pipe_queue *q, size_t size) {
    if (q->bytes == 0)
        pipe_queue_clear(q);
    size_t limit = q->wrap > 0 ? q->first : q->capacity;
    if (limit - q->end < size) {
        if (q->wrap > 0 || q->first < size)
            return NULL;
        q->wrap = q->end;
        q->end = 0;
    }
    void *at = q->data + q->end;
    q->end += size;
    q->bytes += size;
    return at;
}

struct bytes pipe_queue_peek(const struct pipe_queue *q, size_t most) {
    size_t run_end = q->wrap > 0 ? q->wrap : q->end, at = q->first;
    while (q->bytes > 0 && at < run_end) {
        uint32_t size;
        memcpy(&size, q->data + at, sizeof size);
        if (at > q->first && at - q->first + size > most)
            break;
        at += size;
    }
    return (struct bytes){q->data + q->first, at - q->first};
}

void pipe_queue_pop(struct pipe_queue *q, size_t size) {
    MUST(size <= q->bytes);
    q->bytes -= size;
    q->first += size;
    if (q->wrap > 0 && q->first == q->wrap)
        q->first = q->wrap = 0;
}
