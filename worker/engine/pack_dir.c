/* pack_dir.c - finding, checking and tidying the directory of packs.
 *
 * A pack's time of modification is the last time a worker opened it. A process that has a pack open
 * holds a shared flock on it, so one that can be locked exclusively is in nobody's use. A worker
 * that opens a pack at the moment it is removed keeps its map; only those after it build anew. */
#include "worker/engine/pack_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

int pack_dir_default(char *out, size_t capacity, struct error *e) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    if (cache != NULL && cache[0] == '/')
        n = snprintf(out, capacity, "%s/quire", cache);
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, capacity, "%s/.cache/quire", home);
    else
        return error_set(e, ERR_NOT_FOUND, "neither XDG_CACHE_HOME nor HOME is set");
    if (n < 0 || (size_t)n >= capacity)
        return error_set(e, ERR_LIMIT, "the cache directory's path is longer than %zu bytes",
                         capacity - 1);
    return 0;
}

/* ---- opening ---- */

static int make_directories(const char *path, struct error *e) {
    char each[PACK_DIR_PATH_BYTES];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof each)
        return error_set(e, ERR_LIMIT, "a directory's path has 1 to %zu bytes", sizeof each - 1);
    memcpy(each, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (each[i] != '/' && each[i] != '\0')
            continue;
        each[i] = '\0';
        if (mkdir(each, 0700) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return error_set(e, ERR_IO, "%s: %s", each, strerror(errno));
        each[i] = path[i];
    }
    return 0;
}

static int check_directory(int fd, const char *path, struct error *e) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (st.st_uid != geteuid())
        return error_set(e, ERR_IO, "%s belongs to user %u, not to this one", path,
                         (unsigned)st.st_uid);
    if ((st.st_mode & 0022) != 0)
        return error_set(e, ERR_IO, "others can write to %s (mode %03o); run chmod 700 on it", path,
                         (unsigned)(st.st_mode & 0777));
    return 0;
}

int pack_dir_open(const char *path, int *fd, struct error *e) {
    int rc = make_directories(path, e);
    if (rc < 0)
        return rc;
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    rc = check_directory(*fd, path, e);
    if (rc < 0)
        close(*fd);
    return rc;
}

/* ---- tidying ---- */

struct survey {
    size_t packs;
    uint64_t bytes;
    char oldest[NAME_MAX + 1]; /* of those in nobody's use; "" when there is none */
    struct timespec oldest_time;
};

static bool ends_with(const char *name, const char *suffix) {
    size_t n = strlen(name), k = strlen(suffix);
    return n > k && strcmp(name + n - k, suffix) == 0;
}

static bool earlier(struct timespec a, struct timespec b) {
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* Removes it unless somebody has it open. */
static bool remove_unused(int dir, const char *name) {
    int fd = openat(dir, name, OPEN_FLAGS);
    if (fd < 0)
        return false;
    bool removed = flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir, name, 0) == 0;
    close(fd);
    return removed;
}

static bool in_use(int fd) {
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return true;
    (void)flock(fd, LOCK_UN);
    return false;
}

static void survey_pack(struct survey *s, int dir, const char *name) {
    struct stat st;
    int fd = openat(dir, name, OPEN_FLAGS);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        s->packs++;
        s->bytes += (uint64_t)st.st_size;
        if ((s->oldest[0] == '\0' || earlier(st.st_mtim, s->oldest_time)) && !in_use(fd)) {
            (void)snprintf(s->oldest, sizeof s->oldest, "%s", name);
            s->oldest_time = st.st_mtim;
        }
    }
    close(fd);
}

static void survey_all(struct survey *s, int dir, const char *keep) {
    *s = (struct survey){0};
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (list == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    size_t kept = strlen(keep);
    for (struct dirent *d; (d = readdir(list)) != NULL;) {
        if (strncmp(d->d_name, keep, kept) == 0)
            continue; /* the one to come, and its unfinished file */
        if (ends_with(d->d_name, PACK_SUFFIX PACK_PART_SUFFIX))
            (void)remove_unused(dir, d->d_name);
        else if (ends_with(d->d_name, PACK_SUFFIX))
            survey_pack(s, dir, d->d_name);
    }
    (void)closedir(list);
}

void pack_dir_tidy(int dir, const char *name, uint64_t bytes) {
    for (;;) {
        struct survey s;
        survey_all(&s, dir, name);
        bool fits = s.packs < PACK_DIR_FILES && s.bytes <= PACK_DIR_TOTAL_BYTES &&
                    bytes <= PACK_DIR_TOTAL_BYTES - s.bytes;
        if (fits || s.oldest[0] == '\0')
            return;
        if (!remove_unused(dir, s.oldest))
            return; /* taken into use this moment, or not ours to remove */
        log_info("pack-removed", "file=%s", s.oldest);
    }
}
