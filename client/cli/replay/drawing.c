/* drawing.c - see drawing.h; what is drawn with is cairo. */
#include "client/cli/replay/drawing.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <fontconfig/fontconfig.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PNG_SCALE 2.0 /* pixels of a point */

const struct colour drawing_ink = {0.13, 0.14, 0.17}, drawing_faint = {0.85, 0.86, 0.88},
                    drawing_outline = {0.45, 0.47, 0.52};
const struct colour drawing_fills[] = {{0.16, 0.44, 0.69}, {0.89, 0.55, 0.20}, {0.42, 0.62, 0.32},
                                       {0.60, 0.42, 0.66}, {0.45, 0.69, 0.86}, {0.97, 0.77, 0.50},
                                       {0.66, 0.81, 0.55}, {0.80, 0.68, 0.84}, {0.30, 0.58, 0.56},
                                       {0.62, 0.62, 0.64}};
const size_t drawing_fill_count = sizeof drawing_fills / sizeof drawing_fills[0];

struct drawing {
    cairo_t *c;
    cairo_surface_t *surface;
    const char *path;
    bool svg;
};

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

bool drawing_known(const char *path) {
    return ends_in(path, ".svg") || ends_in(path, ".png");
}

int drawing_open(struct drawing **out, const char *path, double width, double height,
                 struct error *e) {
    struct drawing *d = *out = calloc(1, sizeof *d);
    if (d == NULL)
        return error_set(e, ERR_NOMEM, "no memory to draw %s", path);
    d->path = path;
    d->svg = ends_in(path, ".svg");
    double scale = d->svg ? 1 : PNG_SCALE;
    d->surface = d->svg ? cairo_svg_surface_create(path, width, height)
                        : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(scale * width),
                                                     (int)(scale * height));
    d->c = cairo_create(d->surface);
    cairo_scale(d->c, scale, scale);
    cairo_set_source_rgb(d->c, 1, 1, 1);
    cairo_paint(d->c);
    cairo_select_font_face(d->c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    return 0;
}

int drawing_close(struct drawing *d, struct error *e) {
    if (d == NULL)
        return 0;
    cairo_status_t status = cairo_status(d->c);
    if (status == CAIRO_STATUS_SUCCESS && !d->svg)
        status = cairo_surface_write_to_png(d->surface, d->path);
    cairo_destroy(d->c);
    cairo_surface_finish(d->surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(d->surface);
    cairo_surface_destroy(d->surface);
    cairo_debug_reset_static_data(); /* the fonts it would keep, */
    FcFini();                        /* and where they were found */
    int rc = status == CAIRO_STATUS_SUCCESS ? 0
                                            : error_set(e, ERR_IO, "%s can't be written: %s",
                                                        d->path, cairo_status_to_string(status));
    free(d);
    return rc;
}

static void set(struct drawing *d, struct colour colour) {
    cairo_set_source_rgb(d->c, colour.r, colour.g, colour.b);
}

double drawing_text(struct drawing *d, struct colour colour, double x, double y, double size,
                    double at, const char *text) {
    cairo_text_extents_t extents;
    set(d, colour);
    cairo_set_font_size(d->c, size);
    cairo_text_extents(d->c, text, &extents);
    cairo_move_to(d->c, x - at * extents.x_advance, y);
    cairo_show_text(d->c, text);
    return extents.x_advance;
}

void drawing_box(struct drawing *d, struct colour colour, double x, double y, double width,
                 double height) {
    set(d, colour);
    cairo_rectangle(d->c, x, y, width, height);
    cairo_fill(d->c);
}

void drawing_line(struct drawing *d, struct colour colour, double line_width, double x0, double y0,
                  double x1, double y1) {
    set(d, colour);
    cairo_set_line_width(d->c, line_width);
    cairo_move_to(d->c, x0, y0);
    cairo_line_to(d->c, x1, y1);
    cairo_stroke(d->c);
}

double drawing_round_up(double x) {
    static const double steps[] = {1, 1.2, 1.6, 2, 3, 4, 6, 8, 10};
    if (x <= 0)
        return 1;
    double power = pow(10, floor(log10(x)));
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && x > steps[i] * power)
        i++;
    return steps[i] * power;
}
