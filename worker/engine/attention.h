/* attention.h - queries of one layer against the keys and values in their sequences' pages. */
#ifndef QUIRE_ENGINE_ATTENTION_H
#define QUIRE_ENGINE_ATTENTION_H

#include <stdint.h>

#include "common/error.h"
#include "worker/engine/pages.h"
#include "worker/engine/team.h"

/* Rows of one sequence: consecutive rows of the step at consecutive positions. Row i sees positions
 * 0 .. position + i. */
struct attention_span {
    const page_id *pages;
    int32_t first_row, rows;
    uint32_t position; /* of the first row */
};

struct attention;
/* Borrows pages and team. max_rows: of a step, over all spans. */
int attention_open(struct attention **out, struct pages *p, struct team *t, int32_t n_head,
                   int32_t max_rows, struct error *e);
void attention_close(struct attention *a); /* NULL is fine */
size_t attention_bytes(const struct attention *a);

/* Says what the coming calls of attention_run are about; spans are copied, their pages borrowed. */
void attention_plan(struct attention *a, const struct attention_span *spans, int32_t n_spans);

/* q, out: [rows][n_head][head_dim] f32; q already turned and divided by sqrt(head_dim). */
void attention_run(struct attention *a, int32_t layer, const float *q, float *out);

#endif
