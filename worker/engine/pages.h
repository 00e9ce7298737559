/* pages.h - key/value memory: an arena of pages of 16 positions, taken once at start.
 *
 * A page holds keys and values of 16 consecutive positions for all layers: [layer][kv_head] parts,
 * laid out as kv.h says. Pages are counted by reference; a page goes back to the free list with its
 * last reference. Used by one thread (the engine's). */
#ifndef QUIRE_ENGINE_PAGES_H
#define QUIRE_ENGINE_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/kv.h"

#define PAGE_POSITIONS KV_POSITIONS

struct pages;
typedef uint32_t page_id;
#define PAGE_NONE UINT32_MAX

struct pages_shape {
    int32_t n_layer, n_head_kv, head_dim;
    enum kv_type type;
};

/* Takes the whole arena now: `budget_bytes` rounded down to whole pages. ERR_NOMEM, ERR_LIMIT when
 * it holds no page. */
int pages_open(struct pages **out, struct pages_shape shape, size_t budget_bytes, struct error *e);
void pages_close(struct pages *p);

size_t pages_bytes_per_page(struct pages_shape shape);
struct pages_shape pages_shape(const struct pages *p);
uint32_t pages_total(const struct pages *p);
uint32_t pages_free(const struct pages *p);

page_id pages_take(struct pages *p); /* one reference; PAGE_NONE when none is free */
void pages_retain(struct pages *p, page_id id);
void pages_release(struct pages *p, page_id id);

/* Copies positions first .. first + n - 1 of a page, all layers and heads, to the same places of
 * another. */
void pages_copy(struct pages *p, page_id to, page_id from, uint32_t first, uint32_t n);

/* One layer and head of a page, and where in it keys and values lie. */
struct kv_layout pages_layout(const struct pages *p);
uint8_t *pages_head(struct pages *p, page_id id, int32_t layer, int32_t head);

#endif
