/* panels.c - a member expands a few tiles of weights and multiplies runs of rows with them.
 *
 * Tiles of 32 outputs stay in the second cache while rows pass by, a few at a time: those are read
 * from the first cache for all tiles but the first.
 *
 * A tile of 512x512 pixels through SmolVLM-500M's tower, F16, on two cores of a Sapphire Rapids
 * machine: 837 ms, of which 79 % of the processors' time is what its multiply-adds take at their
 * peak; panels given to OpenBLAS, measured in turn, took 970 ms. Blocks of 28 rows were some 2 %
 * slower than of 56, panels of one tile some 10 %. */
#include "worker/engine/panels.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/gemm.h"

#define PANEL_TILES 4                     /* of GEMM_OUTPUTS outputs, at most */
#define PANEL_FLOATS ((size_t)128 * 1024) /* of a panel's weights, unless one tile has more */
#define ROW_BLOCK 56                      /* rows that pass together */
#define PART_ROWS 2048                    /* of a part, at most ... */
#define PART_ROWS_LEAST 256               /* ... and not cut below for the sake of more parts */
#define PARTS_PER_MEMBER 3                /* at least, if panels of one tile give so many */

struct panels {
    gemm_kernel *gemm;
    enum quant_isa isa;
    int members;
    int32_t max_n_in;
    size_t member_floats; /* a panel's weights, then a block of products */
    float *floats;
    /* what runs now */
    struct panels_job jobs[PANELS_JOBS_MAX];
    int n_jobs;
    int32_t tiles; /* of a panel */
    int32_t rows, row_runs, rows_each;
};

static int32_t parts_of(int32_t n, int32_t each) {
    return (n + each - 1) / each;
}

static size_t weight_floats(int32_t max_n_in) {
    size_t tile = (size_t)max_n_in * GEMM_OUTPUTS;
    return tile > PANEL_FLOATS ? tile : PANEL_FLOATS;
}

int panels_open(struct panels **out, enum quant_isa isa, const struct team *t, int32_t max_n_in,
                struct error *e) {
    *out = NULL;
    struct panels *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(e, ERR_NOMEM, "no memory for matrix products");
    p->isa = isa;
    p->gemm = gemm_kernel_of(isa);
    p->members = team_size(t);
    p->max_n_in = max_n_in;
    p->member_floats = weight_floats(max_n_in) + ROW_BLOCK * PANEL_TILES * GEMM_OUTPUTS;
    size_t bytes;
    if (!size_mul(p->member_floats, (size_t)p->members * sizeof(float), &bytes) ||
        (p->floats = aligned_alloc(64, (bytes + 63) / 64 * 64)) == NULL) {
        free(p);
        return error_set(e, ERR_NOMEM, "no memory for the panels of %d threads", team_size(t));
    }
    *out = p;
    return 0;
}

void panels_close(struct panels *p) {
    if (p == NULL)
        return;
    free(p->floats);
    free(p);
}

size_t panels_bytes(const struct panels *p) {
    return sizeof *p + (size_t)p->members * p->member_floats * sizeof(float);
}

/* ---- cutting ---- */

static int32_t panels_of(const struct panels *p, const struct panels_job *j) {
    return parts_of(j->w->n_out, p->tiles * GEMM_OUTPUTS);
}

static int32_t count_parts(const struct panels *p) {
    int32_t n = 0;
    for (int i = 0; i < p->n_jobs; i++)
        n += panels_of(p, &p->jobs[i]) * p->row_runs;
    return n;
}

static bool too_few_parts(const struct panels *p) {
    return count_parts(p) < p->members * PARTS_PER_MEMBER;
}

