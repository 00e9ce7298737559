/* chart.c - the report as a drawing: how much was reused beside what could have been, and how long
 * the first token took. One group of bars per shape; with several policies one bar for each. */
#include "client/cli/replay/report.h"

#include <cairo-svg.h>
#include <cairo.h>
#include <fontconfig/fontconfig.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Lengths in points of the drawing. */
#define MARGIN 64.0
#define PANEL_HEIGHT 230.0
#define PANEL_GAP 76.0
#define TITLE_HEIGHT 48.0
#define BAR_WIDTH 32.0
#define BAR_GAP 4.0
#define GROUP_GAP 34.0
#define PANELS_WIDTH_LEAST 560.0
#define LABEL_HEIGHT 20.0
#define LINES 4 /* across a panel */
#define PNG_SCALE 2.0

struct colour {
    double r, g, b;
};
static const struct colour ink = {0.13, 0.14, 0.17}, faint = {0.85, 0.86, 0.88},
                           outline = {0.45, 0.47, 0.52};
static const struct colour fills[] = {
    {0.16, 0.44, 0.69}, {0.89, 0.55, 0.20}, {0.42, 0.62, 0.32}, {0.60, 0.42, 0.66}};
#define FILLS (sizeof fills / sizeof fills[0])

struct chart {
    cairo_t *c;
    const struct report *reports;
    size_t n_reports, n_groups;
    double width, height;
};

static const struct measure *group(const struct chart *k, size_t report, size_t g) {
    const struct report *r = &k->reports[report];
    return g < r->n_shapes && k->n_groups > 1 ? &r->shapes[g] : &r->total;
}

static const char *group_name(const struct chart *k, size_t g) {
    return k->n_groups > 1 ? group(k, 0, g)->name : k->reports[0].shapes[0].name;
}

static void set(const struct chart *k, struct colour colour) {
    cairo_set_source_rgb(k->c, colour.r, colour.g, colour.b);
}

/* at: 0 = x is the text's left end, 0.5 its middle, 1 its right end. */
static void write_text(const struct chart *k, double x, double y, double size, double at,
                       const char *text) {
    cairo_text_extents_t extents;
    cairo_set_font_size(k->c, size);
    cairo_text_extents(k->c, text, &extents);
    cairo_move_to(k->c, x - at * extents.x_advance, y);
    cairo_show_text(k->c, text);
}

/* The end of an axis: a round number that is not below x. */
static double round_up(double x) {
    static const double steps[] = {1, 1.2, 1.6, 2, 3, 4, 6, 8, 10};
    if (x <= 0)
        return 1;
    double power = pow(10, floor(log10(x)));
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && x > steps[i] * power)
        i++;
    return steps[i] * power;
}

/* Three digits, or all before the point. */
static void write_number(char *out, size_t capacity, double x) {
    (void)snprintf(out, capacity, x < 100 ? "%.3g" : "%.0f", x);
}

static void draw_axis(const struct chart *k, double top, double most, const char *title,
                      const char *unit) {
    char label[40];
    set(k, ink);
    write_text(k, MARGIN, top - 14, 13, 0, title);
    for (int i = 0; i <= LINES; i++) {
        double y = top + PANEL_HEIGHT * (1 - (double)i / LINES);
        set(k, faint);
        cairo_set_line_width(k->c, 1);
        cairo_move_to(k->c, MARGIN, y);
        cairo_line_to(k->c, k->width - MARGIN / 2, y);
        cairo_stroke(k->c);
        char number[32];
        write_number(number, sizeof number, most * i / LINES);
        (void)snprintf(label, sizeof label, "%s%s", number, unit);
        set(k, ink);
        write_text(k, MARGIN - 8, y + 4, 11, 1, label);
    }
}

static double group_width(const struct chart *k) {
    return (k->width - 1.5 * MARGIN) / (double)k->n_groups;
}

/* The left edge of a bar, with the bars of a group in its middle. */
static double bar_x(const struct chart *k, size_t g, size_t bar, size_t bars) {
    double all = (double)bars * (BAR_WIDTH + BAR_GAP) - BAR_GAP;
    return MARGIN + group_width(k) * ((double)g + 0.5) - all / 2 +
           (double)bar * (BAR_WIDTH + BAR_GAP);
}

static void bar(const struct chart *k, double x, double top, double share, struct colour colour) {
    double height = PANEL_HEIGHT * fmin(fmax(share, 0), 1);
    set(k, colour);
    cairo_rectangle(k->c, x, top + PANEL_HEIGHT - height, BAR_WIDTH, height);
    cairo_fill(k->c);
}

/* A line across a bar's place, with room to see it where it lies on the bar's end. */
static void mark(const struct chart *k, double x, double top, double share, struct colour colour) {
    double y = top + PANEL_HEIGHT * (1 - fmin(fmax(share, 0), 1));
    set(k, colour);
    cairo_set_line_width(k->c, 2);
    cairo_move_to(k->c, x - 1, y);
    cairo_line_to(k->c, x + BAR_WIDTH + 1, y);
    cairo_stroke(k->c);
}

static void name_groups(const struct chart *k, double top) {
    set(k, ink);
    for (size_t g = 0; g < k->n_groups; g++)
        write_text(k, MARGIN + group_width(k) * ((double)g + 0.5), top + PANEL_HEIGHT + 18, 12, 0.5,
                   group_name(k, g));
}

