/* panels.h - products of many rows of activations with weights as they lie in their file; for the
 * vision tower.
 *
 *     product[r][o] = bias[o] + sum over i, in order, of W[o][i] * x[r][i]   r < rows, o < w->n_out
 *
 * by gemm.h's chains: the bits depend on neither the rows beside it nor the threads nor the set of
 * instructions. A part of the work is a panel of outputs, whose weights a member expands to f32
 * once for a long run of rows; what is to be done with products is done while they are in the first
 * cache. Allocates nothing after panels_open. */
#ifndef QUIRE_ENGINE_PANELS_H
#define QUIRE_ENGINE_PANELS_H

#include <stdbool.h>

#include "worker/engine/model.h"
#include "worker/engine/quant_inside.h"
#include "worker/engine/team.h"

/* Products of some rows and outputs: block[r * stride + o], which may be changed. */
struct panels_block {
    float *block;
    size_t stride; /* floats */
    int32_t first_row, rows, first, count;
};

struct panels_job {
    const struct weight *w;
    const float *bias; /* [n_out]: where the sums begin; NULL: at 0 */
    const float *x;    /* [rows][n_in] */
    float *y;          /* [rows][n_out]; NULL: `each` takes the products */
    size_t x_stride, y_stride;
    bool add; /* y += product instead of y = product */
    /* NULL, or called for every block before it goes to y. */
    void (*each)(void *arg, const struct panels_block *b);
    void *arg;
};

#define PANELS_JOBS_MAX 4

struct panels; /* scratch; one per team */
/* ERR_NOMEM. */
int panels_open(struct panels **out, enum quant_isa isa, const struct team *t, int32_t max_n_in,
                struct error *e);
void panels_close(struct panels *p); /* NULL is fine */
size_t panels_bytes(const struct panels *p);

/* Begins products of one number of rows; borrows jobs' pointers. Returns the number of parts, which
 * panels_part does (a round_part, its arg being the panels). */
int32_t panels_begin(struct panels *p, const struct panels_job *jobs, int n, int32_t rows);
void panels_part(void *panels, int32_t part, int member);

#endif
