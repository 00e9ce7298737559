/* place.c - files around the environment. */
#include "broker/index/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/index/guard.h"
#include "proto/index/reader.h"

#define ROOM_BYTES ((uint64_t)1 << 20) /* free on the disk, or the index is not begun */
#define CHECK_BASE_MS 5000             /* and a second for every CHECK_BYTES */
#define CHECK_BYTES ((off_t)64 << 20)
#define CHECK_MOST_MS 15000

/* ---- the lock ---- */

static int lock_refused(const struct place *p, int fd, struct error *e) {
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return error_set(e, ERR_BUSY,
                     "%s is written by another broker's process (%s); give each broker an index of "
                     "its own with --index",
                     p->dir, pid[0] ? pid : "unknown");
}

static int fail(int *why, const char *path, struct error *e) {
    *why = errno;
    return error_set(e, ERR_IO, "%s: %s", path, strerror(*why));
}

int place_take(struct place *p, const char *dir, int *why, struct error *e) {
    char path[INDEX_PATH_BYTES];
    *p = (struct place){.dir = dir, .lock = -1};
    *why = 0;
    if (!index_path(path, dir, PLACE_LOCK_FILE)) {
        *why = ENAMETOOLONG;
        return error_set(e, ERR_IO, "the path of the index is too long");
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fail(why, dir, e);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(why, path, e);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK ? lock_refused(p, fd, e) : fail(why, path, e);
        (void)close(fd);
        return rc;
    }
    char pid[24];
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)size, 0) != size) {
        /* the number is for people only; a full disk is found by others */
    }
    p->lock = fd;
    return 0;
}

void place_leave(struct place *p) {
    if (p->lock >= 0)
        (void)close(p->lock);
    p->lock = -1;
}

/* ---- content ---- */

static bool stat_file(const struct place *p, const char *file, struct stat *st) {
    char path[INDEX_PATH_BYTES];
    return index_path(path, p->dir, file) && stat(path, st) == 0;
}

int place_has_room(const struct place *p, int *why, struct error *e) {
    struct statvfs fs;
    struct rlimit limit;
    struct stat data = {0};
    if (statvfs(p->dir, &fs) != 0)
        return fail(why, p->dir, e);
    (void)stat_file(p, INDEX_DATA_FILE, &data);
    errno = (uint64_t)fs.f_bavail * fs.f_frsize < ROOM_BYTES ? ENOSPC
            : getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
                    (uint64_t)data.st_size + ROOM_BYTES > limit.rlim_cur
                ? EFBIG
                : 0;
    return errno == 0 ? 0 : fail(why, p->dir, e);
}

static int read_all(void *arg, struct error *e) {
    const struct place *p = arg;
    struct index_reader *r;
    int rc = index_reader_open(&r, p->dir, e);
    if (rc == 0)
        rc = index_reader_check(r, e);
    index_reader_close(r);
    return rc;
}

enum place_content place_check(const struct place *p, struct error *e) {
    char path[INDEX_PATH_BYTES];
    struct stat st;
    if (!index_path(path, p->dir, INDEX_DATA_FILE) || stat(path, &st) != 0)
        return PLACE_EMPTY;
    int64_t limit_ms = CHECK_BASE_MS + st.st_size / CHECK_BYTES * 1000;
    struct place copy = *p;
    int rc =
        guard_run(read_all, &copy, (int)(limit_ms < CHECK_MOST_MS ? limit_ms : CHECK_MOST_MS), e);
    return rc == 0 ? PLACE_SOUND : PLACE_DAMAGED;
}

bool place_set_aside(const struct place *p) {
    char data[INDEX_PATH_BYTES], aside[INDEX_PATH_BYTES], lock[INDEX_PATH_BYTES];
    if (!index_path(data, p->dir, INDEX_DATA_FILE) ||
        !index_path(aside, p->dir, PLACE_ASIDE_FILE) || !index_path(lock, p->dir, INDEX_LOCK_FILE))
        return false;
    bool moved = rename(data, aside) == 0 || errno == ENOENT || unlink(data) == 0;
    return moved && (unlink(lock) == 0 || errno == ENOENT);
}

/* ---- changes under our feet ---- */

void place_note(struct place *p) {
    struct stat data = {0}, lock = {0};
    (void)stat_file(p, INDEX_DATA_FILE, &data);
    (void)stat_file(p, INDEX_LOCK_FILE, &lock);
    p->device = data.st_dev;
    p->file = data.st_ino;
    p->lock_file = lock.st_ino;
    p->size = data.st_size;
}

enum place_change place_look(struct place *p) {
    struct stat data, lock, ours, named;
    if (!stat_file(p, INDEX_DATA_FILE, &data) || !stat_file(p, INDEX_LOCK_FILE, &lock) ||
        data.st_dev != p->device || data.st_ino != p->file || lock.st_ino != p->lock_file)
        return PLACE_REPLACED;
    if (fstat(p->lock, &ours) != 0 || !stat_file(p, PLACE_LOCK_FILE, &named) ||
        ours.st_ino != named.st_ino)
        return PLACE_REPLACED;
    if (data.st_size < p->size)
        return PLACE_SHRUNK;
    p->size = data.st_size;
    return PLACE_SAME;
}