int32_t panels_begin(struct panels *p, const struct panels_job *jobs, int n, int32_t rows) {
    MUST(n >= 1 && n <= PANELS_JOBS_MAX && rows >= 1);
    int32_t longest = 1;
    for (int i = 0; i < n; i++) {
        MUST(jobs[i].w->n_in <= p->max_n_in);
        p->jobs[i] = jobs[i];
        longest = jobs[i].w->n_in > longest ? jobs[i].w->n_in : longest;
    }
    p->n_jobs = n;
    p->rows = rows;
    p->row_runs = parts_of(rows, PART_ROWS);
    p->tiles = PANEL_TILES;
    while (p->tiles > 1 &&
           ((size_t)p->tiles * GEMM_OUTPUTS * (size_t)longest > PANEL_FLOATS || too_few_parts(p)))
        p->tiles /= 2;
    while (too_few_parts(p) && rows / (p->row_runs + 1) >= PART_ROWS_LEAST)
        p->row_runs++;
    p->rows_each = parts_of(rows, p->row_runs);
    return count_parts(p);
}

/* ---- a part ---- */

static void multiply(const struct panels *p, const struct panels_job *j, const float *panel,
                     const struct panels_block *b) {
    size_t tile_floats = (size_t)j->w->n_in * GEMM_OUTPUTS;
    for (int32_t r = 0; j->bias != NULL && r < b->rows; r++)
        memcpy(b->block + (size_t)r * b->stride, j->bias + b->first,
               (size_t)b->count * sizeof *b->block);
    for (int32_t o = 0; o < b->count; o += GEMM_OUTPUTS)
        p->gemm(
            &(struct gemm_call){.x = j->x + (size_t)b->first_row * j->x_stride,
                                .x_stride = j->x_stride,
                                .b = panel + (size_t)(o / GEMM_OUTPUTS) * tile_floats,
                                .b_stride = GEMM_OUTPUTS,
                                .b_type = QUANT_F32,
                                .y = b->block + o,
                                .y_stride = b->stride,
                                .rows = b->rows,
                                .n_k = j->w->n_in,
                                .n_o = b->count - o < GEMM_OUTPUTS ? b->count - o : GEMM_OUTPUTS,
                                .accumulate = j->bias != NULL});
}

static void store(const struct panels_job *j, const struct panels_block *b) {
    for (int32_t r = 0; r < b->rows; r++) {
        const float *from = b->block + (size_t)r * b->stride;
        float *to = j->y + (size_t)(b->first_row + r) * j->y_stride + b->first;
        if (j->add)
            for (int32_t o = 0; o < b->count; o++)
                to[o] += from[o];
        else
            memcpy(to, from, (size_t)b->count * sizeof *to);
    }
}

/* A panel and a run of rows of one job. */
static void run_panel(const struct panels *p, const struct panels_job *j, int32_t panel_number,
                      int32_t run, float *panel) {
    int32_t first = panel_number * p->tiles * GEMM_OUTPUTS, left = j->w->n_out - first;
    int32_t end = (run + 1) * p->rows_each < p->rows ? (run + 1) * p->rows_each : p->rows;
    struct panels_block b = {.block = panel + weight_floats(p->max_n_in),
                             .stride = PANEL_TILES * GEMM_OUTPUTS,
                             .first = first,
                             .count =
                                 left < p->tiles * GEMM_OUTPUTS ? left : p->tiles * GEMM_OUTPUTS};
    for (int32_t o = 0; o < b.count; o += GEMM_OUTPUTS)
        gemm_pack(p->isa, j->w, first + o, panel + (size_t)o * (size_t)j->w->n_in);
    for (b.first_row = run * p->rows_each; b.first_row < end; b.first_row += ROW_BLOCK) {
        b.rows = end - b.first_row < ROW_BLOCK ? end - b.first_row : ROW_BLOCK;
        multiply(p, j, panel, &b);
        if (j->each != NULL)
            j->each(j->arg, &b);
        if (j->y != NULL)
            store(j, &b);
    }
}

void panels_part(void *panels, int32_t part, int member) {
    const struct panels *p = panels;
    for (int i = 0; i < p->n_jobs; i++) {
        int32_t n = panels_of(p, &p->jobs[i]) * p->row_runs;
        if (part < n) {
            run_panel(p, &p->jobs[i], part / p->row_runs, part % p->row_runs,
                      p->floats + (size_t)member * p->member_floats);
            return;
        }
        part -= n;
    }
}
