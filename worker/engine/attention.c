/* attention.c - its memory, and the round in which a team works through the tasks.
 *
 * All memory is taken when it is opened. Slots for shared rows are as many as the blocks that the
 * arena holds, so that one sequence may be as long as the arena; rows that find no slots are simply
 * not shared. */
#include "worker/engine/attention.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/attention_inside.h"

/* Cuts `floats` off the memory at *from; only counts when there is none yet. */
static float *take(float *memory, size_t *used, size_t floats) {
    float *mine = memory == NULL ? NULL : memory + *used;
    *used += (floats + 15) / 16 * 16;
    return mine;
}

static void take_part(float *memory, size_t *used, struct attend_part *p, size_t queries,
                      size_t width) {
    p->top = take(memory, used, queries);
    p->total = take(memory, used, queries);
    p->sums = take(memory, used, queries * width);
}

static void cut_bench(const struct attention *a, struct bench *b, float *memory, size_t *used) {
    size_t group = (size_t)a->group, queries = (size_t)a->task_rows * group;
    size_t scored = (size_t)a->scored_rows * group;
    size_t hd = (size_t)a->layout.head_dim, width = (size_t)a->layout.width;
    size_t panels = (width + ATTEND_PANEL - 1) / ATTEND_PANEL;
    b->queries = take(memory, used, queries * hd);
    take_part(memory, used, &b->whole, queries, width);
    take_part(memory, used, &b->part, scored, width);
    b->scores = take(memory, used, scored * ATTEND_BLOCK);
    b->keys = take(memory, used, hd * ATTEND_BLOCK);
    b->values = take(memory, used, panels * ATTEND_PANEL * ATTEND_BLOCK);
}

static size_t cut_memory(struct attention *a) {
    size_t used = 0;
    for (int i = 0; i < team_size(a->team); i++)
        cut_bench(a, &a->benches[i], a->memory, &used);
    a->slots = take(a->memory, &used, (size_t)a->max_slots * (size_t)a->n_head_kv * a->slot_floats);
    return used;
}

static void choose_sizes(struct attention *a, int32_t max_rows) {
    int32_t members = team_size(a->team), width = a->layout.width;
    a->max_rows = max_rows;
    a->task_rows =
        TASK_QUERIES / a->group > MIN_TASK_ROWS ? TASK_QUERIES / a->group : MIN_TASK_ROWS;
    if (a->task_rows > max_rows)
        a->task_rows = max_rows;
    a->scored_rows = SCORED_QUERIES / a->group > 0 ? SCORED_QUERIES / a->group : 1;
    a->max_shares = members * TASKS_PER_MEMBER;
    a->max_parts = 2 * a->max_shares;
    a->max_tasks = max_rows + a->max_parts;
    uint32_t blocks = pages_total(a->pages) / ATTEND_BLOCK_PAGES + (uint32_t)a->max_shares;
    a->max_slots = blocks < INT32_MAX ? (int32_t)blocks : INT32_MAX;
    a->slot_floats = ((size_t)a->group * (size_t)(width + 2) + 15) / 16 * 16;
}

int attention_open(struct attention **out, struct pages *p, struct team *t, int32_t n_head,
                   int32_t max_rows, struct error *e) {
    *out = NULL;
    struct attention *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(e, ERR_NOMEM, "no memory for attention");
    a->pages = p;
    a->team = t;
    a->layout = pages_layout(p);
    a->n_head = n_head;
    a->n_head_kv = pages_shape(p).n_head_kv;
    a->group = n_head / a->n_head_kv;
    MUST(a->group >= 1 && a->group * a->n_head_kv == n_head && max_rows >= 1);
    choose_sizes(a, max_rows);
    attention_use(a, quant_isa_chosen());
    a->spans = calloc((size_t)max_rows, sizeof *a->spans);
    a->tasks = calloc((size_t)a->max_tasks, sizeof *a->tasks);
    a->shares = calloc((size_t)a->max_shares, sizeof *a->shares);
    a->left = calloc((size_t)a->max_shares * (size_t)a->n_head_kv, sizeof *a->left);
    a->benches = calloc((size_t)team_size(t), sizeof *a->benches);
    if (a->benches != NULL) {
        a->memory_floats = cut_memory(a);
        a->memory = aligned_alloc(64, a->memory_floats * sizeof(float));
    }
    if (!a->spans || !a->tasks || !a->shares || !a->left || !a->benches || !a->memory) {
        attention_close(a);
        return error_set(e, ERR_NOMEM, "no memory for attention of %d threads", team_size(t));
    }
    (void)cut_memory(a);
    *out = a;
    return 0;
}

void attention_close(struct attention *a) {
    if (a == NULL)
        return;
    free(a->spans);
    free(a->tasks);
    free(a->shares);
    free(a->left);
    free(a->benches);
    free(a->memory);
    free(a);
}

size_t attention_bytes(const struct attention *a) {
    return sizeof *a + a->memory_floats * sizeof(float) +
           (size_t)team_size(a->team) * sizeof *a->benches +
           (size_t)a->max_rows * sizeof *a->spans + (size_t)a->max_tasks * sizeof *a->tasks +
           (size_t)a->max_shares * (sizeof *a->shares + (size_t)a->n_head_kv * sizeof *a->left);
}

void attention_use(struct attention *a, enum quant_isa isa) {
    a->kernels = attend_kernels_of(isa);
}

void attention_place(const struct attention *a, page_id page, uint32_t position, int32_t layer,
                     const float *keys, const float *values) {
    int32_t hd = a->layout.head_dim;
    for (int32_t head = 0; head < a->n_head_kv; head++)
        a->kernels->place(&a->layout, keys + head * hd, values + head * hd, (int32_t)position,
                          pages_head(a->pages, page, layer, head));
}

/* ---- the round ---- */

static void member(void *opaque, int who, int members) {
    struct attention *a = opaque;
    (void)members;
    for (;;) {
        int32_t mine = atomic_fetch_add_explicit(&a->next, 1, memory_order_relaxed);
        if (mine >= a->n_tasks * a->n_head_kv)
            return;
        const struct task *t = &a->tasks[mine / a->n_head_kv];
        int32_t head = mine % a->n_head_kv;
        if (t->share >= 0)
            attention_share(a, &a->benches[who], t, head);
        else if (a->spans[t->span].rows <= FEW_ROWS)
            attention_few(a, &a->benches[who], t, head);
        else
            attention_many(a, &a->benches[who], t, head);
    }
}

void attention_run(struct attention *a, int32_t layer, const float *q, float *out) {
    a->layer = layer;
    a->q = q;
    a->out = out;
    atomic_store_explicit(&a->next, 0, memory_order_relaxed);
    team_run(a->team, member, a);
}
