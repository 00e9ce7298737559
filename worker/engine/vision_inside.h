/* vision_inside.h - what the tower's steps (vision.c) and their parts (vision_parts.c) share; also
 * for their test.
 *
 * Rows are patches, those of all tiles one after the other. Rows of what goes into a product are a
 * little longer than their values, so that they do not fall on the same lines of a cache.
 *
 * Memory: x is the residual stream; h what goes into a product; wide holds, one after the other,
 * the patches' pixels, queries and values, the hidden layer, the shuffled embeddings. */
#ifndef QUIRE_ENGINE_VISION_INSIDE_H
#define QUIRE_ENGINE_VISION_INSIDE_H

#include "worker/engine/gemm.h"
#include "worker/engine/kernels.h"
#include "worker/engine/panels.h"
#include "worker/engine/round.h"
#include "worker/engine/vision.h"

#define ROW_PAD 16 /* floats */

struct vision {
    const struct vision_model *m;
    struct team *team;
    struct panels *panels;
    const struct kernels *kernels;
    gemm_kernel *gemm;
    int32_t most_tiles;
    int32_t patches;     /* of a tile: grid * grid */
    int32_t key_groups;  /* of a tile: patches / GEMM_OUTPUTS, rounded up */
    size_t pixel_stride; /* of a patch's pixels, in wide */
    size_t embd_stride;  /* of h, q and v */
    size_t ff_stride;    /* of the hidden layer, in wide */
    size_t wide_floats;  /* of a row's part of wide */
    size_t score_stride; /* of a query's scores with all keys of its tile */
    float *x;            /* [rows][n_embd] */
    float *h;            /* [rows][embd_stride] */
    float *wide;         /* [rows][wide_floats] */
    float *q, *v;        /* [rows][embd_stride], in wide */
    float *keys;         /* [tiles][key_groups][n_embd][GEMM_OUTPUTS]: k, turned */
    float *scores;       /* [members][SCORE_ROWS][score_stride] */

    int32_t tiles; /* under way */
    int32_t step;  /* of vision.c's, the one that runs */
    bool begun;    /* round is that step's */
    struct round round;
    const float *pixels;
    const float *norm_w, *norm_b;
    float *out;
};

#define SCORE_ROWS 28 /* queries whose scores lie in the second cache at a time */

/* vision_open for one set of instructions, which the CPU must have. */
int vision_open_for(struct vision **out, enum quant_isa isa, const struct vision_model *m,
                    struct team *t, struct error *e);

static inline int32_t vision_rows(const struct vision *v) {
    return v->tiles * v->patches;
}

/* Numbers of parts, and the parts. */
int32_t vision_gather_parts(const struct vision *v);
int32_t vision_norm_parts(const struct vision *v);
int32_t vision_attend_parts(const struct vision *v);
int32_t vision_shuffle_parts(const struct vision *v);
round_part vision_gather_part;  /* pixels -> wide, of the last tile */
round_part vision_norm_part;    /* x -> h */
round_part vision_attend_part;  /* q, keys, v -> h */
round_part vision_shuffle_part; /* h -> wide */

/* What is done with products in the first cache; arg is the tower. */
void vision_scale_queries(void *arg, const struct panels_block *b);
void vision_turn_keys(void *arg, const struct panels_block *b);
void vision_gelu(void *arg, const struct panels_block *b);

/* Floats from one shuffled embedding to the next. */
size_t vision_shuffle_stride(const struct vision *v);

#endif
