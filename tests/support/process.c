/* process.c - children of tests. */
#include "tests/support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"

static void redirect(const char *path, int fd) {
    int to = open(path ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0600);
    MUST(to >= 0 && dup2(to, fd) == fd);
    close(to);
}

static void become(const char *const *argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

void process_start(struct process *p, const char *const *argv, const char *out, const char *err) {
    p->pid = fork();
    MUST(p->pid >= 0);
    if (p->pid > 0)
        return;
    redirect(out, STDOUT_FILENO);
    redirect(err, STDERR_FILENO);
    become(argv);
}

int process_wait(struct process *p, int wait_ms) {
    int64_t deadline = clock_ms() + wait_ms;
    int status;
    while (p->pid > 0) {
        pid_t r = waitpid(p->pid, &status, WNOHANG);
        if (r == p->pid) {
            p->pid = 0;
            return status;
        }
        if (clock_ms() >= deadline)
            return -1;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return -1;
}

void process_signal(const struct process *p, int number) {
    if (p->pid > 0)
        kill(p->pid, number);
}

void process_kill(struct process *p) {
    if (p->pid <= 0)
        return;
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

/* Feeds input and collects output until the child closes it or time is up. */
static void converse(int to, int from, const char *input, char **out) {
    size_t left = input ? strlen(input) : 0, size = 0, capacity = 4096;
    char *text = malloc(capacity);
    MUST(text != NULL);
    int64_t deadline = clock_ms() + PROCESS_WAIT_MS;
    while (clock_ms() < deadline) {
        if (left == 0 && to >= 0) {
            close(to);
            to = -1;
        }
        struct pollfd p[2] = {{.fd = from, .events = POLLIN}, {.fd = to, .events = POLLOUT}};
        if (poll(p, 2, 100) <= 0)
            continue;
        if (p[1].revents & (POLLOUT | POLLERR)) {
            ssize_t n = write(to, input, left);
            input += n > 0 ? n : 0;
            left = n > 0 ? left - (size_t)n : 0;
        }
        if (p[0].revents == 0)
            continue;
        if (capacity - size < 4096)
            MUST((text = realloc(text, capacity *= 2)) != NULL);
        ssize_t n = read(from, text + size, capacity - size - 1);
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    if (to >= 0)
        close(to);
    close(from);
    text[size] = '\0';
    *out = text;
}

int process_run(const char *const *argv, const char *input, bool both, char **out) {
    int in[2], from[2];
    MUST(pipe2(in, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    struct process p = {.pid = fork()};
    MUST(p.pid >= 0);
    if (p.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        if (both)
            dup2(from[1], STDERR_FILENO);
        become(argv);
    }
    close(in[0]);
    close(from[1]);
    signal(SIGPIPE, SIG_IGN);
    converse(in[1], from[0], input, out);
    int status = process_wait(&p, PROCESS_WAIT_MS);
    process_kill(&p);
    return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *process_read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    size_t capacity = 1 << 20;
    char *text = malloc(capacity);
    MUST(text != NULL);
    size_t n = fread(text, 1, capacity - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}
