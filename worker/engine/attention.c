/* attention.c - softmax over keys in pages, block by block.
 *
 * Work is cut into tasks: some rows of one sequence and one key/value head with the query heads
 * that share it. A member that takes a task computes its outputs from the first key to the last.
 * Keys are walked in blocks of BLOCK positions that begin at multiples of BLOCK, with the running
 * maximum and sum of each query (online softmax), so no row of scores is ever as long as the
 * context.
 *
 * Few rows (somebody's next token): half-precision keys and values are read straight from the pages
 * by fused kernels. Many rows (a prompt): a block's keys and values are expanded to f32 once for
 * all the task's queries and both products go through sgemm. */
#include "worker/engine/attention.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/blas.h"
#include "worker/engine/kernels.h"

#define BLOCK 256 /* positions; a multiple of PAGE_POSITIONS */
#define BLOCK_PAGES (BLOCK / PAGE_POSITIONS)
#define TASK_QUERIES 192 /* rows times query heads of a task of many rows, about */
#define FEW_ROWS 4       /* a span of up to so many rows goes row by row */

struct task {
    int32_t span, first, rows; /* rows first..first+rows of the span */
};

/* What one member needs; all sizes in floats. */
struct bench {
    float *queries; /* [queries][head_dim] */
    float *sums;    /* [queries][head_dim]: values weighed so far */
    float *scores;  /* [queries][BLOCK] */
    float *keys;    /* [BLOCK][head_dim] */
    float *values;  /* [BLOCK][head_dim] */
    float *highest; /* [queries] */
    float *total;   /* [queries]: of the exponentials */
};

struct attention {
    const struct kernels *kernels;
    struct pages *pages;
    struct team *team;
    struct pages_shape shape;
    int32_t n_head, group; /* query heads in all, and for each key/value head */
    int32_t max_rows, task_rows;
    struct attention_span *spans; /* [max_rows] */
    struct task *tasks;           /* [max_rows] */
    int32_t n_tasks;
    struct bench *benches; /* [members] */
    float *memory;         /* of all benches */
    size_t memory_floats;
    /* the round that runs now */
    int32_t layer;
    const float *q;
    float *out;
    atomic_int next;
};

/* ---- open and close ---- */

static float *take(float **from, size_t floats) {
    float *mine = *from;
    *from += (floats + 15) / 16 * 16;
    return mine;
}

static size_t bench_floats(const struct attention *a) {
    size_t queries = (size_t)a->task_rows * (size_t)a->group, hd = (size_t)a->shape.head_dim;
    return 2 * (queries * hd + 16) + queries * BLOCK + 2 * (BLOCK * hd) + 2 * (queries + 16) + 64;
}

static void cut_bench(const struct attention *a, struct bench *b, float *memory) {
    size_t queries = (size_t)a->task_rows * (size_t)a->group, hd = (size_t)a->shape.head_dim;
    b->queries = take(&memory, queries * hd);
    b->sums = take(&memory, queries * hd);
    b->scores = take(&memory, queries * BLOCK);
    b->keys = take(&memory, BLOCK * hd);
    b->values = take(&memory, BLOCK * hd);
    b->highest = take(&memory, queries);
    b->total = take(&memory, queries);
}

int attention_open(struct attention **out, struct pages *p, struct team *t, int32_t n_head,
                   int32_t max_rows, struct error *e) {
    *out = NULL;
    struct attention *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(e, ERR_NOMEM, "no memory for attention");
    a->kernels = kernels_chosen();
    a->pages = p;
    a->team = t;
    a->shape = pages_shape(p);
    a->n_head = n_head;
    a->group = n_head / a->shape.n_head_kv;
    MUST(a->group >= 1 && a->group * a->shape.n_head_kv == n_head && max_rows >= 1);
    a->max_rows = max_rows;
    a->task_rows = TASK_QUERIES / a->group;
    if (a->task_rows < 8)
        a->task_rows = 8;
    if (a->task_rows > max_rows)
        a->task_rows = max_rows;
    size_t members = (size_t)team_size(t), each = (bench_floats(a) + 15) / 16 * 16;
    a->memory_floats = members * each;
    a->spans = calloc((size_t)max_rows, sizeof *a->spans);
    a->tasks = calloc((size_t)max_rows, sizeof *a->tasks);
    a->benches = calloc(members, sizeof *a->benches);
    a->memory = aligned_alloc(64, a->memory_floats * sizeof(float));
    if (a->spans == NULL || a->tasks == NULL || a->benches == NULL || a->memory == NULL) {
        attention_close(a);
        return error_set(e, ERR_NOMEM, "no memory for attention of %zu threads", members);
    }
    for (size_t i = 0; i < members; i++)
        cut_bench(a, &a->benches[i], a->memory + i * each);
    *out = a;
    return 0;
}

