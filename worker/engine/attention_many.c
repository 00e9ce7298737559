/* attention_many.c - rows of a prompt: a block's keys and values are expanded to f32 once for all
 * queries of the task. Where rows see different numbers of a
 * block's positions, they go together up to what the first of them sees, and on alone from there.
 */
#include "worker/engine/attention_inside.h"

#include <string.h>

#define SLOPE_QUERIES 12 /* that go together where the number of positions grows by row */

/* The rows that go through one block together. */
struct slice {
    int32_t first, rows; /* of the task */
    uint32_t sees;       /* the first row; from position 0 on */
    uint32_t from;       /* of the block */
};

static int32_t seen_by(const struct slice *s, int32_t row) {
    int64_t seen = (int64_t)s->sees + row - (int64_t)s->from;
    return seen < 0 ? 0 : seen < ATTEND_BLOCK ? (int32_t)seen : ATTEND_BLOCK;
}

static void gather_queries(const struct attention *a, struct bench *b,
                           const struct attention_span *s, const struct task *t, int32_t head) {
    size_t each = (size_t)a->group * (size_t)a->layout.head_dim;
    for (int32_t i = 0; i < t->rows; i++)
        memcpy(b->queries + (size_t)i * each, query_of(a, s->first_row + t->first + i, head),
               each * sizeof(float));
}

static void expand_block(const struct attention *a, struct bench *b, const struct attention_span *s,
                         int32_t head, uint32_t from, int32_t count) {
    for (int32_t i = 0; i < count; i += PAGE_POSITIONS) {
        page_id id = s->pages[(from + (uint32_t)i) / PAGE_POSITIONS];
        const uint8_t *page = pages_head(a->pages, id, a->layer, head);
        int32_t n = count - i < PAGE_POSITIONS ? count - i : PAGE_POSITIONS;
        a->kernels->expand_keys(&a->layout, page, i, b->keys);
        a->kernels->expand_values(&a->layout, page, i, n, b->values);
    }
}

/* Positions begin .. end - 1 with some rows of the slice. */
static void weigh_rows(const struct attention *a, const struct bench *b, struct attend_part to,
                       int32_t row, int32_t rows, int32_t begin, int32_t end) {
    size_t query = (size_t)row * (size_t)a->group;
    a->kernels->weigh(&a->layout, b->scores + query * ATTEND_BLOCK, rows * a->group, b->values,
                      begin, end, to.sums + query * (size_t)a->layout.width);
}

static void weigh_slice(const struct attention *a, const struct bench *b, const struct slice *s,
                        struct attend_part to) {
    if (seen_by(s, 0) == ATTEND_BLOCK) {
        weigh_rows(a, b, to, 0, s->rows, 0, ATTEND_BLOCK);
        return;
    }
    int32_t step = a->group < SLOPE_QUERIES ? SLOPE_QUERIES / a->group : 1;
    for (int32_t row = 0; row < s->rows; row += step) {
        int32_t n = s->rows - row < step ? s->rows - row : step, common = seen_by(s, row);
        weigh_rows(a, b, to, row, n, 0, common);
        for (int32_t i = 1; i < n && seen_by(s, row + i) > common; i++)
            weigh_rows(a, b, to, row + i, 1, common, seen_by(s, row + i));
    }
}

/* All rows of the slice see something of the block. */
static void take_slice(const struct attention *a, const struct bench *b, const struct slice *s) {
    struct attend_part whole = part_from(a, b->whole, s->first * a->group);
    struct attend_part to = s->from == 0 ? whole : b->part;
    const float *queries = b->queries + (size_t)(s->first * a->group) * (size_t)a->layout.head_dim;
    a->kernels->score(&a->layout, queries, s->rows * a->group, b->keys, seen_by(s, s->rows - 1),
                      b->scores);
    int32_t alike = seen_by(s, 0) == ATTEND_BLOCK ? s->rows : 1; /* rows that see equally many */
    for (int32_t row = 0; row < s->rows; row += alike) {
        int32_t i = row * a->group;
        a->kernels->soften(b->scores + (size_t)i * ATTEND_BLOCK, alike * a->group, seen_by(s, row),
                           to.top + i, to.total + i);
    }
    weigh_slice(a, b, s, to);
    if (s->from > 0)
        a->kernels->fold(&a->layout, &whole, &to, s->rows * a->group);
}

void attention_many(struct attention *a, struct bench *b, const struct task *t, int32_t head) {
    const struct attention_span *s = &a->spans[t->span];
    uint32_t sees = s->position + (uint32_t)t->first + 1, end = sees + (uint32_t)t->rows - 1;
    gather_queries(a, b, s, t, head);
    for (uint32_t from = 0; from < end; from += ATTEND_BLOCK) {
        uint32_t count = end - from < ATTEND_BLOCK ? end - from : ATTEND_BLOCK;
        expand_block(a, b, s, head, from, (int32_t)count);
        int32_t first = from < sees ? 0 : (int32_t)(from + 1 - sees);
        for (; first < t->rows; first += a->scored_rows) {
            int32_t left = t->rows - first;
            const struct slice slice = {.first = first,
                                        .rows = left < a->scored_rows ? left : a->scored_rows,
                                        .sees = sees + (uint32_t)first,
                                        .from = from};
            take_slice(a, b, &slice);
        }
    }
    for (int32_t i = 0; i < t->rows; i++) {
        struct attend_part row = part_from(a, b->whole, i * a->group);
        a->kernels->finish(&a->layout, &row, a->group,
                           output_of(a, s->first_row + t->first + i, head));
    }
}
