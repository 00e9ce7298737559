/* attention_exact_test.c - what a query gets is the same bits however it is computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/attention_bed.h"

#define SEQUENCES 3
#define MOST_SPANS 8
#define MOST_CHUNK 150 /* rows of one span */
static const uint32_t lengths[SEQUENCES] = {1100, 600, 40};

/* Sequences with a query for every position, and what each gets when it is computed alone. */
struct world {
    struct bed bed;
    page_id *ids[SEQUENCES];
    float *q[SEQUENCES], *expected[SEQUENCES]; /* [length][row] */
    size_t row;                                /* floats: n_head * head_dim */
};

static void run_alone(struct world *w, int sequence) {
    for (uint32_t p = 0; p < lengths[sequence]; p++) {
        struct attention_span s = {w->ids[sequence], 0, 1, p};
        attention_plan(w->bed.attention, &s, 1);
        attention_run(w->bed.attention, BED_LAYER, w->q[sequence] + p * w->row,
                      w->expected[sequence] + p * w->row);
    }
}

static void open_world(struct world *w, struct pages_shape shape, int32_t group, int threads) {
    bed_open(&w->bed, shape, group, threads);
    w->row = (size_t)(shape.n_head_kv * group) * (size_t)shape.head_dim;
    for (int i = 0; i < SEQUENCES; i++) {
        size_t floats = lengths[i] * w->row;
        w->ids[i] = bed_fill(&w->bed, lengths[i]);
        w->q[i] = malloc(floats * sizeof(float));
        w->expected[i] = malloc(floats * sizeof(float));
        random_floats(&w->bed.random, w->q[i], floats);
        run_alone(w, i);
    }
}

static void close_world(struct world *w) {
    for (int i = 0; i < SEQUENCES; i++) {
        bed_release(&w->bed, w->ids[i], lengths[i]);
        free(w->q[i]);
        free(w->expected[i]);
    }
    bed_close(&w->bed);
}

static uint32_t draw(struct world *w, uint32_t below) {
    return random_bits(&w->bed.random) % below;
}

