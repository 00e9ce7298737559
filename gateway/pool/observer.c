/* observer.c - a thread that asks the broker, and the loop that hears of it.
 *
 * Three snapshots go round: the thread fills one, gives it for the one that is ready, and the loop
 * takes that for the one it shows. So neither waits for the other, and what the loop shows does not
 * change under it. Questions are OBSERVER_QUEUE places, each in one of two queues or at neither:
 * the thread takes the first that was asked, and the loop the answered ones.
 *
 * Each query waits SNAPSHOT_QUERY_MS at most, and after the first that fails the others of a
 * snapshot are not asked: so long observer_close may take when the broker hangs. */
#include "gateway/pool/observer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "gateway/pool/snapshot.h"
#include "gateway/pool/windows.h"

struct question {
    struct question *next; /* in its queue, or among the free */
    enum observer_question what;
    char worker[65];
    uint8_t id[QUIRE_ID_BYTES];
    bool has_id;
    void (*answered)(void *arg, const struct observer_answer *a);
    void *arg;
    struct observer_answer answer;
};

struct queue {
    struct question *first, **end;
};

struct observer {
    struct quire_client *client; /* the thread's */
    struct windows windows;      /* the thread's */
    struct snapshot *filling;    /* the thread's */
    bool connected;              /* the thread's: what it found last */
    struct snapshot *shown;      /* the loop's */
    void (*changed)(void *arg);  /* the loop's, with changed_arg */
    void *changed_arg;
    int wake_thread, wake_loop; /* eventfds */
    pthread_t thread;
    bool running;         /* the thread was started */
    pthread_mutex_t lock; /* over all below */
    struct snapshot *ready;
    bool fresh; /* `ready` has not been shown */
    bool stop;
    struct queue asked, answers;
    struct question *free;
    struct question places[OBSERVER_QUEUE];
};

static void wake(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void sleep_again(int fd) {
    uint64_t count;
    (void)!read(fd, &count, sizeof count);
}

static void queue_init(struct queue *q) {
    q->first = NULL;
    q->end = &q->first;
}

static void queue_put(struct queue *q, struct question *x) {
    x->next = NULL;
    *q->end = x;
    q->end = &x->next;
}

static struct question *queue_take(struct queue *q) {
    struct question *x = q->first;
    if (x == NULL)
        return NULL;
    q->first = x->next;
    if (q->first == NULL)
        q->end = &q->first;
    return x;
}

/* ---- the thread ---- */

static void note(struct observer *o, const struct snapshot *s) {
    if (s->connected != o->connected)
        log_info("observer", "connected=%d why=\"%s\"", s->connected, s->trouble);
    o->connected = s->connected;
}

static void publish(struct observer *o) {
    (void)pthread_mutex_lock(&o->lock);
    struct snapshot *s = o->ready;
    o->ready = o->filling;
    o->filling = s;
    o->fresh = true;
    (void)pthread_mutex_unlock(&o->lock);
    wake(o->wake_loop);
}

static void answer(struct observer *o, struct question *x) {
    struct observer_answer *a = &x->answer;
    *a = (struct observer_answer){0};
    switch (x->what) {
    case OBSERVER_DRAIN:
    case OBSERVER_UNDRAIN:
        a->rc = quire_drain(o->client, SNAPSHOT_QUERY_MS, x->worker, x->what == OBSERVER_DRAIN,
                            &a->error);
        break;
    case OBSERVER_EXPLAIN:
        a->rc = quire_explain(o->client, SNAPSHOT_QUERY_MS, NULL, x->has_id ? x->id : NULL,
                              &a->explanation, &a->error);
        break;
    case OBSERVER_LOSSES:
        a->rc = quire_losses(o->client, SNAPSHOT_QUERY_MS, x->worker, &a->losses, &a->error);
        break;
    }
    snapshot_hide_endpoint(&a->error);
}

static bool stopping(struct observer *o) {
    (void)pthread_mutex_lock(&o->lock);
    bool stop = o->stop;
    (void)pthread_mutex_unlock(&o->lock);
    return stop;
}

static struct question *next_asked(struct observer *o) {
    (void)pthread_mutex_lock(&o->lock);
    struct question *x = o->stop ? NULL : queue_take(&o->asked);
    (void)pthread_mutex_unlock(&o->lock);
    return x;
}

static void answer_all(struct observer *o) {
    struct question *x;
    while ((x = next_asked(o)) != NULL) {
        answer(o, x);
        (void)pthread_mutex_lock(&o->lock);
        queue_put(&o->answers, x);
        (void)pthread_mutex_unlock(&o->lock);
        wake(o->wake_loop);
    }
}

static void *observe(void *arg) {
    struct observer *o = arg;
    struct quire_stats last = {0};
    int64_t due = clock_ms();
    while (!stopping(o)) {
        int64_t now = clock_ms();
        if (now >= due) {
            snapshot_take(o->client, &o->windows, &last, o->filling);
            last = o->filling->stats;
            note(o, o->filling);
            publish(o);
            now = clock_ms();
            due = due + OBSERVER_EVERY_MS > now ? due + OBSERVER_EVERY_MS : now + OBSERVER_EVERY_MS;
        }
        answer_all(o);
        now = clock_ms();
        struct pollfd fd = {.fd = o->wake_thread, .events = POLLIN};
        if (due > now && poll(&fd, 1, (int)(due - now)) > 0)
            sleep_again(o->wake_thread);
    }
    return NULL;
}

/* ---- opening ---- */

/* The loop's thread takes the signals. */
static int start_thread(struct observer *o) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&o->thread, NULL, observe, o);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    o->running = rc == 0;
    return rc;
}

