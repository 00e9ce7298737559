/* team.c - fork and join with two counters.
 *
 * `round` goes up when there is something to do; `left` counts the members that have not finished
 * it. A member that waits looks at its counter for a while, since within a step of the model the
 * next round is microseconds away, and then sleeps on it (futex). Whoever changes a counter wakes
 * sleepers only when some are announced: the waiter announces itself and then looks once more, the
 * changer changes and then looks for announcements, all sequentially consistent, so one of the two
 * always sees the other. */
#include "worker/engine/team.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cpus.h"
#include "common/must.h"
#include "worker/engine/machine.h"

/* About 50 microseconds on current CPUs: longer than any gap inside a step, short against what a
 * sleeping thread costs to wake. */
#define SPIN_LOOKS 1000
#define MEMBER_STACK_BYTES ((size_t)1 << 20)

struct counter {
    alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t sleepers;
};

struct team {
    struct counter round, left;
    void (*f)(void *arg, int member, int members);
    void *arg;
    bool stop;
    int n, started; /* started: threads that exist, the caller not counted */
    int spin_looks;
    int caller_cpu; /* where the caller is to stay; -1: anywhere */
    pthread_t *threads;
};

struct birth { /* handed to a new thread, which frees it */
    struct team *team;
    int member;
};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns when *c is no longer `old`. */
static void wait_while(struct counter *c, uint32_t old, int looks) {
    for (int i = 0; i < looks; i++) {
        if (atomic_load_explicit(&c->value, memory_order_acquire) != old)
            return;
        pause_briefly();
    }
    atomic_fetch_add(&c->sleepers, 1);
    while (atomic_load(&c->value) == old)
        syscall(SYS_futex, &c->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&c->sleepers, 1);
}

static void wake_sleepers(struct counter *c) {
    if (atomic_load(&c->sleepers) != 0)
        syscall(SYS_futex, &c->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void *member_main(void *opaque) {
    struct birth *b = opaque;
    struct team *t = b->team;
    int member = b->member;
    free(b);
    for (uint32_t seen = 0;; seen++) {
        wait_while(&t->round, seen, t->spin_looks);
        if (t->stop)
            return NULL;
        t->f(t->arg, member, t->n);
        if (atomic_fetch_sub(&t->left.value, 1) == 1)
            wake_sleepers(&t->left);
    }
}

/* Signals are for the threads that the process itself looks after. */
static int start_member(struct team *t, int member) {
    struct birth *b = malloc(sizeof *b);
    pthread_attr_t attr;
    if (b == NULL || pthread_attr_init(&attr) != 0) {
        free(b);
        return ERR_NOMEM;
    }
    *b = (struct birth){.team = t, .member = member};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attr, MEMBER_STACK_BYTES);
    int rc = pthread_create(&t->threads[t->started], &attr, member_main, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        free(b);
        return ERR_LIMIT;
    }
    char name[16];
    snprintf(name, sizeof name, "team-%d", member);
    pthread_setname_np(t->threads[t->started], name);
    t->started++;
    return 0;
}

/* Looking again and again only helps when the others run meanwhile. */
static int choose_spin_looks(int n) {
#ifdef QUIRE_SANITIZED
    (void)n;
    return 10;
#else
    return machine_cpus() < n ? 0 : SPIN_LOOKS;
#endif
}

int team_open(struct team **out, int n, struct error *e) {
    *out = NULL;
    if (n < 1 || n > TEAM_MAX)
        return error_set(e, ERR_USAGE, "a team has 1 to %d threads, not %d", TEAM_MAX, n);
    struct team *t = aligned_alloc(64, sizeof *t);
    if (t == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a team of %d threads", n);
    memset(t, 0, sizeof *t);
    t->n = n;
    t->caller_cpu = -1;
    t->spin_looks = choose_spin_looks(n);
    t->threads = calloc((size_t)n, sizeof *t->threads);
    int rc = t->threads == NULL ? ERR_NOMEM : 0;
    for (int i = 1; i < n && rc == 0; i++)
        rc = start_member(t, i);
    if (rc != 0) {
        int started = t->started;
        team_close(t);
        return error_set(e, rc, "cannot start thread %d of %d", started + 1, n);
    }
    *out = t;
    return 0;
}

void team_close(struct team *t) {
    if (t == NULL)
        return;
    t->stop = true;
    atomic_fetch_add(&t->round.value, 1);
    wake_sleepers(&t->round);
    for (int i = 0; i < t->started; i++)
        pthread_join(t->threads[i], NULL);
    free(t->threads);
    free(t);
}

static int pin(pthread_t thread, int cpu, struct error *e) {
    cpu_set_t one;
    CPU_ZERO(&one);
    cpus_add(&one, cpu);
    int failed = pthread_setaffinity_np(thread, sizeof one, &one);
    return failed == 0 ? 0
                       : error_set(e, ERR_USAGE, "a thread can't stay on CPU %d: %s", cpu,
                                   strerror(failed));
}

int team_pin(struct team *t, const cpu_set_t *cpus, struct error *e) {
    if (CPU_COUNT(cpus) < t->n)
        return error_set(e, ERR_USAGE, "%d threads can't have a CPU each of %d", t->n,
                         CPU_COUNT(cpus));
    int rc = 0;
    for (int i = 0; i < t->started && rc == 0; i++)
        rc = pin(t->threads[i], cpus_nth(cpus, i + 1), e);
    if (rc == 0)
        t->caller_cpu = cpus_nth(cpus, 0);
    return rc;
}

int team_take_place(const struct team *t, struct error *e) {
    return t->caller_cpu < 0 ? 0 : pin(pthread_self(), t->caller_cpu, e);
}

int team_size(const struct team *t) {
    return t->n;
}

void team_run(struct team *t, void (*f)(void *arg, int member, int members), void *arg) {
    if (t->n == 1) {
        f(arg, 0, 1);
        return;
    }
    MUST(atomic_load(&t->left.value) == 0); /* not from inside itself, not from two threads */
    t->f = f;
    t->arg = arg;
    atomic_store(&t->left.value, (uint32_t)(t->n - 1));
    atomic_fetch_add(&t->round.value, 1);
    wake_sleepers(&t->round);
    f(arg, 0, t->n);
    for (uint32_t left; (left = atomic_load(&t->left.value)) != 0;)
        wait_while(&t->left, left, t->spin_looks);
}