void attention_close(struct attention *a) {
    if (a == NULL)
        return;
    free(a->spans);
    free(a->tasks);
    free(a->benches);
    free(a->memory);
    free(a);
}

size_t attention_bytes(const struct attention *a) {
    return sizeof *a + a->memory_floats * sizeof(float) +
           (size_t)a->max_rows * (sizeof *a->spans + sizeof *a->tasks);
}

/* ---- tasks ---- */

/* The last rows of a span see most keys; they go first, so that what is left at the end of a round
 * is small. */
void attention_plan(struct attention *a, const struct attention_span *spans, int32_t n_spans) {
    MUST(n_spans <= a->max_rows);
    a->n_tasks = 0;
    for (int32_t s = 0; s < n_spans; s++) {
        a->spans[s] = spans[s];
        int32_t each = spans[s].rows <= FEW_ROWS ? 1 : a->task_rows;
        for (int32_t end = spans[s].rows; end > 0; end -= each) {
            int32_t first = end > each ? end - each : 0;
            MUST(a->n_tasks < a->max_rows);
            a->tasks[a->n_tasks++] = (struct task){s, first, end - first};
        }
    }
}

/* Takes scores of `count` keys, of which the query sees `seen`, into the running softmax: scores
 * become weights, what was summed before is made comparable. */
static void take_scores(const struct attention *a, struct bench *b, int32_t query, int32_t seen,
                        int32_t count, bool first_block) {
    const struct kernels *k = a->kernels;
    float *scores = b->scores + (size_t)query * BLOCK;
    float *sums = b->sums + (size_t)query * (size_t)a->shape.head_dim;
    if (seen < count)
        memset(scores + seen, 0, (size_t)(count - seen) * sizeof *scores);
    if (seen == 0)
        return;
    float top = k->highest(scores, seen);
    if (first_block) {
        b->highest[query] = top;
        b->total[query] = k->exponentials(scores, seen, top);
        return;
    }
    if (top > b->highest[query]) {
        float factor = expf(b->highest[query] - top);
        k->scale(sums, a->shape.head_dim, factor);
        b->total[query] *= factor;
        b->highest[query] = top;
    }
    b->total[query] += k->exponentials(scores, seen, b->highest[query]);
}

/* ---- few rows: one row at a time ---- */

static void few_block(struct attention *a, struct bench *b, const struct attention_span *s,
                      int32_t head, uint32_t from, int32_t count, const float *q) {
    int32_t hd = a->shape.head_dim;
    dot_kernel *dot = a->kernels->dot[QUANT_F16];
    for (int32_t i = 0; i < count; i += PAGE_POSITIONS) {
        page_id page = s->pages[(from + (uint32_t)i) / PAGE_POSITIONS];
        int32_t n = count - i < PAGE_POSITIONS ? count - i : PAGE_POSITIONS;
        const uint16_t *keys = pages_keys(a->pages, page, a->layer, head);
        dot((const uint8_t *)keys, (size_t)hd * sizeof *keys, n, q, a->group, hd, b->scores + i,
            BLOCK);
    }
    for (int32_t j = 0; j < a->group; j++)
        take_scores(a, b, j, count, count, from == 0);
    for (int32_t i = 0; i < count; i += PAGE_POSITIONS) {
        page_id page = s->pages[(from + (uint32_t)i) / PAGE_POSITIONS];
        int32_t n = count - i < PAGE_POSITIONS ? count - i : PAGE_POSITIONS;
        a->kernels->weigh_values(b->scores + i, BLOCK, a->group,
                                 pages_values(a->pages, page, a->layer, head), n, hd, b->sums);
    }
}

/* The sums of `group` queries, divided, to where row and head have their outputs. */
static void write_outputs(struct attention *a, const struct bench *b, int32_t first_query,
                          int32_t row, int32_t head) {
    size_t hd = (size_t)a->shape.head_dim;
    for (int32_t j = 0; j < a->group; j++) {
        float *to = a->out + ((size_t)row * (size_t)a->n_head + (size_t)(head * a->group + j)) * hd;
        memcpy(to, b->sums + (size_t)(first_query + j) * hd, hd * sizeof *to);
        a->kernels->scale(to, a->shape.head_dim, 1.0F / b->total[first_query + j]);
    }
}

