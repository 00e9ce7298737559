/* matmul_job.h - several products in one round of the team; for the engine's own layers.
 *
 * Products that read the same activations (queries, keys, values; gate and up) share one round, so
 * that activations are quantised once and the team meets once for all of them. */
#ifndef QUIRE_ENGINE_MATMUL_JOB_H
#define QUIRE_ENGINE_MATMUL_JOB_H

#include "worker/engine/matmul.h"

/* A rectangle of y: some outputs of some rows. */
struct matmul_part {
    int32_t first_row, rows;
    int32_t first, count; /* outputs */
};

struct matmul_job {
    const struct weight *w;
    const float *bias; /* [n_out] or NULL */
    float *y;          /* [rows][n_out] */
    bool add;          /* y += product instead of y = product */
    /* NULL, or a job of as many outputs, whose part is computed by the same member just before the
     * same part of this one. */
    const struct matmul_job *with;
    /* NULL, or called by that member when the part is complete, biases and all. */
    void (*finish)(void *arg, const struct matmul_part *part);
    void *arg;
};

#define MATMUL_JOBS_MAX 4

/* All jobs read x: [rows][n_in], and have that n_in; rows is at most the scratch's. */
void matmul_jobs(struct team *t, struct matmul_scratch *s, const struct matmul_job *jobs, int n,
                 const float *x, int32_t rows);

size_t matmul_scratch_bytes(const struct matmul_scratch *s);

#endif
