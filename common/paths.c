/* paths.c - the runtime directory. */
#include "common/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_directory(const char *path, struct error *e) {
    struct stat st;
    if (lstat(path, &st) != 0)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(e, ERR_IO, "%s is not a directory; move it away or set QUIRE_RUNTIME_DIR",
                         path);
    if (st.st_uid != geteuid())
        return error_set(e, ERR_IO, "%s belongs to user %u, not to you; set QUIRE_RUNTIME_DIR",
                         path, (unsigned)st.st_uid);
    if ((st.st_mode & 0077) != 0)
        return error_set(e, ERR_IO, "%s is open to other users (mode %03o); run chmod 700 on it",
                         path, (unsigned)(st.st_mode & 0777));
    return 0;
}

int paths_runtime_dir(char *out, size_t capacity, struct error *e) {
    const char *own = getenv("QUIRE_RUNTIME_DIR");
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    int n;
    if (own != NULL && own[0] == '/')
        n = snprintf(out, capacity, "%s", own);
    else if (xdg != NULL && xdg[0] == '/')
        n = snprintf(out, capacity, "%s/quire", xdg);
    else
        n = snprintf(out, capacity, "/tmp/quire-%u", (unsigned)geteuid());
    if (n < 0 || (size_t)n >= capacity)
        return error_set(e, ERR_LIMIT,
                         "the runtime directory's path is longer than %zu bytes; set "
                         "QUIRE_RUNTIME_DIR to a shorter one",
                         capacity - 1);
    if (mkdir(out, 0700) != 0 && errno != EEXIST)
        return error_set(e, ERR_IO, "%s can't be made: %s; set QUIRE_RUNTIME_DIR", out,
                         strerror(errno));
    return check_directory(out, e);
}

int paths_endpoint(char *out, size_t capacity, const char *which, struct error *e) {
    char directory[PATHS_ENDPOINT_BYTES];
    int r = paths_runtime_dir(directory, sizeof directory, e);
    if (r < 0)
        return r;
    int n = snprintf(out, capacity, "ipc://%s/%s.ipc", directory, which);
    if (n < 0 || (size_t)n >= capacity || (size_t)n >= PATHS_ENDPOINT_BYTES)
        return error_set(e, ERR_LIMIT,
                         "%s/%s.ipc is too long for a socket's path; set "
                         "QUIRE_RUNTIME_DIR to a shorter one",
                         directory, which);
    return 0;
}
