/* attention_bed.c - fills pages, and reads them by the definition. */
#include "tests/support/attention_bed.h"

#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/engine/quant.h"

void bed_open(struct bed *b, struct pages_shape shape, int32_t group, int threads) {
    shape.n_layer = BED_LAYER + 1;
    *b = (struct bed){.shape = shape, .group = group, .random = {11}};
    size_t bytes = BED_PAGES * pages_bytes_per_page(shape);
    MUST(team_open(&b->team, threads, NULL) == 0);
    MUST(pages_open(&b->pages, shape, bytes, NULL) == 0);
    MUST(attention_open(&b->attention, b->pages, b->team, shape.n_head_kv * group, BED_ROWS,
                        NULL) == 0);
}

void bed_close(struct bed *b) {
    attention_close(b->attention);
    pages_close(b->pages);
    team_close(b->team);
}

void bed_poison(struct bed *b, page_id id) {
    memset(pages_head(b->pages, id, 0, 0), 0xff, pages_bytes_per_page(b->shape));
}

page_id *bed_fill(struct bed *b, uint32_t n) {
    uint32_t count = (n + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
    page_id *ids = calloc(count, sizeof *ids);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = pages_take(b->pages);
        MUST(ids[i] != PAGE_NONE);
        bed_poison(b, ids[i]);
    }
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = random_bits(&b->random) % i;
        page_id t = ids[i - 1];
        ids[i - 1] = ids[j];
        ids[j] = t;
    }
    size_t floats = (size_t)b->shape.n_head_kv * (size_t)b->shape.head_dim;
    float *kv = malloc(2 * floats * sizeof *kv);
    for (uint32_t p = 0; p < n; p++) {
        random_floats(&b->random, kv, 2 * floats);
        attention_place(b->attention, ids[p / PAGE_POSITIONS], p % PAGE_POSITIONS, BED_LAYER, kv,
                        kv + floats);
    }
    free(kv);
    return ids;
}

void bed_release(struct bed *b, page_id *ids, uint32_t n) {
    for (uint32_t i = 0; i < (n + PAGE_POSITIONS - 1) / PAGE_POSITIONS; i++)
        pages_release(b->pages, ids[i]);
    free(ids);
}

static double element(enum kv_type type, const uint8_t *from, size_t at, const uint8_t *scales,
                      size_t scale_at) {
    uint16_t half;
    float f;
    switch (type) {
    case KV_F32:
        memcpy(&f, from + at * sizeof f, sizeof f);
        return (double)f;
    case KV_F16:
        memcpy(&half, from + at * sizeof half, sizeof half);
        return (double)quant_half_to_float(half);
    case KV_Q8_0:
        break;
    }
    memcpy(&half, scales + scale_at * sizeof half, sizeof half);
    return (double)(int8_t)from[at] * (double)quant_half_to_float(half);
}

double bed_key(const struct bed *b, page_id id, int32_t head, uint32_t position, int32_t d) {
    struct kv_layout l = pages_layout(b->pages);
    const uint8_t *page = pages_head(b->pages, id, BED_LAYER, head);
    return element(l.type, page, (size_t)d * KV_POSITIONS + position, page + l.key_scales,
                   (size_t)(d / KV_BLOCK) * KV_POSITIONS + position);
}

double bed_value(const struct bed *b, page_id id, int32_t head, uint32_t position, int32_t d) {
    struct kv_layout l = pages_layout(b->pages);
    const uint8_t *page = pages_head(b->pages, id, BED_LAYER, head);
    return element(l.type, page + l.values, (size_t)position * (size_t)l.width + (size_t)d,
                   page + l.value_scales,
                   (size_t)position * (size_t)l.blocks + (size_t)(d / KV_BLOCK));
}
