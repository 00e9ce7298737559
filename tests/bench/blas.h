/* blas.h - OpenBLAS's single-precision matrix product, a yardstick for the engine's own.
 *
 * OpenBLAS is opened at run time, not linked, for two reasons. It picks its kernels while it is
 * being loaded, and the version in Debian 12 takes newer Intel CPUs for one of 2004 and then runs
 * at a fifth of its speed: so it is told the kernel family first. And it starts a thread per core
 * when loaded, unless told not to. The bench's threads are the engine's team. */
#ifndef QUIRE_TESTS_BENCH_BLAS_H
#define QUIRE_TESTS_BENCH_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

/* Finds the library; again is fine and free. ERR_UNSUPPORTED when it is missing. To be called once
 * before other threads of the process use blas_sgemm. */
int blas_open(struct error *e);

/* The kernel family in use, for example "SkylakeX". */
const char *blas_core(void);

/* C[m][n] = alpha * A[m][k] * B + beta * C, all row-major with rows of lda, ldb, ldc floats.
 * b_transposed: B is stored [n][k], otherwise [k][n]. Any number of threads at once. */
void blas_sgemm(bool b_transposed, int32_t m, int32_t n, int32_t k, float alpha, const float *a,
                int32_t lda, const float *b, int32_t ldb, float beta, float *c, int32_t ldc);

#endif
