/* gemm.c - picks the micro-kernel of a set, and turns rows of weights into what it reads. */
#include "worker/engine/gemm.h"

#include <string.h>

#include "common/must.h"
#include "worker/engine/tile_float.h"

gemm_kernel *gemm_kernel_of(enum quant_isa isa) {
    return tile_float_kernels_of(isa)->gemm;
}

#define CACHE_LINE 64   /* bytes */
#define PACK_RUN 256    /* inputs expanded at a time: a block of the largest types */
#define PACK_STRIDE 272 /* floats; so that rows do not all fall on the same lines of a cache */

/* Rows lie far apart and are read in short runs, which hardware does not foresee. */
static void ask_for(const uint8_t *from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += CACHE_LINE)
        __builtin_prefetch(from + i);
}

void gemm_pack(enum quant_isa isa, const struct weight *w, int32_t first, float *b) {
    const struct quant_traits *t = quant_traits(w->type);
    MUST(t != NULL && PACK_RUN % t->block == 0);
    quant_expander *expand = quant_expander_for(isa, w->type);
    const struct tile_float_kernels *kernels = tile_float_kernels_of(isa);
    int32_t rows = w->n_out - first < GEMM_OUTPUTS ? w->n_out - first : GEMM_OUTPUTS;
    const uint8_t *from = (const uint8_t *)w->data + (size_t)first * w->row_bytes;
    size_t run_bytes = quant_row_bytes(w->type, PACK_RUN);
    float run[GEMM_OUTPUTS][PACK_STRIDE];
    memset(run, 0, sizeof run);
    for (int32_t begin = 0; begin < w->n_in; begin += PACK_RUN, from += run_bytes) {
        int32_t n = w->n_in - begin < PACK_RUN ? w->n_in - begin : PACK_RUN;
        for (int32_t o = 0; o < rows; o++) {
            const uint8_t *row = from + (size_t)o * w->row_bytes;
            ask_for(row + run_bytes, run_bytes);
            expand(row, run[o], (size_t)n / t->block);
        }
        kernels->turn(run[0], PACK_STRIDE, n, b + (size_t)begin * GEMM_OUTPUTS);
    }
}
