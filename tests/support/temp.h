/* temp.h - a temporary directory of a test's own, removed with all it holds. */
#ifndef QUIRE_TESTS_SUPPORT_TEMP_H
#define QUIRE_TESTS_SUPPORT_TEMP_H

#include <stddef.h>

#define TEMP_PATH_BYTES 128

struct temp_dir {
    char path[TEMP_PATH_BYTES];
};

/* Makes a new directory of mode 0700 under TMPDIR or /tmp; a test that can't have one is aborted.
 */
void temp_dir_open(struct temp_dir *t);
void temp_dir_close(struct temp_dir *t);

/* Writes a whole file into it and its path into out. */
void temp_file(const struct temp_dir *t, const char *name, const void *data, size_t size, char *out,
               size_t capacity);

#endif
