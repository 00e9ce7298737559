/* pages.c - the arena, its reference counts and the stack of free pages.
 *
 * The arena is address space taken in one piece; the system gives memory to a page when it is first
 * written. Its size is held against what the machine has when it is taken, since a promise that
 * cannot be kept would end in the process being killed in the middle of somebody's answer. Pages
 * that were used last are used first again, so that memory never touched stays untouched. */
#include "worker/engine/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/machine.h"

struct pages {
    struct pages_shape shape;
    struct kv_layout layout;
    size_t page_bytes, arena_bytes;
    uint8_t *arena;
    uint32_t total, n_free;
    uint32_t *references; /* [total] */
    page_id *free_stack;  /* the first n_free are free; the last of them goes next */
};

size_t pages_bytes_per_page(struct pages_shape s) {
    return (size_t)s.n_layer * (size_t)s.n_head_kv * kv_layout_of(s.type, s.head_dim).bytes;
}

struct kv_layout pages_layout(const struct pages *p) {
    return p->layout;
}

struct pages_shape pages_shape(const struct pages *p) {
    return p->shape;
}

static int take_arena(struct pages *p, size_t budget_bytes, struct error *e) {
    size_t count = budget_bytes / p->page_bytes;
    if (count == 0)
        return error_set(e, ERR_LIMIT,
                         "%zu bytes for keys and values hold no page: one of %d positions of this "
                         "model takes %zu bytes",
                         budget_bytes, PAGE_POSITIONS, p->page_bytes);
    if (count > PAGE_NONE - 1)
        count = PAGE_NONE - 1;
    p->total = (uint32_t)count;
    p->arena_bytes = count * p->page_bytes;
    size_t available = machine_available_bytes();
    if (p->arena_bytes > available)
        return error_set(e, ERR_NOMEM,
                         "%zu MiB for keys and values are asked for, %zu MiB of memory are "
                         "available; give the pages less",
                         p->arena_bytes >> 20, available >> 20);
    void *arena = mmap(NULL, p->arena_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED)
        return error_set(e, ERR_NOMEM, "the system refuses %zu MiB for keys and values",
                         p->arena_bytes >> 20);
    p->arena = arena;
    (void)madvise(arena, p->arena_bytes, MADV_HUGEPAGE); /* a hint; slower without, that's all */
    return 0;
}

int pages_open(struct pages **out, struct pages_shape shape, size_t budget_bytes, struct error *e) {
    *out = NULL;
    MUST(shape.n_layer > 0 && shape.n_head_kv > 0 && shape.head_dim > 0);
    struct pages *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(e, ERR_NOMEM, "no memory for the list of pages");
    p->shape = shape;
    p->layout = kv_layout_of(shape.type, shape.head_dim);
    p->page_bytes = pages_bytes_per_page(shape);
    int rc = take_arena(p, budget_bytes, e);
    if (rc != 0)
        goto fail;
    p->references = calloc(p->total, sizeof *p->references);
    p->free_stack = calloc(p->total, sizeof *p->free_stack);
    if (p->references == NULL || p->free_stack == NULL) {
        rc = error_set(e, ERR_NOMEM, "no memory for the list of %u pages", p->total);
        goto fail;
    }
    p->n_free = p->total;
    for (uint32_t i = 0; i < p->total; i++)
        p->free_stack[i] = p->total - 1 - i;
    *out = p;
    return 0;
fail:
    pages_close(p);
    return rc;
}

void pages_close(struct pages *p) {
    if (p == NULL)
        return;
    if (p->arena != NULL)
        munmap(p->arena, p->arena_bytes);
    free(p->references);
    free(p->free_stack);
    free(p);
}

uint32_t pages_total(const struct pages *p) {
    return p->total;
}

uint32_t pages_free(const struct pages *p) {
    return p->n_free;
}

page_id pages_take(struct pages *p) {
    if (p->n_free == 0)
        return PAGE_NONE;
    page_id id = p->free_stack[--p->n_free];
    p->references[id] = 1;
    return id;
}

void pages_retain(struct pages *p, page_id id) {
    MUST(id < p->total && p->references[id] > 0 && p->references[id] < UINT32_MAX);
    p->references[id]++;
}

void pages_release(struct pages *p, page_id id) {
    MUST(id < p->total && p->references[id] > 0);
    if (--p->references[id] == 0)
        p->free_stack[p->n_free++] = id;
}

uint8_t *pages_head(struct pages *p, page_id id, int32_t layer, int32_t head) {
    size_t n = (size_t)layer * (size_t)p->shape.n_head_kv + (size_t)head;
    return p->arena + (size_t)id * p->page_bytes + n * p->layout.bytes;
}

/* Elements first .. first + n - 1 of each of `rows` rows of KV_POSITIONS elements. */
static void copy_columns(uint8_t *to, const uint8_t *from, size_t rows, size_t element,
                         uint32_t first, uint32_t n) {
    for (size_t i = 0; i < rows; i++) {
        size_t at = (i * KV_POSITIONS + first) * element;
        memcpy(to + at, from + at, n * element);
    }
}

static void copy_head(const struct kv_layout *l, uint8_t *to, const uint8_t *from, uint32_t first,
                      uint32_t n) {
    size_t value = (size_t)l->width * l->element_bytes, at = l->values + first * value;
    copy_columns(to, from, (size_t)l->head_dim, l->element_bytes, first, n);
    memcpy(to + at, from + at, n * value);
    if (l->type != KV_Q8_0)
        return;
    size_t scale = (size_t)l->blocks * sizeof(uint16_t);
    copy_columns(to + l->key_scales, from + l->key_scales, (size_t)l->blocks, sizeof(uint16_t),
                 first, n);
    at = l->value_scales + first * scale;
    memcpy(to + at, from + at, n * scale);
}

void pages_copy(struct pages *p, page_id to, page_id from, uint32_t first, uint32_t n) {
    MUST(to < p->total && from < p->total && to != from && first + n <= PAGE_POSITIONS);
    uint8_t *into = pages_head(p, to, 0, 0);
    const uint8_t *out_of = pages_head(p, from, 0, 0);
    size_t heads = (size_t)p->shape.n_layer * (size_t)p->shape.n_head_kv;
    for (size_t i = 0; i < heads; i++, into += p->layout.bytes, out_of += p->layout.bytes)
        copy_head(&p->layout, into, out_of, first, n);
}
