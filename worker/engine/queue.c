/* queue.c - a heap with four children per node: flatter than two, and one cache line per family. */
#include "worker/engine/queue.h"

#include <stdlib.h>

#include "common/error.h"

int queue_push(struct queue *q, uint64_t entry) {
    if (q->count == q->capacity) {
        size_t capacity = q->capacity * 2 + 256;
        uint64_t *heap = realloc(q->heap, capacity * sizeof *heap);
        if (heap == NULL) {
            return ERR_NOMEM;
        }
        q->heap = heap;
        q->capacity = capacity;
    }
    size_t i = q->count++;
    for (; i > 0 && q->heap[(i - 1) / 4] > entry; i = (i - 1) / 4) {
        q->heap[i] = q->heap[(i - 1) / 4];
    }
    q->heap[i] = entry;
    return 0;
}

uint64_t queue_pop(struct queue *q) {
    uint64_t *heap = q->heap, top = heap[0], entry = heap[--q->count];
    size_t n = q->count, i = 0;
    for (size_t child = 1; child < n; child = 4 * i + 1) {
        size_t last = child + 4 < n ? child + 4 : n, least = child;
        for (size_t c = child + 1; c < last; c++) {
            least = heap[c] < heap[least] ? c : least;
        }
        if (heap[least] >= entry) {
            break;
        }
        heap[i] = heap[least];
        i = least;
    }
    heap[i] = entry;
    return top;
}

void queue_clear(struct queue *q) {
    free(q->heap);
    *q = (struct queue){0};
}