static int prepare(struct observer *o, const char *endpoint, struct error *e) {
    struct quire_error error = {0};
    o->filling = calloc(1, sizeof *o->filling);
    o->ready = calloc(1, sizeof *o->ready);
    o->shown = calloc(1, sizeof *o->shown);
    if (o->filling == NULL || o->ready == NULL || o->shown == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out");
    (void)snprintf(o->shown->trouble, sizeof o->shown->trouble, "the broker was not asked yet");
    o->wake_thread = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    o->wake_loop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (o->wake_thread < 0 || o->wake_loop < 0)
        return error_set(e, ERR_IO, "no eventfd: %s", strerror(errno));
    int rc = quire_open_later(&o->client, endpoint, &error);
    if (rc != 0)
        return error_set(e, rc, "%s", error.text);
    rc = start_thread(o);
    return rc == 0 ? 0 : error_set(e, ERR_IO, "no thread: %s", strerror(rc));
}

int observer_open(struct observer **out, const char *endpoint, struct error *e) {
    *out = NULL;
    struct observer *o = calloc(1, sizeof *o);
    if (o == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out");
    o->wake_thread = o->wake_loop = -1;
    (void)pthread_mutex_init(&o->lock, NULL);
    queue_init(&o->asked);
    queue_init(&o->answers);
    for (size_t i = 0; i < OBSERVER_QUEUE; i++) {
        o->places[i].next = o->free;
        o->free = &o->places[i];
    }
    int rc = prepare(o, endpoint, e);
    if (rc != 0)
        observer_close(o);
    else
        *out = o;
    return rc;
}

static void stop_thread(struct observer *o) {
    if (!o->running)
        return;
    (void)pthread_mutex_lock(&o->lock);
    o->stop = true;
    (void)pthread_mutex_unlock(&o->lock);
    wake(o->wake_thread);
    (void)pthread_join(o->thread, NULL);
}

void observer_close(struct observer *o) {
    struct question *x;
    if (o == NULL)
        return;
    stop_thread(o);
    while ((x = queue_take(&o->answers)) != NULL)
        free(x->answer.explanation);
    quire_close(o->client);
    if (o->wake_thread >= 0)
        (void)close(o->wake_thread);
    if (o->wake_loop >= 0)
        (void)close(o->wake_loop);
    (void)pthread_mutex_destroy(&o->lock);
    free(o->filling);
    free(o->ready);
    free(o->shown);
    free(o);
}

/* ---- the loop's side ---- */

const struct snapshot *observer_snapshot(struct observer *o) {
    return o->shown;
}

size_t observer_models(struct observer *o, const char **names, size_t capacity) {
    const struct snapshot *s = o->shown;
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers && n < capacity; i++) {
        size_t k = 0;
        while (k < n && strcmp(names[k], s->workers[i].model) != 0)
            k++;
        if (k == n)
            names[n++] = s->workers[i].model;
    }
    return n;
}

static struct question *take_place(struct observer *o) {
    (void)pthread_mutex_lock(&o->lock);
    struct question *x = o->free;
    if (x != NULL)
        o->free = x->next;
    (void)pthread_mutex_unlock(&o->lock);
    return x;
}

int observer_ask(struct observer *o, enum observer_question what, const char *worker,
                 const uint8_t *id, void (*answered)(void *arg, const struct observer_answer *a),
                 void *arg, struct fault *fault) {
    if (worker != NULL && strlen(worker) >= sizeof o->places[0].worker)
        return fault_set(fault, 404, ERR_NOT_FOUND, "", "no worker has such a long name");
    struct question *x = take_place(o);
    if (x == NULL) {
        (void)fault_set(fault, 503, ERR_BUSY, "", "%d questions to the broker wait already",
                        OBSERVER_QUEUE);
        fault->retry_ms = OBSERVER_EVERY_MS;
        return -1;
    }
    *x = (struct question){.what = what, .has_id = id != NULL, .answered = answered, .arg = arg};
    (void)snprintf(x->worker, sizeof x->worker, "%s", worker != NULL ? worker : "");
    if (id != NULL)
        memcpy(x->id, id, sizeof x->id);
    (void)pthread_mutex_lock(&o->lock);
    queue_put(&o->asked, x);
    (void)pthread_mutex_unlock(&o->lock);
    wake(o->wake_thread);
    return 0;
}

int observer_fd(const struct observer *o) {
    return o->wake_loop;
}

void observer_on_snapshot(struct observer *o, void (*changed)(void *arg), void *arg) {
    o->changed = changed;
    o->changed_arg = arg;
}

static bool take_snapshot(struct observer *o) {
    (void)pthread_mutex_lock(&o->lock);
    bool fresh = o->fresh;
    if (fresh) {
        struct snapshot *s = o->shown;
        o->shown = o->ready;
        o->ready = s;
        o->fresh = false;
    }
    (void)pthread_mutex_unlock(&o->lock);
    return fresh;
}

/* The place is free again before the callback, which may ask the next question. */
static bool deliver_one(struct observer *o) {
    (void)pthread_mutex_lock(&o->lock);
    struct question *x = queue_take(&o->answers);
    struct question copy = x != NULL ? *x : (struct question){0};
    if (x != NULL) {
        x->next = o->free;
        o->free = x;
    }
    (void)pthread_mutex_unlock(&o->lock);
    if (x == NULL)
        return false;
    copy.answered(copy.arg, &copy.answer);
    free(copy.answer.explanation);
    return true;
}

void observer_work(struct observer *o) {
    sleep_again(o->wake_loop);
    if (take_snapshot(o) && o->changed != NULL)
        o->changed(o->changed_arg);
    for (int i = 0; i < OBSERVER_QUEUE && deliver_one(o); i++)
        continue;
}
