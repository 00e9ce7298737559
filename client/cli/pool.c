/* pool.c - the processes of a pool on this machine: kept running, asked for, and stopped in order.
 *
 * The pool stops in order: the gateway first, then workers, who finish what they have (each up to
 * drain_seconds), then the broker. A second Ctrl-C kills. Children die with us whatever happens
 * (child.c). */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/up.h"
#include "common/clock.h"
#include "common/log.h"

#define READY_POLL_MS 200   /* how long the broker may take to say who is there */
#define STOP_BROKER_MS 3000 /* what a broker may take to stop before it is killed */

/* ---- watching ---- */

static int start_due(struct up *u, int64_t now) {
    for (size_t i = 0; i < u->n_children; i++) {
        struct child *c = &u->children[i];
        if (c->pid != 0 || c->start_at_ms > now)
            continue;
        if (child_start(c, now) < 0) {
            fprintf(stderr, "quire: %s can't be started: %s\n", c->name, strerror(errno));
            return error_exit_code(ERR_IO);
        }
    }
    return 0;
}

/* Milliseconds until a child is due, -1 for never. */
static int next_due(const struct up *u, int64_t now) {
    int64_t least = -1;
    for (size_t i = 0; i < u->n_children; i++) {
        const struct child *c = &u->children[i];
        if (c->pid != 0 || c->start_at_ms == INT64_MAX)
            continue;
        int64_t wait = c->start_at_ms > now ? c->start_at_ms - now : 0;
        if (least < 0 || wait < least)
            least = wait;
    }
    return (int)least;
}

static struct child *child_of(struct up *u, pid_t pid) {
    for (size_t i = 0; i < u->n_children; i++)
        if (u->children[i].pid == pid)
            return &u->children[i];
    return NULL;
}

/* c ended; true when there is no use in starting it again. Before the pool was up once, a program
 * that gives up has a reason that will not go away; a gateway, when that is the first thing it
 * does. Of a gateway that once worked the reason may go away, and the pool needs none. */
static bool gives_up(struct up *u, struct child *c, int status, int64_t now) {
    bool first = c->backoff_ms == 0 && now - c->started_ms < UP_STEADY_MS;
    bool again = child_ended(c, status, now);
    if (!WIFEXITED(status))
        return false;
    return c == &u->children[u->workers + 1] ? first : !again || !u->announced;
}

/* Reaps who ended. Returns 0, or the exit code with which the pool has to end. */
static int reap(struct up *u, int64_t now) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = child_of(u, pid);
        if (c == NULL)
            continue;
        bool hopeless = gives_up(u, c, status, now);
        if (hopeless && c->optional) {
            fprintf(stderr, "quire: the pool goes on without HTTP (see above); --http ADDRESS:PORT "
                            "serves it elsewhere\n");
            child_rest(c);
            continue;
        }
        if (hopeless) {
            fprintf(stderr, "quire: %s can't run (see above); the pool stops\n", c->name);
            return WEXITSTATUS(status) ? WEXITSTATUS(status) : error_exit_code(ERR_INTERNAL);
        }
        if (WIFSIGNALED(status))
            log_warn("child-lost", "name=%s signal=%d restart_ms=%" PRId64, c->name,
                     WTERMSIG(status), c->backoff_ms);
        else
            log_warn("child-lost", "name=%s exit=%d restart_ms=%" PRId64, c->name,
                     WEXITSTATUS(status), c->backoff_ms);
    }
    return 0;
}

static bool take_signals(struct up *u, bool *stop) {
    struct signalfd_siginfo info;
    bool child = false;
    while (read(u->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            child = true;
        else
            *stop = true;
    }
    return child;
}

int up_tend(struct up *u, bool *stop) {
    int64_t now = clock_ms();
    take_signals(u, stop);
    int code = reap(u, now);
    return code == 0 && !*stop ? start_due(u, now) : code;
}

void up_wait(struct up *u, int longest_ms) {
    int wait = next_due(u, clock_ms());
    if (longest_ms >= 0 && (wait < 0 || wait > longest_ms))
        wait = longest_ms;
    struct pollfd p = {.fd = u->signals, .events = POLLIN};
    (void)poll(&p, 1, wait);
}

/* ---- readiness ---- */

/* Workers that we started ourselves: another pool's broker may be the one who answers. */
static size_t count_ours(struct up *u, const struct quire_worker *workers, size_t n) {
    size_t ours = 0;
    for (size_t i = 0; i < n; i++)
        ours += child_of(u, (pid_t)workers[i].pid) != NULL;
    return ours;
}

bool up_ready(struct up *u, char *model, size_t capacity) {
    struct quire_client *client = NULL;
    struct quire_worker *workers = NULL;
    size_t n = 0;
    if (quire_open(&client, u->reach_clients, READY_POLL_MS, NULL) == 0 &&
        quire_workers(client, READY_POLL_MS, &workers, &n, NULL) == 0 &&
        count_ours(u, workers, n) == (size_t)u->workers) {
        (void)snprintf(model, capacity, "%s", workers[0].model);
        u->announced = true;
    }
    free(workers);
    quire_close(client);
    return u->announced;
}

/* ---- stopping ---- */

static bool any_running(const struct up *u, size_t first, size_t end) {
    for (size_t i = first; i < end; i++)
        if (u->children[i].pid != 0)
            return true;
    return false;
}

static void signal_range(const struct up *u, size_t first, size_t end, int signal_number) {
    for (size_t i = first; i < end; i++)
        if (u->children[i].pid != 0)
            kill(u->children[i].pid, signal_number);
}

static void reap_stopped(struct up *u) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = child_of(u, pid);
        if (c)
            c->pid = 0;
    }
}

/* Stops children first..end-1: asks, waits, then kills. */
static void stop_range(struct up *u, size_t first, size_t end, int64_t patience_ms) {
    int64_t deadline = clock_ms() + patience_ms;
    bool hurry = false;
    signal_range(u, first, end, SIGTERM);
    reap_stopped(u);
    while (any_running(u, first, end) && !hurry && clock_ms() < deadline) {
        struct pollfd p = {.fd = u->signals, .events = POLLIN};
        int64_t left = deadline - clock_ms();
        (void)poll(&p, 1, (int)(left > 0 ? left : 0));
        take_signals(u, &hurry);
        reap_stopped(u);
    }
    signal_range(u, first, end, SIGKILL);
    while (any_running(u, first, end)) {
        struct pollfd p = {.fd = u->signals, .events = POLLIN};
        (void)poll(&p, 1, 50);
        take_signals(u, &hurry);
        reap_stopped(u);
    }
}

/* SIGINT stops us also where a shell started us in the background, with SIGINT ignored; SIGHUP that
 * is ignored (nohup) stays ignored. */
static int open_signals(sigset_t *before) {
    struct sigaction hangup;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, before);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int up_open(struct up *u, struct error *e) {
    u->signals = open_signals(&u->signals_before);
    return u->signals >= 0 ? 0 : error_set(e, ERR_IO, "signals can't be read: %s", strerror(errno));
}

void up_stop(struct up *u) {
    size_t workers_end = (size_t)u->workers + 1;
    stop_range(u, workers_end, u->n_children, (u->drain_seconds + 1) * 1000);
    stop_range(u, 1, workers_end, (u->drain_seconds + 1) * 1000);
    stop_range(u, 0, 1, STOP_BROKER_MS);
    (void)close(u->signals);
    sigprocmask(SIG_SETMASK, &u->signals_before, NULL);
}
