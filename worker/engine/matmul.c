/* matmul.c - products cut into panels of weight rows, which the team's members take one by one.
 *
 * A panel is a run of weight rows of one product; its outputs belong to whoever takes it, and are
 * computed from the first term to the last by that member alone.
 *
 * Few rows of activations: the fused kernels (kernels_dot.h) read each weight once, or a few
 * weight rows at a time are expanded into the first cache; panels are small, so that a member that
 * was held up takes fewer of them. Where "many" begins was measured (kernels_*.c). Many: the panel
 * is expanded to f32 into the member's scratch and goes through OpenBLAS. sgemm packs the
 * activations again for every panel; so panels are as large as memory for them and an equal share
 * for each member allow. */
#include "worker/engine/matmul.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/must.h"
#include "worker/engine/blas.h"
#include "worker/engine/kernels.h"
#include "worker/engine/matmul_job.h"

#define EXPAND_ROWS 24  /* from here on expanding a block once more for each tile costs too much */
#define FEW_PANEL 32    /* weight rows of a panel then: some 30 KB of Q8_0 at 960 inputs */
#define FEW_GROUP 4     /* rows expanded at a time where a type has no fused kernel */
#define MANY_PANEL 1280 /* weight rows of a panel for sgemm, at most */
#define MANY_ALIGN 16   /* ... and a multiple of this, however long they are */
#define PANELS_BYTES ((size_t)32 << 20) /* of the expanded panels of all members, about */
#define PREFETCH_ROWS 2 /* how far ahead of expanding the file's pages are asked for */
#define CACHE_LINE 64
#define ALONE_PRODUCTS 100000 /* below this many multiplications waking others costs more */

struct matmul_scratch {
    const struct kernels *kernels;
    int members;
    int32_t max_n_in;
    size_t panel_floats; /* of one member */
    float *panels;
    /* the round that runs now */
    const struct matmul_job *jobs;
    int n_jobs;
    int32_t rows;
    atomic_int next; /* the panel to be taken, counted over all jobs */
};

static int32_t round_up(int32_t n, int32_t to) {
    return (n + to - 1) / to * to;
}

/* The most weight rows of n_in floats that a member's scratch is for. */
static int32_t most_rows(int32_t n_in, int members) {
    size_t fit = PANELS_BYTES / sizeof(float) / (size_t)members / (size_t)n_in;
    size_t most = fit < MANY_PANEL ? fit / MANY_ALIGN * MANY_ALIGN : MANY_PANEL;
    return most > MANY_ALIGN ? (int32_t)most : MANY_ALIGN;
}

/* Floats that most_rows of no n_in up to this exceed. */
static size_t scratch_floats(int32_t max_n_in, int members) {
    size_t share = PANELS_BYTES / sizeof(float) / (size_t)members;
    size_t least = (size_t)MANY_ALIGN * (size_t)max_n_in,
           most = (size_t)MANY_PANEL * (size_t)max_n_in;
    share = share > least ? share : least;
    return share < most ? share : most;
}

/* Weight rows of a panel. For sgemm: equal parts, as many for each member. */
static int32_t panel_rows(const struct matmul_scratch *s, const struct weight *w) {
    if (s->rows <= s->kernels->few_rows)
        return FEW_PANEL;
    int32_t most = most_rows(w->n_in, s->members);
    int32_t parts = round_up((w->n_out + most - 1) / most, s->members);
    return round_up((w->n_out + parts - 1) / parts, MANY_ALIGN);
}

static int32_t panel_count(const struct matmul_scratch *s, const struct weight *w) {
    int32_t each = panel_rows(s, w);
    return (w->n_out + each - 1) / each;
}

static const uint8_t *weight_row(const struct weight *w, int32_t o) {
    return (const uint8_t *)w->data + (size_t)o * w->row_bytes;
}

int matmul_scratch_open(struct matmul_scratch **out, const struct team *t, int32_t max_n_in,
                        struct error *e) {
    *out = NULL;
    int rc = blas_open(e);
    if (rc != 0)
        return rc;
    struct matmul_scratch *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(e, ERR_NOMEM, "no memory for matrix products");
    s->kernels = kernels_chosen();
    s->members = team_size(t);
    s->max_n_in = max_n_in;
    s->panel_floats = scratch_floats(max_n_in, s->members);
    size_t bytes;
    if (!size_mul(s->panel_floats, (size_t)s->members * sizeof(float), &bytes) ||
        (s->panels = aligned_alloc(64, (bytes + 63) / 64 * 64)) == NULL) {
        free(s);
        return error_set(e, ERR_NOMEM, "no memory for the panels of %d threads", team_size(t));
    }
    *out = s;
    return 0;
}

void matmul_scratch_close(struct matmul_scratch *s) {
    if (s == NULL)
        return;
    free(s->panels);
    free(s);
}

size_t matmul_scratch_bytes(const struct matmul_scratch *s) {
    return sizeof *s + (size_t)s->members * s->panel_floats * sizeof(float);
}

/* ---- one panel ---- */

