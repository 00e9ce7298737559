/* up.c - quire up: a broker and workers on this machine, kept running until Ctrl-C.
 *
 * The pool stops in order: workers first, who finish what they have (up to --drain-seconds), then
 * the broker. A second Ctrl-C kills. Children die with us whatever happens (child.c). */
#include "client/cli/up.h"

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
#include "common/clock.h"
#include "common/log.h"

#define READY_POLL_MS 200   /* how often the broker is asked who is there, until all are */
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
        if (c->pid != 0)
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

/* Reaps who ended. Returns 0, or the exit code with which the pool has to end. */
static int reap(struct up *u, int64_t now) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = child_of(u, pid);
        if (c == NULL)
            continue;
        /* Before the pool was up once, a program that gives up has a reason that will not go away.
         */
        bool again = child_ended(c, status, now);
        if (WIFEXITED(status) && (!again || !u->announced)) {
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

/* Workers that we started ourselves: another pool's broker may be the one who answers. */
static size_t count_ours(struct up *u, const struct quire_worker *workers, size_t n) {
    size_t ours = 0;
    for (size_t i = 0; i < n; i++)
        ours += child_of(u, (pid_t)workers[i].pid) != NULL;
    return ours;
}

/* Asks the broker whether all workers are there; says so once. */
static void announce(struct up *u) {
    struct quire_client *client = NULL;
    struct quire_worker *workers = NULL;
    size_t n = 0;
    if (quire_open(&client, u->reach_clients, READY_POLL_MS, NULL) == 0 &&
        quire_workers(client, READY_POLL_MS, &workers, &n, NULL) == 0 &&
        count_ours(u, workers, n) == (size_t)u->workers) {
        cli_make_plain(workers[0].model);
        printf("quire is up: %zu worker%s with %s at %s\n"
               "Ask with: quire ask -i photo.jpg \"What is in the picture?\"    Ctrl-C stops it.\n",
               n, n == 1 ? "" : "s", workers[0].model, u->reach_clients);
        fflush(stdout);
        u->announced = true;
    }
    free(workers);
    quire_close(client);
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

static int watch(struct up *u) {
    bool stop = false;
    for (;;) {
        int64_t now = clock_ms();
        int code = reap(u, now);
        if (code == 0)
            code = start_due(u, now);
        if (code != 0 || stop)
            return code;
        if (!u->announced)
            announce(u);
        int wait = next_due(u, clock_ms());
        if (!u->announced && (wait < 0 || wait > READY_POLL_MS))
            wait = READY_POLL_MS;
        struct pollfd p = {.fd = u->signals, .events = POLLIN};
        (void)poll(&p, 1, wait);
        take_signals(u, &stop);
        if (stop)
            return 0;
    }
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
static int open_signals(void) {
    struct sigaction hangup;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int run(struct up *u) {
    u->signals = open_signals();
    if (u->signals < 0)
        return cli_fail_error(&(struct error){ERR_IO, "signalfd failed"});
    int code = watch(u);
    if (u->announced)
        fprintf(stderr, "quire: stopping\n");
    stop_range(u, 1, u->n_children, (u->drain_seconds + 1) * 1000);
    stop_range(u, 0, 1, STOP_BROKER_MS);
    close(u->signals);
    return code;
}

int cli_up(int argc, char **argv) {
    struct up *u = calloc(1, sizeof *u);
    if (u == NULL)
        return cli_fail_error(&(struct error){ERR_NOMEM, "memory ran out"});
    u->workers = 2;
    u->drain_seconds = 5;
    u->log_level = "warn";
    const struct config_item items[] = {
        {"workers", 'w', CONFIG_INT, &u->workers, 1, UP_MAX_CHILDREN - 1, "N",
         "how many worker processes (2)"},
        {"model", 'm', CONFIG_TEXT, &u->model, 0, 0, "FILE",
         "the text model, a GGUF (the demo model)"},
        {"mmproj", 0, CONFIG_TEXT, &u->mmproj, 0, 0, "FILE", "its vision tower, a GGUF"},
        {"threads", 't', CONFIG_INT, &u->threads, 1, 256, "N",
         "threads of each worker (processors / workers)"},
        {"kv-memory", 0, CONFIG_BYTES, &u->kv_bytes, 1 << 20, 1e15, "SIZE",
         "memory for keys and values of each worker\n(up to 1G, all together a quarter of the "
         "machine's)"},
        {"credits", 0, CONFIG_INT, &u->credits, 1, 256, "N", "requests a worker takes at a time"},
        {"context", 0, CONFIG_INT, &u->context, 16, 1e7, "N",
         "the longest prompt and answer, in positions"},
        {"chat-template", 0, CONFIG_TEXT, &u->template, 0, 0, "NAME",
         "smolvlm, chatml, llama3, vicuna or gemma"},
        {"drain-seconds", 0, CONFIG_INT, &u->drain_seconds, 1, 3600, "S",
         "how long workers may finish their work at the end (5)"},
        {"clients", 0, CONFIG_TEXT, &u->clients_flag, 0, 0, "ENDPOINT",
         "where clients connect (the local socket)"},
        {"worker-endpoint", 0, CONFIG_TEXT, &u->endpoint_flag, 0, 0, "ENDPOINT",
         "where workers connect (the local socket)"},
        {"log-level", 0, CONFIG_TEXT, &u->log_level, 0, 0, "LEVEL",
         "debug, info, warn, error or off (warn)"},
    };
    struct config c = {.program = "quire up",
                       .section = "up",
                       .usage = "quire up [--workers N] [--model FILE --mmproj FILE] [OPTION...]",
                       .summary = "Starts a broker and workers on this machine and restarts what "
                                  "dies, until Ctrl-C.\nWithout a model it serves the small demo "
                                  "model that comes with quire.",
                       .items = items,
                       .n_items = sizeof items / sizeof items[0]};
    int code;
    struct error e = {0};
    if (cli_settings(&c, argc, argv, NULL, &code))
        code = up_plan(u, &e) < 0 ? cli_fail_error(&e) : run(u);
    config_close(&c);
    free(u);
    return code;
}