static void draw_shares(const struct chart *k, double top) {
    char label[16];
    draw_axis(k, top, 100, "Prompt positions reused; the line: a cache without bounds", " %");
    for (size_t g = 0; g < k->n_groups; g++) {
        for (size_t i = 0; i < k->n_reports; i++) {
            const struct measure *m = group(k, i, g);
            double x = bar_x(k, g, i, k->n_reports);
            double share = measure_share(m->reused_positions, m->prompt_positions);
            double ideal = measure_share(m->ideal_positions, m->prompt_positions);
            bar(k, x, top, share, fills[i % FILLS]);
            mark(k, x, top, ideal, outline);
            (void)snprintf(label, sizeof label, "%.0f", 100 * share);
            set(k, ink);
            write_text(k, x + BAR_WIDTH / 2, top + PANEL_HEIGHT * (1 - fmax(share, ideal)) - 5, 11,
                       0.5, label);
        }
    }
    name_groups(k, top);
}

static void draw_times(const struct chart *k, double top) {
    double most = 0;
    char label[16];
    for (size_t g = 0; g < k->n_groups; g++)
        for (size_t i = 0; i < k->n_reports; i++)
            most = fmax(most, group(k, i, g)->first_token_p90_ms);
    most = round_up(most * 1.05);
    draw_axis(k, top, most, "First token, ms: median; the line: nine of ten are faster", "");
    for (size_t g = 0; g < k->n_groups; g++) {
        for (size_t i = 0; i < k->n_reports; i++) {
            const struct measure *m = group(k, i, g);
            double x = bar_x(k, g, i, k->n_reports);
            double median = m->first_token_median_ms / most, p90 = m->first_token_p90_ms / most;
            bar(k, x, top, median, fills[i % FILLS]);
            mark(k, x, top, p90, outline);
            write_number(label, sizeof label, m->first_token_median_ms);
            /* Over the bar, or over the line where that is too near. */
            double under = (p90 - median) * PANEL_HEIGHT < LABEL_HEIGHT ? p90 : median;
            set(k, ink);
            write_text(k, x + BAR_WIDTH / 2, top + PANEL_HEIGHT * (1 - under) - 5, 11, 0.5, label);
        }
    }
    name_groups(k, top);
}

static void draw_key(const struct chart *k, double y) {
    double x = MARGIN;
    for (size_t i = 0; i < k->n_reports; i++) {
        cairo_text_extents_t extents;
        set(k, fills[i % FILLS]);
        cairo_rectangle(k->c, x, y - 10, 12, 12);
        cairo_fill(k->c);
        set(k, ink);
        write_text(k, x + 18, y, 12, 0, k->reports[i].policy);
        cairo_text_extents(k->c, k->reports[i].policy, &extents);
        x += 18 + extents.x_advance + 24;
    }
}

static void draw(const struct chart *k, const struct report_facts *facts) {
    char title[256];
    (void)snprintf(title, sizeof title,
                   "quire replay %.80s: %zu conversations, seed %" PRIu64 ", %" PRIu32 " worker%s",
                   facts->trace, facts->conversations, facts->seed, k->reports[0].workers,
                   k->reports[0].workers == 1 ? "" : "s");
    cairo_set_source_rgb(k->c, 1, 1, 1);
    cairo_paint(k->c);
    cairo_select_font_face(k->c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    set(k, ink);
    write_text(k, MARGIN, 28, 15, 0, title);
    draw_shares(k, TITLE_HEIGHT + 28);
    draw_times(k, TITLE_HEIGHT + 28 + PANEL_HEIGHT + PANEL_GAP);
    if (k->reports[0].policy[0] != '\0')
        draw_key(k, k->height - 16);
}

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

bool report_chart_known(const char *path) {
    return ends_in(path, ".svg") || ends_in(path, ".png");
}

int report_chart(const struct report *reports, size_t n, const struct report_facts *facts,
                 const char *path, struct error *e) {
    struct chart k = {.reports = reports, .n_reports = n};
    bool svg = ends_in(path, ".svg");
    double scale = svg ? 1 : PNG_SCALE;
    k.n_groups = reports[0].n_shapes > 1 ? reports[0].n_shapes + 1 : 1;
    double groups = (double)k.n_groups * ((double)n * (BAR_WIDTH + BAR_GAP) - BAR_GAP + GROUP_GAP);
    k.width = 1.5 * MARGIN + fmax(groups, PANELS_WIDTH_LEAST);
    k.height = TITLE_HEIGHT + 2 * PANEL_HEIGHT + PANEL_GAP + 96;
    cairo_surface_t *surface =
        svg ? cairo_svg_surface_create(path, k.width, k.height)
            : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(scale * k.width),
                                         (int)(scale * k.height));
    k.c = cairo_create(surface);
    cairo_scale(k.c, scale, scale);
    draw(&k, facts);
    cairo_status_t status = cairo_status(k.c);
    if (status == CAIRO_STATUS_SUCCESS && !svg)
        status = cairo_surface_write_to_png(surface, path);
    cairo_destroy(k.c);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    cairo_debug_reset_static_data(); /* the fonts it would keep, */
    FcFini();                        /* and where they were found */
    return status == CAIRO_STATUS_SUCCESS ? 0
                                          : error_set(e, ERR_IO, "%s can't be written: %s", path,
                                                      cairo_status_to_string(status));
}
