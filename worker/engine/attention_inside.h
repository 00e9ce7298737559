/* attention_inside.h - what attention is made of; for attention.c, _plan.c, _few.c and _many.c
 * only.
 *
 * Work is cut into tasks, each for one key/value head with the query heads that share it. A task is
 * some rows of a span with all blocks they see, or, of a single row that sees very many positions,
 * some of its blocks: such a row is shared, each block's part goes into a slot, and whoever
 * finishes the last of the row's tasks folds the slots in order. */
#ifndef QUIRE_ENGINE_ATTENTION_INSIDE_H
#define QUIRE_ENGINE_ATTENTION_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "worker/engine/attention.h"
#include "worker/engine/attention_kernels.h"

#define FEW_ROWS 3         /* a span of up to so many rows goes row by row */
#define TASK_QUERIES 384   /* rows times query heads of a task of many rows, about */
#define SCORED_QUERIES 24  /* ... whose scores of a block are in the first cache together */
#define MIN_TASK_ROWS 16   /* of many, when there are few tasks */
#define TASKS_PER_MEMBER 8 /* about; so that all finish at about the same time */
#define MIN_PART_BLOCKS 2  /* of a shared row that one task takes */

struct task {
    int32_t span, first, rows; /* rows first .. first + rows of the span */
    int32_t share;             /* -1: the rows with all they see */
    int32_t block, blocks;     /* else: so many blocks of the row */
};

struct share {
    int32_t slot, blocks, tasks;
};

/* What one member needs. */
struct bench {
    float *queries;           /* [queries][head_dim] */
    struct attend_part whole; /* of all queries: what they have so far */
    struct attend_part part;  /* of SCORED_QUERIES or a group: what a block gives */
    float *scores;            /* [SCORED_QUERIES or a group][ATTEND_BLOCK] */
    float *keys, *values;     /* a block expanded, in panels */
};

struct attention {
    const struct attend_kernels *kernels;
    struct pages *pages;
    struct team *team;
    struct kv_layout layout;
    int32_t n_head, n_head_kv, group; /* group: query heads of a key/value head */
    int32_t max_rows, task_rows, scored_rows;
    struct attention_span *spans; /* [max_rows] */
    struct task *tasks;           /* [max_tasks] */
    struct share *shares;         /* [max_shares] */
    atomic_int *left;             /* [max_shares][n_head_kv]: tasks of a share not finished */
    int32_t n_tasks, max_tasks;   /* of all */
    int32_t n_parts, max_parts;   /* of shared rows */
    int32_t n_shares, max_shares; /* shared rows */
    int32_t n_slots, max_slots;   /* for their blocks */
    struct bench *benches;        /* [members] */
    float *memory;                /* of all benches and slots */
    float *slots;                 /* [max_slots][n_head_kv], slot_floats each */
    size_t slot_floats, memory_floats;
    /* the round that runs now */
    int32_t layer;
    const float *q;
    float *out;
    atomic_int next;
};

static inline int32_t blocks_of(uint32_t positions) {
    return (int32_t)((positions + ATTEND_BLOCK - 1) / ATTEND_BLOCK);
}

static inline const float *query_of(const struct attention *a, int32_t row, int32_t head) {
    return a->q + ((size_t)row * (size_t)a->n_head + (size_t)(head * a->group)) *
                      (size_t)a->layout.head_dim;
}

static inline float *output_of(const struct attention *a, int32_t row, int32_t head) {
    return a->out + ((size_t)row * (size_t)a->n_head + (size_t)(head * a->group)) *
                        (size_t)a->layout.head_dim;
}

/* The part of `queries` queries from number `first` on. */
static inline struct attend_part part_from(const struct attention *a, struct attend_part p,
                                           int32_t first) {
    return (struct attend_part){p.top + first, p.total + first,
                                p.sums + (size_t)first * (size_t)a->layout.width};
}

void attention_few(struct attention *a, struct bench *b, const struct task *t, int32_t head);
void attention_share(struct attention *a, struct bench *b, const struct task *t, int32_t head);
void attention_many(struct attention *a, struct bench *b, const struct task *t, int32_t head);

#endif
