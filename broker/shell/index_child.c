/* index_child.c - see index_child.h. */
#include "broker/shell/index_child.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "broker/index/pipe.h"
#include "common/clock.h"

#define PROGRAM "quire-index"
#define POLL_MS 5

extern char **environ;

static bool sibling(char *out, size_t capacity) {
    ssize_t n = readlink("/proc/self/exe", out, capacity - 1);
    if (n < 0)
        return false;
    out[n] = '\0';
    char *name = strrchr(out, '/');
    if (!name || (size_t)(name + 1 - out) + sizeof PROGRAM > capacity)
        return false;
    memcpy(name + 1, PROGRAM, sizeof PROGRAM);
    return true;
}

/* Signals as a program expects them, and its end of the pair at PIPE_FD. Everything else of ours is
 * closed on exec. */
static int spawn(pid_t *pid, const char *path, char *const *argv, int end) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        rc = posix_spawn_file_actions_adddup2(&actions, end, PIPE_FD);
        if (rc == 0)
            rc = posix_spawn(pid, path, &actions, &attributes, argv, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static const char *level_name(enum log_level level) {
    static const char *const names[] = {"debug", "info", "warn", "error", "off"};
    return names[level];
}

int index_child_start(struct index_child *c, const struct recorder_settings *s, bool tell,
                      bool anew, struct error *e) {
    char path[INDEX_PATH_BYTES], links[24], mark[24];
    int ends[2];
    *c = (struct index_child){.fd = -1};
    if (!sibling(path, sizeof path))
        return error_set(e, ERR_IO, "this program's own path can't be found");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return error_set(e, ERR_IO, "a socket can't be made: %s", strerror(errno));
    (void)snprintf(links, sizeof links, "%" PRIu64, s->links);
    /* a hash, so that the seed does not show in the list of processes */
    (void)snprintf(mark, sizeof mark, "%" PRIx64,
                   (uint64_t)XXH3_64bits_withSeed(&s->seed, sizeof s->seed, 1));
    const char *const argv[] = {path,
                                s->dir,
                                links,
                                mark,
                                tell ? "tell" : "keep",
                                anew ? "anew" : "trust",
                                level_name(s->log_level),
                                NULL};
    int rc = spawn(&c->pid, path, (char *const *)(uintptr_t)argv, ends[1]);
    (void)close(ends[1]);
    if (rc != 0) {
        (void)close(ends[0]);
        c->pid = 0;
        return error_set(e, ERR_IO, "%s can't be started: %s", path, strerror(rc));
    }
    c->fd = ends[0];
    return 0;
}

static void describe_end(int status, bool *crashed, char *text, size_t capacity) {
    *crashed = false;
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        *crashed = number != SIGKILL && number != SIGTERM;
        (void)snprintf(text, capacity, "it was ended by a signal (%s)", strsignal(number));
    } else {
        int code = WEXITSTATUS(status);
        *crashed = code == 1; /* a sanitizer's */
        (void)snprintf(text, capacity, "it ended with exit code %d", code);
    }
}

bool index_child_ended(struct index_child *c, bool *crashed, char *text, size_t capacity) {
    int status;
    if (c->pid == 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return false;
    describe_end(status, crashed, text, capacity);
    if (c->fd >= 0)
        (void)close(c->fd);
    *c = (struct index_child){.fd = -1};
    return true;
}

void index_child_kill(const struct index_child *c) {
    if (c->pid > 0)
        (void)kill(c->pid, SIGKILL);
}

void index_child_finish(struct index_child *c, int wait_ms) {
    int64_t end_ms = clock_ms() + wait_ms;
    bool crashed;
    char text[80];
    while (c->pid > 0 && !index_child_ended(c, &crashed, text, sizeof text)) {
        if (clock_ms() >= end_ms)
            index_child_kill(c);
        (void)nanosleep(&(struct timespec){0, POLL_MS * 1000000}, NULL);
    }
}
