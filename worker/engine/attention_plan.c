/* attention_plan.c - how a step's rows are cut into tasks. Only speed depends on it. */
#include "common/must.h"
#include "worker/engine/attention_inside.h"

static void add_task(struct attention *a, struct task t) {
    MUST(a->n_tasks < a->max_tasks);
    a->tasks[a->n_tasks++] = t;
}

/* A row that sees many blocks, as tasks of about equal size. */
static bool share_row(struct attention *a, int32_t span, int32_t row, int32_t blocks,
                      int32_t limit) {
    int32_t tasks = (blocks + limit - 1) / limit;
    if (a->n_shares == a->max_shares || blocks > a->max_slots - a->n_slots ||
        tasks > a->max_parts - a->n_parts)
        return false;
    a->n_parts += tasks;
    for (int32_t i = 0; i < tasks; i++) {
        int32_t begin = (int32_t)((int64_t)blocks * i / tasks);
        int32_t end = (int32_t)((int64_t)blocks * (i + 1) / tasks);
        add_task(a, (struct task){span, row, 1, a->n_shares, begin, end - begin});
    }
    for (int32_t head = 0; head < a->n_head_kv; head++)
        atomic_store_explicit(&a->left[a->n_shares * a->n_head_kv + head], tasks,
                              memory_order_relaxed);
    a->shares[a->n_shares++] = (struct share){a->n_slots, blocks, tasks};
    a->n_slots += blocks;
    return true;
}

static int32_t blocks_seen(const struct attention_span *s, int32_t row) {
    return blocks_of(s->position + (uint32_t)row + 1);
}

/* Rows times blocks of all spans, about. */
static int64_t work_of(const struct attention_span *spans, int32_t n) {
    int64_t work = 0;
    for (int32_t s = 0; s < n; s++)
        work += (int64_t)spans[s].rows * blocks_seen(&spans[s], spans[s].rows / 2);
    return work;
}

/* Rows of a task of many: fewer when a step is short, so that every member gets something. */
static int32_t rows_of_task(const struct attention *a, const struct attention_span *spans,
                            int32_t n) {
    int32_t each = a->task_rows, rows = 0, members = team_size(a->team);
    for (int32_t s = 0; s < n; s++)
        rows += spans[s].rows > FEW_ROWS ? spans[s].rows : 0;
    while (each > MIN_TASK_ROWS && rows / each * a->n_head_kv < members * TASKS_PER_MEMBER / 2)
        each = each / 2 > MIN_TASK_ROWS ? each / 2 : MIN_TASK_ROWS;
    return each;
}

/* The last rows of a span see most; they go first, so that what is left at the end of a round is
 * small. */
void attention_plan(struct attention *a, const struct attention_span *spans, int32_t n_spans) {
    MUST(n_spans <= a->max_rows);
    int64_t parts = (int64_t)team_size(a->team) * TASKS_PER_MEMBER;
    int64_t limit = (work_of(spans, n_spans) * a->n_head_kv + parts - 1) / parts;
    if (limit < MIN_PART_BLOCKS)
        limit = MIN_PART_BLOCKS;
    int32_t many = rows_of_task(a, spans, n_spans);
    a->n_tasks = a->n_shares = a->n_parts = a->n_slots = 0;
    for (int32_t s = 0; s < n_spans; s++) {
        a->spans[s] = spans[s];
        bool few = spans[s].rows <= FEW_ROWS;
        int32_t each = few ? 1 : many;
        for (int32_t end = spans[s].rows; end > 0; end -= each) {
            int32_t first = end > each ? end - each : 0, blocks = blocks_seen(&spans[s], first);
            if (few && blocks > limit && share_row(a, s, first, blocks, (int32_t)limit))
                continue;
            add_task(a, (struct task){s, first, end - first, -1, 0, 0});
        }
    }
}
