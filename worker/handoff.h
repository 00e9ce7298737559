/* handoff.h - a bounded queue of pointers between two threads.
 *
 * Holds at most `capacity` items and never waits on a push: a full queue says so, and the caller
 * decides. A reader may wait on it, or poll its file descriptor together with sockets. The queue
 * owns none of its items. Any number of threads may use it. */
#ifndef QUIRE_WORKER_HANDOFF_H
#define QUIRE_WORKER_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct handoff;

/* with_fd: handoff_fd becomes readable when there is something to pop. ERR_NOMEM, ERR_IO. */
int handoff_open(struct handoff **out, size_t capacity, bool with_fd, struct error *e);
void handoff_close(struct handoff *q); /* NULL is fine; nobody may be waiting */

bool handoff_push(struct handoff *q, void *item); /* false: full. item is not NULL */
void *handoff_pop(struct handoff *q);             /* NULL: empty */
size_t handoff_count(struct handoff *q);

/* Waits until the queue holds at least n items (n <= capacity), somebody calls handoff_wake, or
 * timeout_ms has passed. */
void handoff_wait(struct handoff *q, size_t n, int timeout_ms);
void handoff_wake(struct handoff *q); /* ends the wait that is going on, or the next one */

int handoff_fd(
    const struct handoff *q); /* -1 without with_fd; poll for reading, never read from it */

#endif
