/* accept.c - accept4(2) for libzmq, which does not expect it to fail.
 *
 * With no descriptor left, libzmq 4.3.4 aborts the process in its ipc listener, and spins in its
 * tcp listener, since the connection that can't be accepted stays in the backlog. A definition in
 * the program itself goes before the C library's for all shared libraries, so libzmq's listeners
 * come here. One descriptor is kept in reserve: it is given up for a moment, the connection is
 * taken with it and closed, and libzmq is told that there was none. The client sees a broken
 * connection and tries again later; those that are connected notice nothing.
 *
 * Only libzmq's one I/O thread comes here, so the reserve needs no lock. */
#include "broker/shell/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define NOTE_EVERY_MS 5000

static int reserve = -1;
static uint64_t refused;
static int64_t noted_ms;

static void take_reserve(void) {
    reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void accept_guard(void) {
    take_reserve();
}

static void note(void) {
    int64_t now_ms = clock_ms();
    refused++;
    if (noted_ms != 0 && now_ms - noted_ms < NOTE_EVERY_MS)
        return;
    noted_ms = now_ms;
    log_error("out-of-descriptors", "connections_refused=%llu raise the limit on open files",
              (unsigned long long)refused);
}

static void refuse_one(int listener) {
    if (reserve >= 0)
        (void)close(reserve);
    long fd = syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close((int)fd);
    else /* the whole system has none: the only thing left is not to spin */
        (void)nanosleep(&(struct timespec){0, 10000000}, NULL);
    take_reserve();
    note();
}

/* __SOCKADDR_ARG is the C library's own word for "any kind of struct sockaddr *". */
int accept4(int listener, __SOCKADDR_ARG address, socklen_t *size, int flags) {
    long fd = syscall(SYS_accept4, listener, address.__sockaddr__, size, flags);
    if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
        return (int)fd;
    refuse_one(listener);
    errno = EAGAIN;
    return -1;
}
