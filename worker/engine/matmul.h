/* matmul.h - activations times packed weights of any type.
 *
 *     y[r][o] = sum_i W[o][i] * x[r][i] (+ bias[o])        r < rows, o < w->n_out
 *
 * x: [rows][n_in] f32, row-major; y: [rows][n_out] f32. The bits of y[r][o] depend on x[r] and row
 * o of W alone (tile.h): not on the rows beside it, the size of the team, or who computes it.
 * Integer formats see x rounded to 8 bits a value. Tiles and rows are split over the team.
 * Allocates nothing. */
#ifndef QUIRE_ENGINE_MATMUL_H
#define QUIRE_ENGINE_MATMUL_H

#include "worker/engine/model.h"
#include "worker/engine/team.h"

struct matmul_scratch; /* one per team: quantised activations, and what kernels need */
/* max_n_in: the widest input of any product, max_rows: the most rows. ERR_NOMEM. */
int matmul_scratch_open(struct matmul_scratch **out, const struct team *t, int32_t max_n_in,
                        int32_t max_rows, struct error *e);
void matmul_scratch_close(struct matmul_scratch *s);

/* w->tiles must be there. */
void matmul(struct team *t, struct matmul_scratch *s, const struct weight *w, const float *bias,
            const float *x, int32_t rows, float *y);

#endif
