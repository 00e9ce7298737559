/* gguf.c - a GGUF file as a map and a directory: opening, closing, looking up by name.
 *
 * The map is read-only and shared, so that every process with the same model has one copy of its
 * weights. A file that somebody truncates while it is mapped raises SIGBUS on access. No check here
 * can help against that; replace model files by renaming. */
#include "worker/engine/gguf_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

uint16_t gguf_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t gguf_u32(const uint8_t *p) {
    return (uint32_t)gguf_u16(p) | (uint32_t)gguf_u16(p + 2) << 16;
}

uint64_t gguf_u64(const uint8_t *p) {
    return (uint64_t)gguf_u32(p) | (uint64_t)gguf_u32(p + 4) << 32;
}

const char *gguf_show(struct bytes text, char out[GGUF_SHOWN_BYTES]) {
    size_t n = text.size < GGUF_SHOWN_BYTES - 4 ? text.size : GGUF_SHOWN_BYTES - 4;
    for (size_t i = 0; i < n; i++)
        out[i] = text.data[i] >= 0x20 && text.data[i] < 0x7f ? (char)text.data[i] : '?';
    memcpy(out + n, n < text.size ? "..." : "", n < text.size ? 4 : 1);
    return out;
}

/* ---- the tables of names ---- */

static uint64_t hash_name(struct bytes name) {
    return XXH3_64bits(name.data, name.size);
}

int name_table_open(struct name_table *t, size_t n) {
    size_t slots = 16;
    while (slots < n * 2)
        slots *= 2;
    t->slots = calloc(slots, sizeof *t->slots);
    t->mask = slots - 1;
    return t->slots ? 0 : ERR_NOMEM;
}

static bool same_name(struct bytes a, struct bytes b) {
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

const struct gguf_key *gguf_find_key(const struct gguf *g, struct bytes name) {
    if (g->key_table.slots == NULL)
        return NULL;
    for (size_t at = hash_name(name) & g->key_table.mask; g->key_table.slots[at] != 0;
         at = (at + 1) & g->key_table.mask) {
        const struct gguf_key *k = &g->keys[g->key_table.slots[at] - 1];
        if (same_name(k->name, name))
            return k;
    }
    return NULL;
}

const struct gguf_tensor *gguf_find_tensor_bytes(const struct gguf *g, struct bytes name) {
    if (g->tensor_table.slots == NULL)
        return NULL;
    for (size_t at = hash_name(name) & g->tensor_table.mask; g->tensor_table.slots[at] != 0;
         at = (at + 1) & g->tensor_table.mask) {
        const struct gguf_tensor *t = &g->tensors[g->tensor_table.slots[at] - 1];
        if (same_name(t->name, name))
            return t;
    }
    return NULL;
}

void name_table_add(struct name_table *t, struct bytes name, size_t index) {
    size_t at = hash_name(name) & t->mask;
    while (t->slots[at] != 0)
        at = (at + 1) & t->mask;
    t->slots[at] = (uint32_t)(index + 1);
}

/* ---- the file ---- */

static int map_file(struct gguf *g, struct error *e) {
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int fd = open(g->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open the file: %s",
                         strerror(errno));
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) != 0)
        rc = error_set(e, ERR_IO, "cannot stat the file: %s", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        rc = error_set(e, ERR_IO, "not a regular file");
    else if (st.st_size < (off_t)GGUF_HEADER_BYTES)
        rc = error_set(e, ERR_BAD_MODEL, "not a GGUF file: it has only %lld bytes",
                       (long long)st.st_size);
    if (rc == 0) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            rc = error_set(e, ERR_IO, "cannot map the file: %s", strerror(errno));
        } else {
            g->map = map;
            g->mapped = true;
            g->map_bytes = (size_t)st.st_size;
            g->mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
        }
    }
    close(fd);
    return rc;
}

/* Reads what map_file or the caller put into g; g is closed when that fails. */
static int finish_open(struct gguf **out, struct gguf *g, int rc, struct error *e) {
    if (rc == 0)
        rc = gguf_walk(g, e);
    if (rc != 0) {
        error_prefix(e, "%s", g->path);
        gguf_close(g);
        return rc;
    }
    *out = g;
    return 0;
}

static struct gguf *new_gguf(const char *path, struct error *e) {
    struct gguf *g = calloc(1, sizeof *g);
    if (g != NULL && (g->path = strdup(path)) != NULL)
        return g;
    free(g);
    error_set(e, ERR_NOMEM, "%s: out of memory", path);
    return NULL;
}

int gguf_open(struct gguf **out, const char *path, struct error *e) {
    *out = NULL;
    struct gguf *g = new_gguf(path, e);
    if (g == NULL)
        return ERR_NOMEM;
    return finish_open(out, g, map_file(g, e), e);
}

int gguf_open_bytes(struct gguf **out, const char *name, struct bytes image, struct error *e) {
    *out = NULL;
    struct gguf *g = new_gguf(name, e);
    if (g == NULL)
        return ERR_NOMEM;
    g->map = image.data;
    g->map_bytes = image.size;
    return finish_open(out, g, 0, e);
}

void gguf_close(struct gguf *g) {
    if (g == NULL)
        return;
    if (g->mapped)
        (void)munmap((void *)(uintptr_t)g->map, g->map_bytes);
    free(g->keys);
    free(g->key_table.slots);
    free(g->tensors);
    free(g->tensor_table.slots);
    free(g->path);
    free(g);
}

const char *gguf_path(const struct gguf *g) {
    return g->path;
}

size_t gguf_map_bytes(const struct gguf *g) {
    return g->map_bytes;
}

int64_t gguf_mtime_ns(const struct gguf *g) {
    return g->mtime_ns;
}

void gguf_let_go(const struct gguf *g) {
    if (g->mapped)
        (void)madvise((void *)(uintptr_t)g->map, g->map_bytes, MADV_DONTNEED);
}

size_t gguf_tensor_count(const struct gguf *g) {
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i) {
    return &g->tensors[i];
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name) {
    return gguf_find_tensor_bytes(g, (struct bytes){(const uint8_t *)name, strlen(name)});
}