static void few_rows(struct attention *a, struct bench *b, const struct attention_span *s,
                     const struct task *t, int32_t head) {
    size_t hd = (size_t)a->shape.head_dim;
    for (int32_t i = t->first; i < t->first + t->rows; i++) {
        int32_t row = s->first_row + i;
        uint32_t end = s->position + (uint32_t)i + 1;
        const float *q = a->q + ((size_t)row * (size_t)a->n_head + (size_t)(head * a->group)) * hd;
        memset(b->sums, 0, (size_t)a->group * hd * sizeof *b->sums);
        for (uint32_t from = 0; from < end; from += BLOCK)
            few_block(a, b, s, head, from, (int32_t)(end - from < BLOCK ? end - from : BLOCK), q);
        write_outputs(a, b, 0, row, head);
    }
}

/* ---- many rows: two products for each block ---- */

static void gather_queries(const struct attention *a, struct bench *b,
                           const struct attention_span *s, const struct task *t, int32_t head) {
    size_t hd = (size_t)a->shape.head_dim, each = (size_t)a->group * hd;
    for (int32_t i = 0; i < t->rows; i++) {
        size_t row = (size_t)(s->first_row + t->first + i);
        memcpy(b->queries + (size_t)i * each,
               a->q + (row * (size_t)a->n_head + (size_t)(head * a->group)) * hd,
               each * sizeof(float));
    }
}

static void expand_block(struct attention *a, struct bench *b, const struct attention_span *s,
                         int32_t head, uint32_t from, int32_t count) {
    int32_t hd = a->shape.head_dim;
    for (int32_t i = 0; i < count; i += PAGE_POSITIONS) {
        page_id page = s->pages[(from + (uint32_t)i) / PAGE_POSITIONS];
        int32_t n = (count - i < PAGE_POSITIONS ? count - i : PAGE_POSITIONS) * hd;
        size_t at = (size_t)i * (size_t)hd;
        a->kernels->from_halves(pages_keys(a->pages, page, a->layer, head), n, b->keys + at);
        a->kernels->from_halves(pages_values(a->pages, page, a->layer, head), n, b->values + at);
    }
}

static void many_block(struct attention *a, struct bench *b, const struct attention_span *s,
                       const struct task *t, int32_t head, uint32_t from, int32_t count) {
    int32_t hd = a->shape.head_dim, queries = t->rows * a->group;
    expand_block(a, b, s, head, from, count);
    blas_sgemm(true, queries, count, hd, 1, b->queries, hd, b->keys, hd, 0, b->scores, BLOCK);
    for (int32_t i = 0; i < t->rows; i++) {
        int64_t sees = (int64_t)s->position + t->first + i + 1 - (int64_t)from;
        int32_t seen = sees < 0 ? 0 : sees < count ? (int32_t)sees : count;
        for (int32_t j = 0; j < a->group; j++)
            take_scores(a, b, i * a->group + j, seen, count, from == 0);
    }
    blas_sgemm(false, queries, hd, count, 1, b->scores, BLOCK, b->values, hd, from == 0 ? 0 : 1,
               b->sums, hd);
}

static void many_rows(struct attention *a, struct bench *b, const struct attention_span *s,
                      const struct task *t, int32_t head) {
    gather_queries(a, b, s, t, head);
    uint32_t end = s->position + (uint32_t)(t->first + t->rows);
    for (uint32_t from = 0; from < end; from += BLOCK)
        many_block(a, b, s, t, head, from, (int32_t)(end - from < BLOCK ? end - from : BLOCK));
    for (int32_t i = 0; i < t->rows; i++)
        write_outputs(a, b, i * a->group, s->first_row + t->first + i, head);
}

/* ---- the round ---- */

static void member(void *opaque, int who, int members) {
    struct attention *a = opaque;
    (void)members;
    int32_t heads = a->shape.n_head_kv;
    for (;;) {
        int32_t mine = atomic_fetch_add_explicit(&a->next, 1, memory_order_relaxed);
        if (mine >= a->n_tasks * heads)
            return;
        const struct task *t = &a->tasks[mine / heads];
        const struct attention_span *s = &a->spans[t->span];
        if (s->rows <= FEW_ROWS)
            few_rows(a, &a->benches[who], s, t, mine % heads);
        else
            many_rows(a, &a->benches[who], s, t, mine % heads);
    }
}

void attention_run(struct attention *a, int32_t layer, const float *q, float *out) {
    a->layer = layer;
    a->q = q;
    a->out = out;
    atomic_store_explicit(&a->next, 0, memory_order_relaxed);
    team_run(a->team, member, a);
}
