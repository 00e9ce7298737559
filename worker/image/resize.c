/* resize.c - resampling that equals Pillow's to the last bit.
 *
 * A filter of radius r is stretched by the scale when shrinking (so that every input pixel counts)
 * and sampled at input pixel centres: that gives each output pixel a run of input pixels and their
 * weights, computed in double and normalised to sum 1. Weights then become integers with 22 bits of
 * fraction, rounded half away from zero; sums are exact in int32, so no order of summation can
 * change a bit. Horizontal first, then vertical, 8 bits between; a pass that keeps its size is
 * skipped.
 *
 * The horizontal pass takes 16 rows at once, transposed so that the 48 bytes of one column (three
 * channels of 16 rows) lie together: all of them use the same weights, which is what vectors want.
 */
#include "worker/image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"
#include "worker/image/resize_kernels.h"

#define PI 3.14159265358979323846

/* Which input pixels make output pixel o: first[o] .. first[o] + count[o] - 1, weighted by
 * weights[o * stride ...]. */
struct axis {
    int32_t size, stride;
    int32_t *first, *count, *weights;
};

static void axis_clear(struct axis *a) {
    free(a->first);
    free(a->weights);
    memset(a, 0, sizeof *a);
}

static double bilinear(double t) {
    t = fabs(t);
    return t < 1.0 ? 1.0 - t : 0.0;
}

static double bicubic(double t) {
    const double a = -0.5;
    t = fabs(t);
    if (t < 1.0)
        return ((a + 2.0) * t - (a + 3.0)) * t * t + 1;
    if (t < 2.0)
        return (((t - 5) * t + 8) * t - 4) * a;
    return 0.0;
}

static double sinc(double t) {
    if (t == 0.0)
        return 1.0;
    t *= PI;
    return sin(t) / t;
}

static double lanczos(double t) {
    return t >= -3.0 && t < 3.0 ? sinc(t) * sinc(t / 3) : 0.0;
}

struct filter {
    double radius;
    double (*value)(double t);
};

static const struct filter filters[] = {
    [RESIZE_BILINEAR] = {1.0, bilinear},
    [RESIZE_BICUBIC] = {2.0, bicubic},
    [RESIZE_LANCZOS] = {3.0, lanczos},
};

/* count doubles that sum to 1 -> integers; returns whether sums of bytes stay within int32. */
static bool round_weights(const double *exact, int32_t count, int32_t *out) {
    int64_t largest = (int64_t)1 << (RESIZE_BITS - 1);
    for (int32_t k = 0; k < count; k++) {
        double scaled = exact[k] * (1 << RESIZE_BITS);
        out[k] = (int32_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
        largest += 255 * (int64_t)abs(out[k]);
    }
    return largest <= INT32_MAX;
}

/* Fills one output pixel's run; `exact` has room for a->stride doubles. */
static void fill_run(struct axis *a, int32_t o, int32_t in, const struct filter *f, double scale,
                     double *exact) {
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = f->radius * stretch, shrink = 1.0 / stretch;
    double centre = (o + 0.5) * scale, sum = 0.0;
    int32_t first = (int32_t)(centre - support + 0.5), end = (int32_t)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > in ? in : end;
    int32_t count = end - first;
    MUST(count >= 1 && count <= a->stride);
    for (int32_t k = 0; k < count; k++) {
        exact[k] = f->value((k + first - centre + 0.5) * shrink);
        sum += exact[k];
    }
    for (int32_t k = 0; k < count; k++)
        if (sum != 0.0)
            exact[k] /= sum;
    a->first[o] = first;
    a->count[o] = count;
    MUST(round_weights(exact, count, a->weights + (size_t)o * (size_t)a->stride));
}

/* The longest run is 2 * support + 1 pixels, and never more than the input. */
static int axis_open(struct axis *a, int32_t in, int32_t out, const struct filter *f) {
    double scale = (double)in / out;
    double support = f->radius * (scale < 1.0 ? 1.0 : scale);
    int32_t longest = (int32_t)ceil(support) * 2 + 1;
    memset(a, 0, sizeof *a);
    a->size = out;
    a->stride = longest < in ? longest : in;
    size_t n = (size_t)out;
    a->first = malloc(2 * n * sizeof *a->first);
    a->weights = calloc(n * (size_t)a->stride, sizeof *a->weights);
    double *exact = malloc((size_t)a->stride * sizeof *exact);
    bool complete = a->first && a->weights && exact;
    if (complete) {
        a->count = a->first + n;
        for (int32_t o = 0; o < out; o++)
            fill_run(a, o, in, f, scale, exact);
    } else {
        axis_clear(a);
    }
    free(exact);
    return complete ? 0 : ERR_NOMEM;
}

/* rows[16] of n bytes -> out[n][16]. */
static void gather_columns(const uint8_t *const rows[RESIZE_BLOCK_ROWS], size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++)
        for (int r = 0; r < RESIZE_BLOCK_ROWS; r++)
            out[i * RESIZE_BLOCK_ROWS + (size_t)r] = rows[r][i];
}