static void few_rows(const struct matmul_scratch *s, const struct matmul_job *j, float *panel,
                     int32_t first, int32_t count, float *y, int32_t y_stride) {
    const struct weight *w = j->w;
    dot_kernel *fused = s->kernels->dot[w->type];
    if (fused != NULL && (s->rows < EXPAND_ROWS || quant_traits(w->type)->block == 1)) {
        fused(weight_row(w, first), w->row_bytes, count, j->x, s->rows, w->n_in, y, y_stride);
        return;
    }
    size_t n = (size_t)w->n_in;
    for (int32_t o = 0; o < count; o += FEW_GROUP) {
        int32_t group = count - o < FEW_GROUP ? count - o : FEW_GROUP;
        for (int32_t i = 0; i < group; i++)
            quant_expand_row(w->type, weight_row(w, first + o + i), panel + (size_t)i * n, n);
        s->kernels->dot[QUANT_F32]((const uint8_t *)panel, n * sizeof *panel, group, j->x, s->rows,
                                   w->n_in, y + o, y_stride);
    }
}

static void many_rows(const struct matmul_scratch *s, const struct matmul_job *j, float *panel,
                      int32_t first, int32_t count) {
    const struct weight *w = j->w;
    const float *weights = (const float *)weight_row(w, first);
    if (w->type != QUANT_F32) {
        for (int32_t o = 0; o < count; o++) {
            for (size_t i = 0; o + PREFETCH_ROWS < count && i < w->row_bytes; i += CACHE_LINE)
                __builtin_prefetch(weight_row(w, first + o + PREFETCH_ROWS) + i);
            quant_expand_row(w->type, weight_row(w, first + o), panel + (size_t)o * (size_t)w->n_in,
                             (size_t)w->n_in);
        }
        weights = panel;
    }
    blas_sgemm(true, s->rows, count, w->n_in, 1, j->x, w->n_in, weights, w->n_in, j->add ? 1 : 0,
               j->y + first, w->n_out);
}

static void add_rows(const struct matmul_job *j, int32_t rows, int32_t first, int32_t count,
                     const float *from, int32_t from_stride) {
    for (int32_t r = 0; r < rows; r++) {
        float *to = j->y + (size_t)r * (size_t)j->w->n_out + first;
        for (int32_t o = 0; o < count; o++)
            to[o] += from[(size_t)r * (size_t)from_stride + (size_t)o];
    }
}

static void run_panel(const struct matmul_scratch *s, const struct matmul_job *j, float *panel,
                      int32_t first, int32_t count) {
    if (j->with != NULL)
        run_panel(s, j->with, panel, first, count);
    if (s->rows > s->kernels->few_rows) {
        many_rows(s, j, panel, first, count);
    } else if (j->add) {
        float products[KERNEL_FEW_ROWS_MAX * FEW_PANEL];
        few_rows(s, j, panel, first, count, products, FEW_PANEL);
        add_rows(j, s->rows, first, count, products, FEW_PANEL);
    } else {
        few_rows(s, j, panel, first, count, j->y + first, j->w->n_out);
    }
    if (j->bias != NULL)
        add_rows(j, s->rows, first, count, j->bias + first, 0);
    if (j->finish != NULL)
        j->finish(j->arg, first, count);
}

/* ---- the round ---- */

static bool run_numbered(const struct matmul_scratch *s, int32_t number, float *panel) {
    for (int i = 0; i < s->n_jobs; i++) {
        const struct matmul_job *j = &s->jobs[i];
        int32_t count = panel_count(s, j->w), each = panel_rows(s, j->w);
        if (number < count) {
            int32_t first = number * each, left = j->w->n_out - first;
            run_panel(s, j, panel, first, left < each ? left : each);
            return true;
        }
        number -= count;
    }
    return false;
}

static void member(void *opaque, int who, int members) {
    struct matmul_scratch *s = opaque;
    (void)members;
    float *panel = s->panels + (size_t)who * s->panel_floats;
    while (run_numbered(s, atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed), panel))
        ;
}

void matmul_jobs(struct team *t, struct matmul_scratch *s, const struct matmul_job *jobs, int n,
                 int32_t rows) {
    MUST(n >= 1 && n <= MATMUL_JOBS_MAX);
    MUST(team_size(t) == s->members);
    if (rows == 0)
        return;
    int64_t products = 0;
    for (int i = 0; i < n; i++) {
        MUST(jobs[i].w->n_in <= s->max_n_in);
        products += (int64_t)jobs[i].w->n_out * jobs[i].w->n_in * rows;
    }
    s->jobs = jobs;
    s->n_jobs = n;
    s->rows = rows;
    atomic_store_explicit(&s->next, 0, memory_order_relaxed);
    if (products < ALONE_PRODUCTS)
        member(s, 0, 1);
    else
        team_run(t, member, s);
}

void matmul(struct team *t, struct matmul_scratch *s, const struct weight *w, const float *bias,
            const float *x, int32_t rows, float *y) {
    struct matmul_job job = {.w = w, .bias = bias, .x = x, .y = y};
    matmul_jobs(t, s, &job, 1, rows);
}

void matmul_reference(const struct weight *w, const float *bias, const float *x, int32_t rows,
                      float *y) {
    float *row = malloc((size_t)w->n_in * sizeof *row);
    MUST(row != NULL);
    for (int32_t o = 0; o < w->n_out; o++) {
        quant_expand_row_reference(w->type, weight_row(w, o), row, (size_t)w->n_in);
        for (int32_t r = 0; r < rows; r++) {
            const float *a = x + (size_t)r * (size_t)w->n_in;
            double sum = bias != NULL ? (double)bias[o] : 0;
            for (int32_t i = 0; i < w->n_in; i++)
                sum += (double)row[i] * (double)a[i];
            y[(size_t)r * (size_t)w->n_out + (size_t)o] = (float)sum;
        }
    }
    free(row);
}