/* A copy of the pages up to `positions` in which all that follows is NaN. */
static page_id *copy_up_to(struct world *w, int sequence, uint32_t positions) {
    uint32_t last = (positions - 1) / PAGE_POSITIONS;
    uint32_t pages = (lengths[sequence] + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
    page_id *ids = calloc(pages, sizeof *ids);
    memcpy(ids, w->ids[sequence], pages * sizeof *ids);
    page_id half = pages_take(w->bed.pages);
    assert_true(half != PAGE_NONE);
    bed_poison(&w->bed, half);
    pages_copy(w->bed.pages, half, ids[last], 0, (positions - 1) % PAGE_POSITIONS + 1);
    ids[last] = half;
    for (uint32_t i = last + 1; i < pages; i++)
        ids[i] = PAGE_NONE; /* no page at all */
    return ids;
}

struct chunk {
    int sequence;
    uint32_t position, rows;
    page_id *ids;
};

static struct chunk draw_chunk(struct world *w) {
    int s = (int)draw(w, SEQUENCES);
    uint32_t position = draw(w, lengths[s]), kind = draw(w, 4);
    if (kind == 1) /* around the edge of a block */
        position = position / 256 * 256 + 250 < lengths[s] ? position / 256 * 256 + 250 : position;
    uint32_t most = kind == 0 ? 1 : kind == 3 ? MOST_CHUNK : 8;
    uint32_t rows = 1 + draw(w, most);
    if (rows > lengths[s] - position)
        rows = lengths[s] - position;
    return (struct chunk){s, position, rows, copy_up_to(w, s, position + rows)};
}

static void check_chunk(const struct world *w, const struct chunk *c, const float *out) {
    const float *expected = w->expected[c->sequence] + c->position * w->row;
    for (uint32_t i = 0; i < c->rows; i++)
        if (memcmp(out + i * w->row, expected + i * w->row, w->row * sizeof *out) != 0)
            fail_msg("sequence %d, row %u of %u from position %u", c->sequence, i, c->rows,
                     c->position);
}

/* One step of several chunks of any sequences. */
static void check_step(struct world *w) {
    struct chunk chunks[MOST_SPANS];
    struct attention_span spans[MOST_SPANS];
    int32_t n = 0, rows = 0, most = 1 + (int32_t)draw(w, MOST_SPANS);
    float *q = malloc(BED_ROWS * w->row * sizeof *q), *out = malloc(BED_ROWS * w->row * sizeof *q);
    while (n < most && rows + MOST_CHUNK <= BED_ROWS) {
        struct chunk c = draw_chunk(w);
        memcpy(q + (size_t)rows * w->row, w->q[c.sequence] + c.position * w->row,
               c.rows * w->row * sizeof *q);
        spans[n] = (struct attention_span){c.ids, rows, (int32_t)c.rows, c.position};
        rows += (int32_t)c.rows;
        chunks[n++] = c;
    }
    attention_plan(w->bed.attention, spans, n);
    attention_run(w->bed.attention, BED_LAYER, q, out);
    for (int32_t i = 0; i < n; i++) {
        check_chunk(w, &chunks[i], out + (size_t)spans[i].first_row * w->row);
        pages_release(w->bed.pages,
                      chunks[i].ids[(chunks[i].position + chunks[i].rows - 1) / PAGE_POSITIONS]);
        free(chunks[i].ids);
    }
    free(q);
    free(out);
}

/* The steps of one world with every instruction set; what is expected comes from the chosen one. */
static void check_world(struct pages_shape shape, int32_t group, int threads, int steps) {
    struct world w;
    open_world(&w, shape, group, threads);
    for (int isa = 0; isa < QUANT_ISAS; isa++) {
        if (!quant_isa_available((enum quant_isa)isa))
            continue;
        attention_use(w.bed.attention, (enum quant_isa)isa);
        for (int i = 0; i < (isa == QUANT_ISA_PORTABLE ? (steps + 7) / 8 : steps); i++)
            check_step(&w);
    }
    close_world(&w);
}

static void test_any_cut_batch_and_set_gives_the_same_bits(void **state) {
    (void)state;
    for (int type = 0; type < KV_TYPES; type++)
        check_world((struct pages_shape){0, 2, 64, (enum kv_type)type}, 3, 2, 40);
}

static void test_any_shape_of_heads_gives_the_same_bits(void **state) {
    (void)state;
    static const int32_t shapes[][3] = {{1, 1, 32}, {1, 4, 80}, {2, 5, 20}, {1, 16, 34}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int type = 0; type < KV_TYPES; type++)
            check_world((struct pages_shape){0, shapes[i][0], shapes[i][2], (enum kv_type)type},
                        shapes[i][1], 1 + (int)i, 8);
}

/* Expected values are made by teams of 1 to 5 threads, from the same random numbers. */
static void test_any_team_gives_the_same_bits(void **state) {
    (void)state;
    struct world first;
    open_world(&first, (struct pages_shape){0, 2, 64, KV_F16}, 3, 1);
    for (int threads = 2; threads <= 5; threads += threads == 2 ? 1 : 2) {
        struct world w;
        open_world(&w, (struct pages_shape){0, 2, 64, KV_F16}, 3, threads);
        for (int i = 0; i < SEQUENCES; i++)
            assert_memory_equal(w.expected[i], first.expected[i],
                                lengths[i] * w.row * sizeof(float));
        for (int i = 0; i < 20; i++)
            check_step(&w);
        close_world(&w);
    }
    close_world(&first);
}

/* Rows before one whose key and value are NaN or infinite do not see it, though computed together.
 */
static void test_a_later_row_of_the_same_step_is_not_seen(void **state) {
    (void)state;
    struct world w;
    open_world(&w, (struct pages_shape){0, 2, 64, KV_F16}, 3, 2);
    float *out = malloc(BED_ROWS * w.row * sizeof *out);
    for (uint32_t position = 230; position < 300; position += 7) {
        uint32_t bad = position + 10 + draw(&w, 60);
        page_id *ids = copy_up_to(&w, 0, bad); /* bad and what follows are NaN */
        page_id after = pages_take(w.bed.pages);
        bed_poison(&w.bed, after);
        for (uint32_t i = (bad - 1) / PAGE_POSITIONS + 1; i < 40; i++)
            ids[i] = after;
        const struct attention_span s = {ids, 0, 100, position};
        attention_plan(w.bed.attention, &s, 1);
        attention_run(w.bed.attention, BED_LAYER, w.q[0] + position * w.row, out);
        check_chunk(&w, &(struct chunk){0, position, bad - position, NULL}, out);
        pages_release(w.bed.pages, after);
        pages_release(w.bed.pages, ids[(bad - 1) / PAGE_POSITIONS]);
        free(ids);
    }
    free(out);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut_batch_and_set_gives_the_same_bits),
        cmocka_unit_test(test_any_shape_of_heads_gives_the_same_bits),
        cmocka_unit_test(test_any_team_gives_the_same_bits),
        cmocka_unit_test(test_a_later_row_of_the_same_step_is_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
