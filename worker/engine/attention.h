/* attention.h - queries of one layer against the keys and values in their sequences' pages.
 *
 * What a query gets is the same to the bit whatever rows and sequences are computed beside it,
 * wherever a prompt is cut into steps, on any number of threads and in every instruction set. It
 * depends on the query, its position and the keys and values up to there, and on nothing else:
 * attention_kernels.h has the arithmetic. */
#ifndef QUIRE_ENGINE_ATTENTION_H
#define QUIRE_ENGINE_ATTENTION_H

#include <stdint.h>

#include "common/error.h"
#include "worker/engine/pages.h"
#include "worker/engine/quant_inside.h"
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

/* Computes with another instruction set than the one chosen at start; for tests. */
void attention_use(struct attention *a, enum quant_isa isa);

/* Puts one position's keys (turned) and values of a layer, both [n_head_kv][head_dim], into its
 * page, rounded to what the pages hold. position: 0..15. By any thread, for different positions
 * also at the same time. */
void attention_place(const struct attention *a, page_id page, uint32_t position, int32_t layer,
                     const float *keys, const float *values);

/* Says what the coming calls of attention_run are about; spans are copied, their pages borrowed. */
void attention_plan(struct attention *a, const struct attention_span *spans, int32_t n_spans);

/* q, out: [rows][n_head][head_dim] f32; q already turned and divided by sqrt(head_dim). */
void attention_run(struct attention *a, int32_t layer, const float *q, float *out);

#endif
