/* secret.c - made under a name of its own and then linked to its place, so that of two brokers that
 * start at once both read the same whole file. */
#include "broker/shell/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define PATH_BYTES 512

static int make_file(const char *path, struct error *e) {
    uint8_t bytes[SECRET_BYTES];
    char made[PATH_BYTES];
    int n = snprintf(made, sizeof made, "%s.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof made)
        return error_set(e, ERR_IO, "the path of the secret is too long");
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return error_set(e, ERR_IO, "no random bytes for the secret: %s", strerror(errno));
    (void)unlink(made); /* of a process of that number that was killed here */
    int fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
    written = written && fsync(fd) == 0 && (link(made, path) == 0 || errno == EEXIST);
    int why = errno;
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(made);
    }
    return written ? 0
                   : error_set(e, ERR_IO, "the secret %s can't be made: %s", path, strerror(why));
}

static int check_file(int fd, const char *path, struct error *e) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return error_set(e, ERR_IO, "the secret %s is not a file", path);
    if (st.st_uid != geteuid())
        return error_set(e, ERR_IO, "the secret %s belongs to user %u, not to you", path,
                         (unsigned)st.st_uid);
    if ((st.st_mode & 0077) != 0)
        return error_set(e, ERR_IO,
                         "the secret %s is open to other users (mode %03o); run chmod 600 on it, "
                         "or remove it to have a new one made",
                         path, (unsigned)(st.st_mode & 0777));
    if (st.st_size != SECRET_BYTES)
        return error_set(e, ERR_IO,
                         "the secret %s has %lld bytes, not %d; remove it to have a new one made",
                         path, (long long)st.st_size, SECRET_BYTES);
    return 0;
}

int secret_seed(const char *path, uint64_t *seed, struct error *e) {
    uint8_t bytes[SECRET_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        int rc = make_file(path, e);
        if (rc != 0)
            return rc;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    }
    if (fd < 0)
        return error_set(e, ERR_IO, "the secret %s can't be read: %s", path, strerror(errno));
    int rc = check_file(fd, path, e);
    if (rc == 0 && read(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        rc = error_set(e, ERR_IO, "the secret %s can't be read", path);
    (void)close(fd);
    if (rc != 0)
        return rc;
    uint64_t hash = XXH3_64bits(bytes, sizeof bytes);
    *seed = hash != 0 ? hash : 1; /* 0 on the wire: no links are wanted */
    return 0;
}
