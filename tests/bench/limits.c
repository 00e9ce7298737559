/* limits.c - a large product for each member, and a large buffer read by all of them. */
#include "tests/bench/limits.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "worker/engine/blas.h"
#include "worker/engine/kernels.h"

#define SIDE 1536                    /* of the square matrices */
#define READ_BYTES ((size_t)1 << 30) /* far more than any cache */
#define READ_PIECE ((size_t)1 << 14) /* floats */

struct limits {
    struct team *team;
    float *matrices; /* three for each member */
    float *memory;
    float *found; /* [members]: so that reading cannot be left out */
};

int limits_open(struct limits **out, struct team *t, struct error *e) {
    *out = NULL;
    int rc = blas_open(e);
    struct limits *l = calloc(1, sizeof *l);
    if (rc != 0 || l == NULL) {
        free(l);
        return rc != 0 ? rc : error_set(e, ERR_NOMEM, "no memory to measure with");
    }
    size_t members = (size_t)team_size(t), floats = members * 3 * SIDE * SIDE;
    l->team = t;
    l->matrices = aligned_alloc(64, floats * sizeof(float));
    l->memory = aligned_alloc(64, READ_BYTES);
    l->found = calloc(members, sizeof *l->found);
    if (l->matrices == NULL || l->memory == NULL || l->found == NULL) {
        limits_close(l);
        return error_set(e, ERR_NOMEM, "no memory to measure with: %zu MiB are needed",
                         (READ_BYTES + floats * sizeof(float)) >> 20);
    }
    for (size_t i = 0; i < floats; i++)
        l->matrices[i] = (float)(i % 13) * 0.125F - 0.75F;
    memset(l->memory, 1, READ_BYTES);
    *out = l;
    return 0;
}

void limits_close(struct limits *l) {
    if (l == NULL)
        return;
    free(l->matrices);
    free(l->memory);
    free(l->found);
    free(l);
}

static void multiply(void *arg, int member, int members) {
    struct limits *l = arg;
    (void)members;
    float *a = l->matrices + (size_t)member * 3 * SIDE * SIDE;
    blas_sgemm(true, SIDE, SIDE, SIDE, 1, a, SIDE, a + SIDE * SIDE, SIDE, 0, a + 2 * SIDE * SIDE,
               SIDE);
}

double limits_sgemm_gflops(struct limits *l) {
    int64_t start = clock_us();
    team_run(l->team, multiply, l);
    double us = (double)(clock_us() - start);
    return 2.0 * SIDE * SIDE * SIDE * team_size(l->team) / us * 1e-3;
}

static void read_part(void *arg, int member, int members) {
    struct limits *l = arg;
    size_t pieces = READ_BYTES / sizeof(float) / READ_PIECE;
    size_t from = pieces * (size_t)member / (size_t)members;
    size_t to = pieces * (size_t)(member + 1) / (size_t)members;
    float found = 0;
    for (size_t i = from; i < to; i++)
        found += kernels_chosen()->highest(l->memory + i * READ_PIECE, (int32_t)READ_PIECE);
    l->found[member] = found;
}

double limits_read_gbytes(struct limits *l) {
    int64_t start = clock_us();
    team_run(l->team, read_part, l);
    return (double)READ_BYTES / (double)(clock_us() - start) * 1e-3;
}
