/* attention_few.c - the next token of a sequence: one row at a time, read straight from the pages.
 *
 * Here memory is the limit. Every key and value is read once for all query heads that share it, and
 * kernels ask for the next block while they compute with this one. */
#include "worker/engine/attention_inside.h"

/* The part of one row's queries that block `block` gives. */
static void take_block(struct attention *a, struct bench *b, const struct attention_span *s,
                       uint32_t row, int32_t head, int32_t block, struct attend_part part) {
    uint32_t sees = s->position + row + 1, from = (uint32_t)block * ATTEND_BLOCK;
    uint32_t seen = sees - from < ATTEND_BLOCK ? sees - from : ATTEND_BLOCK;
    uint32_t all = (sees + PAGE_POSITIONS - 1) / PAGE_POSITIONS, first = from / PAGE_POSITIONS;
    const uint8_t *pages[ATTEND_BLOCK_PAGES], *ahead[ATTEND_BLOCK_PAGES];
    for (uint32_t i = 0; i < ATTEND_BLOCK_PAGES && first + i < all; i++) {
        uint32_t next = first + i + ATTEND_BLOCK_PAGES;
        pages[i] = pages_head(a->pages, s->pages[first + i], a->layer, head);
        ahead[i] = next < all ? pages_head(a->pages, s->pages[next], a->layer, head) : pages[i];
    }
    const struct attend_few job = {.layout = &a->layout,
                                   .pages = pages,
                                   .ahead = ahead,
                                   .seen = (int32_t)seen,
                                   .q = query_of(a, s->first_row + (int32_t)row, head),
                                   .queries = a->group,
                                   .scores = b->scores,
                                   .part = part};
    a->kernels->few(&job);
}

void attention_few(struct attention *a, struct bench *b, const struct task *t, int32_t head) {
    const struct attention_span *s = &a->spans[t->span];
    for (int32_t row = t->first; row < t->first + t->rows; row++) {
        int32_t blocks = blocks_of(s->position + (uint32_t)row + 1);
        take_block(a, b, s, (uint32_t)row, head, 0, b->whole);
        for (int32_t i = 1; i < blocks; i++) {
            take_block(a, b, s, (uint32_t)row, head, i, b->part);
            a->kernels->fold(&a->layout, &b->whole, &b->part, a->group);
        }
        a->kernels->finish(&a->layout, &b->whole, a->group, output_of(a, s->first_row + row, head));
    }
}

static struct attend_part slot_of(const struct attention *a, int32_t slot, int32_t head) {
    float *at = a->slots + ((size_t)slot * (size_t)a->n_head_kv + (size_t)head) * a->slot_floats;
    size_t sums = (size_t)a->group * (size_t)a->layout.width;
    return (struct attend_part){at + sums, at + sums + a->group, at};
}

void attention_share(struct attention *a, struct bench *b, const struct task *t, int32_t head) {
    const struct attention_span *s = &a->spans[t->span];
    const struct share *share = &a->shares[t->share];
    for (int32_t i = t->block; i < t->block + t->blocks; i++)
        take_block(a, b, s, (uint32_t)t->first, head, i, slot_of(a, share->slot + i, head));
    atomic_int *left = &a->left[t->share * a->n_head_kv + head];
    if (atomic_fetch_sub_explicit(left, 1, memory_order_acq_rel) != 1)
        return;
    atomic_store_explicit(left, share->tasks, memory_order_relaxed); /* for the next layer */
    struct attend_part whole = slot_of(a, share->slot, head);
    for (int32_t i = 1; i < share->blocks; i++) {
        struct attend_part part = slot_of(a, share->slot + i, head);
        a->kernels->fold(&a->layout, &whole, &part, a->group);
    }
    a->kernels->finish(&a->layout, &whole, a->group, output_of(a, s->first_row + t->first, head));
}
