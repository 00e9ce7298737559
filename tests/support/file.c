/* file.c - reading whole files. */
#include "tests/support/file.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/must.h"

#define FILE_MAX_BYTES (64L << 20)

struct bytes file_read(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        perror(path);
    MUST(f != NULL);
    MUST(fseek(f, 0, SEEK_END) == 0);
    long size = ftell(f);
    MUST(size >= 0 && size <= FILE_MAX_BYTES);
    rewind(f);
    uint8_t *data = malloc((size_t)size + 1);
    MUST(data != NULL && fread(data, 1, (size_t)size, f) == (size_t)size);
    fclose(f);
    return (struct bytes){data, (size_t)size};
}
