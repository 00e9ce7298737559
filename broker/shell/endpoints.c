/* endpoints.c - binding, with a lock beside every ipc path.
 *
 * libzmq unlinks whatever lies at an ipc path before it binds, so a second broker would silently
 * take a running one's clients and workers. Each path therefore has a PATH.lock that its broker
 * holds with flock for as long as it lives; the kernel lets go of it however the broker ends. The
 * file holds the owner's process id, for people. It is removed at the end, so a lock counts only if
 * the path still names the file that was locked.
 *
 * Heartbeats of ZMTP are on for tcp only: there, a host can vanish without a word. On ipc the
 * kernel tells, and a process that is merely stopped (Ctrl-Z) keeps its connection. */
#include "broker/shell/endpoints.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "common/log.h"

#define ENDPOINT_BYTES 256
#define LOCK_TRIES 10

#define TCP_HEARTBEAT_MS 1000
#define TCP_SILENCE_MS 3000

static int locked_file(const char *path, int *out) {
    *out = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*out < 0)
        return -1;
    if (flock(*out, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return -1;
}

static bool still_names(const char *path, int fd) {
    struct stat by_path, by_fd;
    return stat(path, &by_path) == 0 && fstat(fd, &by_fd) == 0 && by_path.st_ino == by_fd.st_ino &&
           by_path.st_dev == by_fd.st_dev;
}

static int held_by_other(int fd, const char *endpoint, const char *flag, struct error *e) {
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return error_set(e, ERR_IO,
                     "%s is already served by a broker (process %s); stop it or choose another "
                     "with --%s",
                     endpoint, pid[0] ? pid : "unknown", flag);
}

static int lock_path(struct endpoints *held, const char *endpoint, const char *path,
                     const char *flag, struct error *e) {
    char *lock = held->locks[held->n_locks].path;
    int n = snprintf(lock, ENDPOINT_PATH_BYTES, "%s.lock", path);
    if (n < 0 || n >= ENDPOINT_PATH_BYTES)
        return error_set(e, ERR_LIMIT, "%s is too long for a socket's path", endpoint);
    for (int i = 0; i < LOCK_TRIES; i++) {
        int fd;
        if (locked_file(lock, &fd) != 0) {
            int rc = fd >= 0 && errno == EWOULDBLOCK
                         ? held_by_other(fd, endpoint, flag, e)
                         : error_set(e, ERR_IO, "%s can't be locked: %s", lock, strerror(errno));
            if (fd >= 0)
                (void)close(fd);
            return rc;
        }
        if (still_names(lock, fd)) {
            held->locks[held->n_locks++].fd = fd;
            char pid[24];
            int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
            if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)size, 0) != size)
                log_warn("lock-unsigned", "path=%s error=%s", lock, strerror(errno));
            return 0;
        }
        (void)close(fd); /* its owner removed it between our open and our lock */
    }
    return error_set(e, ERR_IO, "%s can't be locked: others keep removing it", lock);
}

static void set_int(void *socket, int option, int value) {
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0)
        log_warn("socket-option", "option=%d error=%s", option, zmq_strerror(errno));
}

static void watch_silence(void *socket, bool on) {
    set_int(socket, ZMQ_HEARTBEAT_IVL, on ? TCP_HEARTBEAT_MS : 0); /* 0: none at all */
    set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, TCP_SILENCE_MS);
    set_int(socket, ZMQ_HEARTBEAT_TTL, on ? TCP_SILENCE_MS : 0);
}

static bool is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0 ||
           strncmp(address, "localhost:", 10) == 0;
}

/* libzmq takes "22x" for 22. "*" and 0 let the system choose. */
static bool port_is_number(const char *address) {
    const char *port = strrchr(address, ':');
    if (!port || strcmp(port, ":*") == 0)
        return port != NULL;
    size_t digits = strspn(port + 1, "0123456789");
    return digits > 0 && digits <= 5 && port[1 + digits] == '\0' && atoi(port + 1) <= 65535;
}

static int bind_failed(const char *endpoint, const char *flag, struct error *e) {
    if (errno == EADDRINUSE)
        return error_set(e, ERR_IO, "%s is in use by another process; choose another with --%s",
                         endpoint, flag);
    if (errno == EINVAL || errno == ENODEV)
        return error_set(e, ERR_USAGE, "--%s: \"%s\" is not an endpoint that can be served", flag,
                         endpoint);
    return error_set(e, ERR_IO, "%s can't be served: %s", endpoint, zmq_strerror(errno));
}

static int bind_one(struct endpoints *held, void *socket, const char *endpoint, const char *flag,
                    struct error *e) {
    bool tcp = strncmp(endpoint, "tcp://", 6) == 0;
    if (!tcp && strncmp(endpoint, "ipc://", 6) != 0)
        return error_set(e, ERR_USAGE, "--%s: \"%s\" is neither ipc://PATH nor tcp://ADDRESS:PORT",
                         flag, endpoint);
    const char *rest = endpoint + 6;
    if (tcp && !port_is_number(rest))
        return error_set(e, ERR_USAGE, "--%s: \"%s\" does not end in a port of 0 to 65535", flag,
                         endpoint);
    bool is_path = !tcp && rest[0] != '@' && strcmp(rest, "*") != 0;
    int rc = is_path ? lock_path(held, endpoint, rest, flag, e) : 0;
    if (rc != 0)
        return rc;
    watch_silence(socket, tcp);
    if (zmq_bind(socket, endpoint) != 0)
        return bind_failed(endpoint, flag, e);
    char bound[ENDPOINT_BYTES];
    size_t size = sizeof bound;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
        (void)snprintf(bound, sizeof bound, "%s", endpoint);
    log_info("listening", "for=%s at=%s", flag, bound);
    if (tcp && !is_loopback(rest))
        log_warn("open-endpoint",
                 "at=%s anyone who can reach it may use it; nothing is encrypted or checked",
                 bound);
    return 0;
}

int endpoints_bind(struct endpoints *held, void *socket, const char *list, const char *flag,
                   struct error *e) {
    size_t count = 0;
    for (const char *at = list; *at;) {
        size_t size = strcspn(at, ",");
        char one[ENDPOINT_BYTES];
        if (size >= sizeof one || count == ENDPOINTS_MAX)
            return error_set(e, ERR_LIMIT, "--%s: at most %d endpoints of %d bytes", flag,
                             ENDPOINTS_MAX, ENDPOINT_BYTES - 1);
        memcpy(one, at, size);
        one[size] = '\0';
        at += size;
        at += *at == ',';
        if (size == 0)
            continue;
        int rc = bind_one(held, socket, one, flag, e);
        if (rc != 0)
            return rc;
        count++;
    }
    if (count == 0)
        return error_set(e, ERR_USAGE, "--%s names no endpoint", flag);
    return 0;
}

void endpoints_close(struct endpoints *held) {
    for (size_t i = 0; i < held->n_locks; i++) {
        char *path = held->locks[i].path;
        char *suffix = strrchr(path, '.');
        *suffix = '\0';
        (void)unlink(path); /* the socket, which libzmq leaves behind */
        *suffix = '.';
        (void)unlink(path);
        (void)close(held->locks[i].fd);
    }
    held->n_locks = 0;
}