/* in[n][16] -> the first `count` of 16 rows of n bytes, n apart. */
static void scatter_columns(const uint8_t *in, size_t n, int32_t count, uint8_t *rows) {
    for (int32_t r = 0; r < count; r++)
        for (size_t i = 0; i < n; i++)
            rows[(size_t)r * n + i] = in[i * RESIZE_BLOCK_ROWS + (size_t)r];
}

/* Resamples 16 rows from `y` on. block: [in width][48], mixed: [out width][48]. */
static void resize_block(const struct image *in, const struct axis *a, int32_t y,
                         const struct resize_kernels *k, uint8_t *block, uint8_t *mixed,
                         struct image *out) {
    size_t in_row = (size_t)in->width * 3, out_row = (size_t)a->size * 3;
    int32_t left = in->height - y;
    int32_t count = left < RESIZE_BLOCK_ROWS ? left : RESIZE_BLOCK_ROWS;
    const uint8_t *rows[RESIZE_BLOCK_ROWS];
    for (int32_t r = 0; r < RESIZE_BLOCK_ROWS; r++) /* past the end: the last row again */
        rows[r] = in->rgb + (size_t)(y + (r < count ? r : count - 1)) * in_row;
    gather_columns(rows, in_row, block);
    for (int32_t o = 0; o < a->size; o++)
        k->mix_columns(block + (size_t)a->first[o] * RESIZE_LANES,
                       a->weights + (size_t)o * (size_t)a->stride, a->count[o],
                       mixed + (size_t)o * RESIZE_LANES);
    scatter_columns(mixed, out_row, count, out->rgb + (size_t)y * out_row);
}

static int new_image(struct image *out, int32_t width, int32_t height) {
    out->rgb = malloc((size_t)width * (size_t)height * 3);
    if (out->rgb == NULL)
        return ERR_NOMEM;
    out->width = width;
    out->height = height;
    return 0;
}

static int resize_across(const struct image *in, int32_t width, const struct filter *f,
                         struct image *out) {
    const struct resize_kernels *k = resize_kernels_best();
    struct axis a;
    int code = axis_open(&a, in->width, width, f);
    if (code)
        return code;
    uint8_t *block = malloc((size_t)in->width * RESIZE_LANES);
    uint8_t *mixed = malloc((size_t)width * RESIZE_LANES);
    code = block && mixed ? new_image(out, width, in->height) : ERR_NOMEM;
    for (int32_t y = 0; code == 0 && y < in->height; y += RESIZE_BLOCK_ROWS)
        resize_block(in, &a, y, k, block, mixed, out);
    free(block);
    free(mixed);
    axis_clear(&a);
    return code;
}

static int resize_down(const struct image *in, int32_t height, const struct filter *f,
                       struct image *out) {
    const struct resize_kernels *k = resize_kernels_best();
    struct axis a;
    int code = axis_open(&a, in->height, height, f);
    if (code)
        return code;
    size_t row = (size_t)in->width * 3;
    code = new_image(out, in->width, height);
    for (int32_t o = 0; code == 0 && o < height; o++)
        k->mix_rows(in->rgb + (size_t)a.first[o] * row, row,
                    a.weights + (size_t)o * (size_t)a.stride, a.count[o],
                    out->rgb + (size_t)o * row, row);
    axis_clear(&a);
    return code;
}

static int copy_image(const struct image *in, struct image *out) {
    int code = new_image(out, in->width, in->height);
    if (code == 0)
        memcpy(out->rgb, in->rgb, (size_t)in->width * (size_t)in->height * 3);
    return code;
}

static bool too_large(int64_t width, int64_t height) {
    return width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE ||
           width * height > (int64_t)IMAGE_MAX_PIXELS;
}

int image_resize(const struct image *in, int32_t width, int32_t height, enum resize_filter filter,
                 struct image *out, struct error *e) {
    memset(out, 0, sizeof *out);
    /* The picture between the passes is as wide as the result and as high as the input. */
    if (too_large(in->width, in->height) || too_large(width, height) ||
        too_large(width, in->height))
        return error_set(e, ERR_LIMIT,
                         "resizing %d x %d to %d x %d passes %d pixels a side or %u in all",
                         in->width, in->height, width, height, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
    const struct filter *f = &filters[filter];
    struct image between = {0};
    int code = 0;
    if (width != in->width)
        code = resize_across(in, width, f, height != in->height ? &between : out);
    const struct image *source = width != in->width ? &between : in;
    if (code == 0 && height != in->height)
        code = resize_down(source, height, f, out);
    else if (code == 0 && width == in->width)
        code = copy_image(in, out);
    image_clear(&between);
    if (code)
        error_set(e, code, "no memory to resize a picture to %d x %d", width, height);
    return code;
}
