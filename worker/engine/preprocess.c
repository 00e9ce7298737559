/* preprocess.c - the idefics3 way from a picture to square tiles.
 *
 * The longer side becomes longest_edge (small pictures grow), and each side is then rounded up to
 * whole tiles, so that the picture is stretched a little. The quotient is kept in double: in single
 * precision some pictures get a spurious row of tiles. The tower sees every tile and, as the last
 * one, the whole picture in one tile. */
#include "worker/engine/preprocess.h"

#include <math.h>
#include <string.h>

#include "common/must.h"

/* Tiles along a side of so many pixels. */
static double tiles_along(int32_t side, double scale, int32_t tile) {
    double tiles = ceil(side * scale / tile);
    return tiles < 1 ? 1 : tiles;
}

int preprocess_plan(const struct vision_model *m, int32_t width, int32_t height,
                    const struct picture_options *options, struct picture_layout *out,
                    struct error *e) {
    memset(out, 0, sizeof *out);
    if (width < 1 || height < 1)
        return error_set(e, ERR_BAD_PICTURE, "the picture is %d x %d pixels", width, height);
    out->embeddings_per_tile = m->n_out;
    if (options->overview_only)
        return 0;
    preprocess_bound(&width, &height, options->max_pixels);
    double edge = m->longest_edge;
    double scale = fmin(edge / width, edge / height);
    double columns = tiles_along(width, scale, m->image_size);
    double rows = tiles_along(height, scale, m->image_size);
    if (columns * rows > PREPROCESS_MAX_TILES)
        return error_set(e, ERR_LIMIT,
                         "a picture of %d x %d would be cut into %.0f x %.0f tiles; at most %d "
                         "are possible",
                         width, height, columns, rows, PREPROCESS_MAX_TILES);
    out->columns = (int32_t)columns;
    out->rows = (int32_t)rows;
    return 0;
}

void preprocess_bound(int32_t *width, int32_t *height, uint32_t max_pixels) {
    double w = *width, h = *height, bound = max_pixels;
    if (max_pixels == 0 || w * h <= bound)
        return;
    double scale = sqrt(bound / (w * h));
    w = fmax(floor(w * scale), 1);
    h = fmax(floor(h * scale), 1);
    /* Only a side that was rounded up to a pixel, or a quotient to the next number, passes it. */
    if (w * h > bound)
        *(w > h ? &w : &h) = fmax(floor(bound / fmin(w, h)), 1);
    *width = (int32_t)w;
    *height = (int32_t)h;
}

/* The two resizes of a picture that is as large as it may be. */
static int resize(const struct image *in, int32_t side, struct prepared *out, struct error *e) {
    const struct picture_layout *l = &out->layout;
    int code = 0;
    if (l->columns > 0)
        code =
            image_resize(in, l->columns * side, l->rows * side, RESIZE_LANCZOS, &out->refined, e);
    if (code == 0)
        code = image_resize(in, side, side, RESIZE_LANCZOS, &out->overview, e);
    return code;
}

int preprocess_picture(const struct vision_model *m, const struct image *in,
                       const struct picture_options *options, struct prepared *out,
                       struct error *e) {
    memset(out, 0, sizeof *out);
    int code = preprocess_plan(m, in->width, in->height, options, &out->layout, e);
    int32_t width = in->width, height = in->height;
    preprocess_bound(&width, &height, options->max_pixels);
    bool smaller = width < in->width || height < in->height;
    struct image scaled = {0};
    if (code == 0 && smaller)
        code = image_resize(in, width, height, RESIZE_LANCZOS, &scaled, e);
    if (code == 0)
        code = resize(smaller ? &scaled : in, m->image_size, out, e);
    image_clear(&scaled);
    if (code)
        prepared_clear(out);
    return code;
}

void prepared_clear(struct prepared *p) {
    if (p == NULL)
        return;
    image_clear(&p->refined);
    image_clear(&p->overview);
    memset(p, 0, sizeof *p);
}

/* A side x side part of i at (x, y). */
static void write_plane(const struct image *i, int32_t x, int32_t y, int32_t side, int channel,
                        const float *of_byte, float *dst) {
    for (int32_t row = 0; row < side; row++) {
        size_t at = ((size_t)(y + row) * (size_t)i->width + (size_t)x) * 3;
        const uint8_t *src = i->rgb + at + channel;
        for (int32_t col = 0; col < side; col++)
            dst[col] = of_byte[src[3 * col]];
        dst += side;
    }
}

void preprocess_tile(const struct vision_model *m, const struct prepared *p, int32_t t,
                     float *dst) {
    int32_t side = m->image_size, tiles = p->layout.columns * p->layout.rows;
    MUST(t >= 0 && t <= tiles);
    const struct image *i = t == tiles ? &p->overview : &p->refined;
    int32_t x = t == tiles ? 0 : t % p->layout.columns * side;
    int32_t y = t == tiles ? 0 : t / p->layout.columns * side;
    for (int c = 0; c < 3; c++) {
        float of_byte[256];
        for (int v = 0; v < 256; v++)
            of_byte[v] = ((float)v / 255.0F - m->mean[c]) / m->std[c];
        write_plane(i, x, y, side, c, of_byte, dst + (size_t)c * (size_t)side * (size_t)side);
    }
}
