/* matmul.h - activations times weights of any type.
 *
 *     y[r][o] = sum_i W[o][i] * x[r][i] (+ bias[o])        r < rows, o < w->n_out
 *
 * x: [rows][n_in] f32, row-major; y: [rows][n_out] f32. Many rows: panels of weight rows are
 * expanded to f32 and multiplied by OpenBLAS. Few rows: fused expand-and-dot kernels that read each
 * weight once. Outputs are split over the team. Allocates nothing: panels live in `scratch`. */
#ifndef QUIRE_ENGINE_MATMUL_H
#define QUIRE_ENGINE_MATMUL_H

#include "worker/engine/model.h"
#include "worker/engine/team.h"

struct matmul_scratch; /* one per team; panels for every member */
int matmul_scratch_open(struct matmul_scratch **out, const struct team *t, int32_t max_n_in,
                        struct error *e);
void matmul_scratch_close(struct matmul_scratch *s);

void matmul(struct team *t, struct matmul_scratch *s, const struct weight *w, const float *bias,
            const float *x, int32_t rows, float *y);

/* The plain definition: one double-checked loop over quant_expand_row_reference. For tests. */
void matmul_reference(const struct weight *w, const float *bias, const float *x, int32_t rows,
                      float *y);

#endif
