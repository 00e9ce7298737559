/* handoff.c - a ring behind a mutex.
 *
 * The file descriptor is an eventfd that holds a count exactly while the queue is not empty: it is
 * written when the first item comes and read when the last one goes, both under the mutex, so a
 * reader that polls can neither miss an item nor spin on an empty queue. */
#include "worker/handoff.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/must.h"

struct handoff {
    pthread_mutex_t lock;
    pthread_cond_t more; /* of CLOCK_MONOTONIC */
    void **items;        /* [capacity], a ring */
    size_t capacity, first, count;
    bool woken;
    int fd;
};

static int init_sync(struct handoff *q) {
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return ERR_NOMEM;
    int failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    failed = failed ? failed : pthread_cond_init(&q->more, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (failed)
        return ERR_NOMEM;
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        (void)pthread_cond_destroy(&q->more);
        return ERR_NOMEM;
    }
    return 0;
}

int handoff_open(struct handoff **out, size_t capacity, bool with_fd, struct error *e) {
    *out = NULL;
    int rc = error_set(e, ERR_NOMEM, "no memory for a queue of %zu", capacity);
    struct handoff *q = calloc(1, sizeof *q);
    if (q == NULL)
        return rc;
    q->fd = -1;
    q->capacity = capacity;
    q->items = calloc(capacity, sizeof *q->items);
    if (q->items == NULL)
        goto fail;
    if (with_fd && (q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        rc = error_set(e, ERR_IO, "can't make an eventfd: %s", strerror(errno));
        goto fail;
    }
    if (init_sync(q) < 0)
        goto fail;
    *out = q;
    return 0;
fail:
    if (q->fd >= 0)
        (void)close(q->fd);
    free(q->items);
    free(q);
    return rc;
}

void handoff_close(struct handoff *q) {
    if (q == NULL)
        return;
    (void)pthread_cond_destroy(&q->more);
    (void)pthread_mutex_destroy(&q->lock);
    if (q->fd >= 0)
        (void)close(q->fd);
    free(q->items);
    free(q);
}

static void signal_fd(struct handoff *q) {
    uint64_t one = 1;
    if (q->fd >= 0)
        MUST(write(q->fd, &one, sizeof one) == (ssize_t)sizeof one);
}

static void clear_fd(struct handoff *q) {
    uint64_t value;
    if (q->fd >= 0)
        MUST(read(q->fd, &value, sizeof value) == (ssize_t)sizeof value);
}

bool handoff_push(struct handoff *q, void *item) {
    MUST(item != NULL);
    (void)pthread_mutex_lock(&q->lock);
    bool room = q->count < q->capacity;
    if (room) {
        q->items[(q->first + q->count) % q->capacity] = item;
        if (q->count++ == 0)
            signal_fd(q);
        (void)pthread_cond_signal(&q->more);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return room;
}

void *handoff_pop(struct handoff *q) {
    void *item = NULL;
    (void)pthread_mutex_lock(&q->lock);
    if (q->count > 0) {
        item = q->items[q->first];
        q->first = (q->first + 1) % q->capacity;
        if (--q->count == 0)
            clear_fd(q);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return item;
}

size_t handoff_count(struct handoff *q) {
    (void)pthread_mutex_lock(&q->lock);
    size_t count = q->count;
    (void)pthread_mutex_unlock(&q->lock);
    return count;
}

static struct timespec deadline_after(int timeout_ms) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

void handoff_wait(struct handoff *q, size_t n, int timeout_ms) {
    MUST(n <= q->capacity);
    struct timespec until = deadline_after(timeout_ms);
    (void)pthread_mutex_lock(&q->lock);
    int rc = 0;
    while (q->count < n && !q->woken && rc == 0)
        rc = pthread_cond_timedwait(&q->more, &q->lock, &until);
    q->woken = false;
    (void)pthread_mutex_unlock(&q->lock);
}

void handoff_wake(struct handoff *q) {
    (void)pthread_mutex_lock(&q->lock);
    q->woken = true;
    (void)pthread_cond_broadcast(&q->more);
    (void)pthread_mutex_unlock(&q->lock);
}

int handoff_fd(const struct handoff *q) {
    return q->fd;
}
