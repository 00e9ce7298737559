/* matmul_job.h - several products in one round of the team; for the engine's own layers.
 *
 * Products that read the same activations (queries, keys, values; gate and up) share one round, so
 * that the team meets once for all of them. */
#ifndef QUIRE_ENGINE_MATMUL_JOB_H
#define QUIRE_ENGINE_MATMUL_JOB_H

#include "worker/engine/matmul.h"

struct matmul_job {
    const struct weight *w;
    const float *bias; /* [n_out] or NULL */
    const float *x;    /* [rows][n_in] */
    float *y;          /* [rows][n_out] */
    bool add;          /* y += product instead of y = product */
    /* NULL, or a job with the same rows and n_out, whose outputs first..first+count-1 are computed
     * by the same member just before this one's. */
    const struct matmul_job *with;
    /* NULL, or called by that member when y[0..rows)[first..first+count) is complete. */
    void (*finish)(void *arg, int32_t first, int32_t count);
    void *arg;
};

#define MATMUL_JOBS_MAX 4

void matmul_jobs(struct team *t, struct matmul_scratch *s, const struct matmul_job *jobs, int n,
                 int32_t rows);

size_t matmul_scratch_bytes(const struct matmul_scratch *s);

#endif
