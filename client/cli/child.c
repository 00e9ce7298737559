/* child.c - one child process of `quire up`. */
#include "client/cli/up.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

int child_start(struct child *c, int64_t now_ms) {
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        /* The group keeps the terminal's Ctrl-C for the parent, who stops everybody in order. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(EX_SOFTWARE);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(c->argv[0], c->argv);
        _exit(errno == ENOENT ? EX_NOINPUT : EX_OSERR);
    }
    c->pid = pid;
    c->started_ms = now_ms;
    return 0;
}

/* Exit codes that mean "the same again next time". */
static bool is_final(int status) {
    if (!WIFEXITED(status))
        return false;
    switch (WEXITSTATUS(status)) {
    case 2: /* usage */
    case EX_DATAERR:
    case EX_NOINPUT:
        return true;
    default:
        return false;
    }
}

void child_rest(struct child *c) {
    c->pid = 0;
    c->start_at_ms = INT64_MAX;
}

bool child_ended(struct child *c, int status, int64_t now_ms) {
    c->pid = 0;
    if (c->backoff_ms == 0 || now_ms - c->started_ms >= UP_STEADY_MS)
        c->backoff_ms = UP_BACKOFF_MIN_MS;
    else
        c->backoff_ms =
            c->backoff_ms * 2 > UP_BACKOFF_MAX_MS ? UP_BACKOFF_MAX_MS : c->backoff_ms * 2;
    c->start_at_ms = now_ms + c->backoff_ms;
    return !is_final(status);
}
