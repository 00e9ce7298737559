/* matmul.c - products cut into tiles of weights by blocks of rows, which members take in runs.
 *
 * All tiles of a round are numbered in the order in which they lie in the pack, and members take
 * runs of them from a counter, long runs first and single tiles at the end: memory is read
 * forwards, by each member in long pieces, and a member that was held up takes fewer. With many
 * rows of activations, a block of rows that stays in a member's second cache goes past all tiles
 * before the next block does. None of this shows in results: every output is one sum in one order.
 */
#include "worker/engine/matmul.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/matmul_job.h"
#include "worker/engine/tile.h"

/* Of a block of activations: measured best. Kernels of integers read them again for every tile;
 * those of floats expand the tile for the whole block, which pays the more the longer the block. */
#define INTEGER_BLOCK_BYTES ((size_t)256 << 10)
#define FLOAT_BLOCK_BYTES ((size_t)1536 << 10)
#define BLOCK_ALIGN 48 /* rows of a block are a multiple: kernels' tiles come out even */
#define RUN_SHARE 2    /* a run is one part in so many of a member's share of the rest */
#define RUN_BYTES ((size_t)512 << 10) /* ... and no more weights than this, if rows are many */
#define FEW_ROWS 8                    /* up to here the caller quantises activations alone */
#define TASKS_PER_MEMBER 4            /* at least, where rows can be cut to make so many */
#define LEAST_BLOCK 48                /* rows that are not cut further for that */
#define ALONE_PRODUCTS 100000         /* below this many multiplications waking others costs more */
#define SUMS_BLOCK 16                 /* inputs of one of rows.sums */

struct matmul_scratch {
    enum quant_isa isa;
    int members;
    int32_t max_n_in, max_rows;
    size_t tile_floats; /* of one member, a multiple of a cache line */
    float *tile_scratch;
    struct rows rows; /* buffers for max_rows of max_n_in */
    /* the round that runs now */
    const struct matmul_job *jobs;
    int n_jobs;
    int32_t tiles, blocks, block_rows; /* tiles: of all jobs */
    int32_t most_run;
    atomic_int next; /* of tiles * blocks */
};

static int32_t round_up(int32_t n, int32_t to) {
    return (n + to - 1) / to * to;
}

static int32_t tile_count(const struct weight *w) {
    return (w->n_out + TILE_OUTPUTS - 1) / TILE_OUTPUTS;
}

/* ---- open and close ---- */

