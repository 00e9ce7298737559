/* embed.c - a tool of the build: writes files into one C source, so that the gateway serves its
 * page from memory and needs no folder beside it.
 *
 *     quire-embed OUT.c FOLDER NAME...
 *
 * The tag of a file is a hash of its bytes: it changes with them, and with nothing else. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FILE_BYTES ((size_t)4 << 20) /* of one file; the page's largest has some tens of KiB */

static unsigned char bytes[FILE_BYTES + 1];

static const char *type_of(const char *name) {
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
    };
    const char *ending = strrchr(name, '.');
    for (size_t i = 0; ending && i < sizeof types / sizeof *types; i++)
        if (strcmp(ending, types[i][0]) == 0)
            return types[i][1];
    return NULL;
}

static int fail(const char *what, const char *name) {
    fprintf(stderr, "quire-embed: %s %s: %s\n", what, name, errno ? strerror(errno) : "bad input");
    return -1;
}

/* Reads a whole file into bytes[]; -1 with a message. */
static int read_file(const char *path, size_t *size) {
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail("cannot open", path);
    *size = fread(bytes, 1, sizeof bytes, file);
    bool bad = ferror(file) != 0;
    fclose(file);
    if (bad || *size > FILE_BYTES)
        return fail("cannot read, or it is too large:", path);
    return 0;
}

static void write_bytes(FILE *out, size_t index, size_t size) {
    fprintf(out, "static const unsigned char file_%zu[] = {", index);
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%s%u,", i % 32 == 0 ? "\n" : "", (unsigned)bytes[i]);
    fprintf(out, "0};\n"); /* an array may not be empty */
}

static int write_all(FILE *out, const char *folder, char **names, size_t n) {
    struct entry {
        size_t size;
        XXH128_hash_t hash;
    } *entries = calloc(n ? n : 1, sizeof *entries);
    if (!entries)
        return fail("no memory for", folder);
    fprintf(out, "/* Made by quire-embed from gateway/web; not to be edited. */\n"
                 "#include \"gateway/web/files.h\"\n\n");
    for (size_t i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (!type_of(names[i]) || read_file(path, &entries[i].size)) {
            if (!type_of(names[i]))
                fail("no media type is known for", names[i]);
            free(entries);
            return -1;
        }
        entries[i].hash = XXH3_128bits(bytes, entries[i].size);
        write_bytes(out, i, entries[i].size);
    }
    fprintf(out, "\nconst struct page_file page_files[] = {\n");
    for (size_t i = 0; i < n; i++)
        fprintf(out, "    {\"%s\", \"%s\", \"\\\"%016llx%016llx\\\"\", file_%zu, %zu},\n", names[i],
                type_of(names[i]), (unsigned long long)entries[i].hash.high64,
                (unsigned long long)entries[i].hash.low64, i, entries[i].size);
    fprintf(out, "};\nconst size_t page_n_files = %zu;\n", n);
    free(entries);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "Usage: quire-embed OUT.c FOLDER NAME...\n");
        return 2;
    }
    FILE *out = fopen(argv[1], "w");
    if (!out)
        return fail("cannot write", argv[1]) ? 1 : 0;
    int rc = write_all(out, argv[2], argv + 3, (size_t)argc - 3);
    bool bad = ferror(out) != 0;
    if (fclose(out) != 0 || bad)
        rc = fail("cannot write", argv[1]);
    if (rc)
        remove(argv[1]); /* half of it would look like all of it to the next build */
    return rc ? 1 : 0;
}
