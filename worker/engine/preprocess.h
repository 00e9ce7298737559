/* preprocess.h - from pixels to the tiles that the vision tower sees (idefics3). */
#ifndef QUIRE_ENGINE_PREPROCESS_H
#define QUIRE_ENGINE_PREPROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/model.h"
#include "worker/engine/prompt.h"
#include "worker/image/image.h"

#define PREPROCESS_MAX_TILES 144 /* of one picture, without the overview */

/* How closely a picture is looked at. All zero: as closely as the model can. */
struct picture_options {
    uint32_t max_pixels; /* scaled down first to hold no more than that; 0: no bound */
    bool overview_only;  /* not cut into tiles */
};

/* The grid for a picture of width x height: the longer side becomes longest_edge, both rounded up
 * to whole tiles, computed in double; 0 x 0 for an overview only. ERR_LIMIT when it asks for more
 * than PREPROCESS_MAX_TILES. */
int preprocess_plan(const struct vision_model *m, int32_t width, int32_t height,
                    const struct picture_options *options, struct picture_layout *out,
                    struct error *e);

/* The largest size of the same shape, rounded down, that holds at most max_pixels (0: no bound); a
 * side has a pixel at least. Never larger than before. */
void preprocess_bound(int32_t *width, int32_t *height, uint32_t max_pixels);

/* The 8-bit pixels the tower sees: the refined picture (columns*S x rows*S; none without a grid)
 * and the overview (S x S), both Lanczos. Cleared by the caller with prepared_clear. ERR_NOMEM and
 * what preprocess_plan says. */
struct prepared {
    struct picture_layout layout;
    struct image refined, overview;
};
int preprocess_picture(const struct vision_model *m, const struct image *in,
                       const struct picture_options *options, struct prepared *out,
                       struct error *e);
void prepared_clear(struct prepared *p);

/* Writes tile t (row by row; the overview is tile columns*rows) normalised and planar:
 * dst[3][S][S], (u8/255 - mean)/std. */
void preprocess_tile(const struct vision_model *m, const struct prepared *p, int32_t t, float *dst);

#endif
