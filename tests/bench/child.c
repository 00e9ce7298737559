/* child.c - see child.h. */
#include "tests/bench/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"

#define PIECE 4096 /* bytes */

static void become(const char *const *argv, int out, bool both) {
    int nothing = open("/dev/null", O_RDWR);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(both ? out : nothing, STDERR_FILENO) < 0)
        _exit(127);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

/* Until it ends, has said enough, or time is up. */
static char *listen_to(int fd, int wait_ms, const char *enough, int times) {
    size_t size = 0, capacity = 4 * PIECE;
    char *text = malloc(capacity);
    int64_t deadline = clock_ms() + wait_ms, left;
    MUST(text != NULL);
    text[0] = '\0';
    while ((left = deadline - clock_ms()) > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)left) <= 0)
            continue;
        if (capacity - size <= PIECE)
            MUST((text = realloc(text, capacity *= 2)) != NULL);
        ssize_t n = read(fd, text + size, PIECE);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++) /* so that all of it is text */
            text[size + (size_t)i] = text[size + (size_t)i] == '\0' ? ' ' : text[size + (size_t)i];
        text[size += (size_t)n] = '\0';
        if (enough != NULL && count(text, enough) >= times)
            break;
    }
    return text;
}

char *child_run(const char *const *argv, bool both, int wait_ms, const char *enough, int times) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return NULL;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, ends[1], both);
    (void)close(ends[1]);
    char *text = pid > 0 ? listen_to(ends[0], wait_ms, enough, times) : NULL;
    (void)close(ends[0]);
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
    return text;
}