static void *take(size_t count, size_t width, size_t each) {
    size_t bytes;
    if (!size_mul(count, width, &bytes) || !size_mul(bytes, each, &bytes) || bytes > SIZE_MAX - 64)
        return NULL;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

int matmul_scratch_open(struct matmul_scratch **out, const struct team *t, int32_t max_n_in,
                        int32_t max_rows, struct error *e) {
    *out = NULL;
    MUST(max_n_in >= 1 && max_rows >= 1);
    struct matmul_scratch *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(e, ERR_NOMEM, "no memory for matrix products");
    s->isa = quant_isa_chosen();
    s->members = team_size(t);
    s->max_n_in = max_n_in;
    s->max_rows = max_rows;
    s->tile_floats = (tile_scratch_floats(max_n_in) + 15) / 16 * 16;
    size_t rows = (size_t)max_rows, n_in = (size_t)max_n_in;
    s->tile_scratch = take((size_t)s->members, s->tile_floats, sizeof *s->tile_scratch);
    s->rows.q = take(rows, n_in, sizeof *s->rows.q);
    s->rows.scale = take(rows, n_in / ROWS_BLOCK + 1, sizeof *s->rows.scale);
    s->rows.sums = take(rows, n_in / SUMS_BLOCK + 1, sizeof *s->rows.sums);
    if (s->tile_scratch == NULL || s->rows.q == NULL || s->rows.scale == NULL ||
        s->rows.sums == NULL) {
        matmul_scratch_close(s);
        return error_set(e, ERR_NOMEM, "no memory for products of %d rows", max_rows);
    }
    *out = s;
    return 0;
}

void matmul_scratch_close(struct matmul_scratch *s) {
    if (s == NULL)
        return;
    free(s->tile_scratch);
    free(s->rows.q);
    free(s->rows.scale);
    free(s->rows.sums);
    free(s);
}

size_t matmul_scratch_bytes(const struct matmul_scratch *s) {
    size_t n_in = (size_t)s->max_n_in;
    size_t row = n_in + (n_in / ROWS_BLOCK + 1) * sizeof *s->rows.scale +
                 (n_in / SUMS_BLOCK + 1) * sizeof *s->rows.sums;
    return sizeof *s + (size_t)s->members * s->tile_floats * sizeof *s->tile_scratch +
           (size_t)s->max_rows * row;
}

/* ---- activations ---- */

static bool reads_integers(const struct matmul_job *j) {
    return tile_format_of(j->w->type)->integer || (j->with != NULL && reads_integers(j->with));
}

static void quantise_member(void *opaque, int who, int members) {
    struct matmul_scratch *s = opaque;
    int64_t n = s->rows.n_rows;
    int32_t from = (int32_t)(n * who / members), to = (int32_t)(n * (who + 1) / members);
    rows_quantise(s->isa, &s->rows, from, to - from);
}

static void prepare_rows(struct team *t, struct matmul_scratch *s) {
    bool integers = false;
    for (int i = 0; i < s->n_jobs; i++)
        integers |= reads_integers(&s->jobs[i]);
    if (!integers)
        return;
    if (s->rows.n_rows <= FEW_ROWS)
        quantise_member(s, 0, 1);
    else
        team_run(t, quantise_member, s);
}

/* Rows first .. first + count - 1 of r. */
static struct rows some_rows(const struct rows *r, int32_t first, int32_t count) {
    size_t at = (size_t)first, n_in = (size_t)r->n_in;
    return (struct rows){.n_rows = count,
                         .n_in = r->n_in,
                         .x = r->x + at * n_in,
                         .q = r->q + at * n_in,
                         .scale = r->scale + at * (n_in / ROWS_BLOCK),
                         .sums = r->sums + at * (n_in / SUMS_BLOCK)};
}

/* ---- a run of tiles with a block of rows ---- */

static void add_bias(const struct matmul_job *j, const struct matmul_part *p) {
    for (int32_t r = p->first_row; r < p->first_row + p->rows; r++) {
        float *y = j->y + (size_t)r * (size_t)j->w->n_out;
        for (int32_t o = p->first; o < p->first + p->count; o++)
            y[o] += j->bias[o];
    }
}

static void run_tiles(const struct matmul_scratch *s, const struct matmul_job *j, float *scratch,
                      const struct rows *rows, const struct matmul_part *p) {
    if (j->with != NULL)
        run_tiles(s, j->with, scratch, rows, p);
    const struct weight *w = j->w;
    size_t tile_bytes = tile_format_of(w->type)->bytes(w->n_in);
    tile_kernel *kernel = tile_kernel_of(w->type, s->isa);
    for (int32_t o = p->first; o < p->first + p->count; o += TILE_OUTPUTS) {
        int32_t left = p->first + p->count - o;
        const struct tile_call call = {
            .tile = w->tiles + (size_t)(o / TILE_OUTPUTS) * tile_bytes,
            .rows = rows,
            .y = j->y + (size_t)p->first_row * (size_t)w->n_out + o,
            .y_stride = w->n_out,
            .outputs = left < TILE_OUTPUTS ? left : TILE_OUTPUTS,
            .add = j->add,
            .scratch = scratch,
        };
        kernel(&call);
    }
    if (j->bias != NULL)
        add_bias(j, p);
    if (j->finish != NULL)
        j->finish(j->arg, p);
}

/* Tiles from..to of all jobs, with one block of rows. */
static void run_numbered(const struct matmul_scratch *s, float *scratch, int32_t block,
                         int32_t from, int32_t to) {
    struct matmul_part p = {.first_row = block * s->block_rows};
    int32_t left = s->rows.n_rows - p.first_row;
    p.rows = left < s->block_rows ? left : s->block_rows;
    struct rows rows = some_rows(&s->rows, p.first_row, p.rows);
    for (int i = 0; i < s->n_jobs && to > 0; i++) {
        const struct matmul_job *j = &s->jobs[i];
        int32_t tiles = tile_count(j->w), low = from > 0 ? from : 0, high = to < tiles ? to : tiles;
        if (low < high) {
            p.first = low * TILE_OUTPUTS;
            p.count = (high == tiles ? j->w->n_out : high * TILE_OUTPUTS) - p.first;
            run_tiles(s, j, scratch, &rows, &p);
        }
        from -= tiles;
        to -= tiles;
    }
}

/* ---- the round ---- */

/* Takes the next run: tiles *from .. *to - 1 of one block. */
static bool take_run(struct matmul_scratch *s, int members, int32_t *block, int32_t *from,
                     int32_t *to) {
    int32_t all = s->tiles * s->blocks;
    int32_t at = atomic_load_explicit(&s->next, memory_order_relaxed), n;
    do {
        if (at >= all)
            return false;
        n = (all - at) / (RUN_SHARE * members);
        n = n > s->most_run ? s->most_run : n;
        n = n < 1 ? 1 : n;
        int32_t left = s->tiles - at % s->tiles; /* a run has one block */
        n = n < left ? n : left;
    } while (!atomic_compare_exchange_weak_explicit(&s->next, &at, at + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    *block = at / s->tiles;
    *from = at % s->tiles;
    *to = *from + n;
    return true;
}

static void member(void *opaque, int who, int members) {
    struct matmul_scratch *s = opaque;
    float *scratch = s->tile_scratch + (size_t)who * s->tile_floats;
    int32_t block, from, to;
    while (take_run(s, members, &block, &from, &to))
        run_numbered(s, scratch, block, from, to);
}

/* How rows are cut: into blocks that stay in a cache, and that make enough tasks for all. */
static void plan_blocks(struct matmul_scratch *s, bool integers) {
    int32_t rows = s->rows.n_rows;
    size_t row_bytes = (size_t)s->rows.n_in * (integers ? 1 : sizeof(float));
    size_t block_bytes = integers ? INTEGER_BLOCK_BYTES : FLOAT_BLOCK_BYTES;
    int32_t most = (int32_t)(block_bytes / row_bytes) / BLOCK_ALIGN * BLOCK_ALIGN;
    most = most < BLOCK_ALIGN ? BLOCK_ALIGN : most;
    int32_t blocks = (rows + most - 1) / most;
    int32_t wanted = (TASKS_PER_MEMBER * s->members + s->tiles - 1) / s->tiles;
    int32_t possible = rows / LEAST_BLOCK;
    wanted = wanted < possible ? wanted : possible;
    blocks = blocks > wanted ? blocks : wanted;
    s->block_rows = round_up((rows + blocks - 1) / blocks, rows > BLOCK_ALIGN ? BLOCK_ALIGN : 1);
    s->blocks = (rows + s->block_rows - 1) / s->block_rows;
}

static int64_t plan_round(struct matmul_scratch *s) {
    int64_t products = 0;
    size_t tile_bytes = 1;
    bool integers = true;
    s->tiles = 0;
    for (int i = 0; i < s->n_jobs; i++) {
        const struct matmul_job *j = &s->jobs[i];
        MUST(j->w->n_in == s->rows.n_in && j->w->tiles != NULL);
        MUST(j->with == NULL || (j->with->w->n_out == j->w->n_out && j->with->w->tiles != NULL));
        const struct tile_format *f = tile_format_of(j->w->type);
        tile_bytes = f->bytes(j->w->n_in);
        integers &= f->integer;
        s->tiles += tile_count(j->w);
        products += (int64_t)j->w->n_out * j->w->n_in * s->rows.n_rows;
    }
    plan_blocks(s, integers);
    s->most_run = s->blocks > 1 && RUN_BYTES / tile_bytes < (size_t)s->tiles
                      ? (int32_t)(RUN_BYTES / tile_bytes)
                      : s->tiles;
    return products;
}

void matmul_jobs(struct team *t, struct matmul_scratch *s, const struct matmul_job *jobs, int n,
                 const float *x, int32_t rows) {
    MUST(n >= 1 && n <= MATMUL_JOBS_MAX && rows <= s->max_rows);
    MUST(team_size(t) == s->members && jobs[0].w->n_in <= s->max_n_in);
    if (rows == 0)
        return;
    s->jobs = jobs;
    s->n_jobs = n;
    s->rows.n_rows = rows;
    s->rows.n_in = jobs[0].w->n_in;
    s->rows.x = x;
    int64_t products = plan_round(s);
    prepare_rows(t, s);
    atomic_store_explicit(&s->next, 0, memory_order_relaxed);
    if (products < ALONE_PRODUCTS)
        member(s, 0, 1);
    else
        team_run(t, member, s);
}

void matmul(struct team *t, struct matmul_scratch *s, const struct weight *w, const float *bias,
            const float *x, int32_t rows, float *y) {
    struct matmul_job job = {.w = w, .bias = bias, .y = y};
    matmul_jobs(t, s, &job, 1, x, rows);
}
