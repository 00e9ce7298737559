/* guard.c - one fork, one pipe for the outcome. */
#include "proto/index/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

/* Whatever the parent or a sanitizer does with these, the child just dies of them, without a core
 * file. */
static void die_plainly(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM};
    sigset_t none;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        (void)signal(signals[i], SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    (void)prctl(PR_SET_DUMPABLE, 0);
}

static void be_child(int (*work)(void *, struct error *), void *arg, int to, pid_t parent) {
    struct error e = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    die_plainly();
    e.code = work(arg, &e);
    (void)fflush(stdout);
    _exit(write(to, &e, sizeof e) == sizeof e ? 0 : 1);
}

/* True when the whole outcome came in time. The pipe is left open by the child until it ends, so
 * its end wakes us too. */
static bool await(int from, int limit_ms, struct error *outcome) {
    int64_t end_ms = clock_ms() + limit_ms;
    size_t size = 0;
    for (int64_t left = limit_ms; left >= 0; left = end_ms - clock_ms()) {
        struct pollfd p = {.fd = from, .events = POLLIN};
        if (poll(&p, 1, (int)left) <= 0)
            continue;
        ssize_t n = read(from, (uint8_t *)outcome + size, sizeof *outcome - size);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        size += n > 0 ? (size_t)n : 0;
        if (size == sizeof *outcome)
            return true;
    }
    return false;
}

static int explain(int status, int limit_ms, struct error *e) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return error_set(e, ERR_IO, "reading it took longer than %d ms", limit_ms);
    if (WIFSIGNALED(status))
        return error_set(e, ERR_IO, "reading it crashed (%s)", strsignal(WTERMSIG(status)));
    return error_set(e, ERR_IO, "reading it failed without a word");
}

int guard_run(int (*work)(void *arg, struct error *e), void *arg, int limit_ms, struct error *e) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set(e, ERR_IO, "a pipe can't be made: %s", strerror(errno));
    (void)fflush(stdout);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        be_child(work, arg, ends[1], parent);
    (void)close(ends[1]);
    struct error outcome = {0};
    bool came = pid > 0 && await(ends[0], limit_ms, &outcome);
    (void)close(ends[0]);
    if (pid < 0)
        return error_set(e, ERR_IO, "a process can't be started: %s", strerror(errno));
    int status = 0;
    if (!came)
        (void)kill(pid, SIGKILL); /* one that crashed is dead already, and keeps its own status */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!came)
        return explain(status, limit_ms, e);
    outcome.text[sizeof outcome.text - 1] = '\0';
    return outcome.code == 0 ? 0 : error_set(e, outcome.code, "%s", outcome.text);
}
