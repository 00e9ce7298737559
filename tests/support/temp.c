/* temp.c - temporary directories for tests. */
#include "tests/support/temp.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

void temp_dir_open(struct temp_dir *t) {
    const char *base = getenv("TMPDIR");
    int n = snprintf(t->path, sizeof t->path, "%s/quire-test-XXXXXX", base ? base : "/tmp");
    MUST(n > 0 && (size_t)n < sizeof t->path);
    MUST(mkdtemp(t->path) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

void temp_dir_close(struct temp_dir *t) {
    (void)nftw(t->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void temp_file(const struct temp_dir *t, const char *name, const void *data, size_t size, char *out,
               size_t capacity) {
    int n = snprintf(out, capacity, "%s/%s", t->path, name);
    MUST(n > 0 && (size_t)n < capacity);
    FILE *f = fopen(out, "wb");
    MUST(f != NULL);
    MUST(size == 0 || fwrite(data, 1, size, f) == size);
    MUST(fclose(f) == 0);
}
