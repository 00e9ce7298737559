/* chart.c - the report as a drawing: how much was reused beside what could have been, and how long
 * the first token took. One group of bars per shape; with several policies one bar for each. */
#include "client/cli/replay/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/replay/drawing.h"

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

struct chart {
    struct drawing *d;
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

/* Three digits, or all before the point. */
static void write_number(char *out, size_t capacity, double x) {
    (void)snprintf(out, capacity, x < 100 ? "%.3g" : "%.0f", x);
}

static void draw_axis(const struct chart *k, double top, double most, const char *title,
                      const char *unit) {
    char label[40];
    drawing_text(k->d, drawing_ink, MARGIN, top - 14, 13, 0, title);
    for (int i = 0; i <= LINES; i++) {
        double y = top + PANEL_HEIGHT * (1 - (double)i / LINES);
        drawing_line(k->d, drawing_faint, 1, MARGIN, y, k->width - MARGIN / 2, y);
        char number[32];
        write_number(number, sizeof number, most * i / LINES);
        (void)snprintf(label, sizeof label, "%s%s", number, unit);
        drawing_text(k->d, drawing_ink, MARGIN - 8, y + 4, 11, 1, label);
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
    drawing_box(k->d, colour, x, top + PANEL_HEIGHT - height, BAR_WIDTH, height);
}

/* A line across a bar's place, with room to see it where it lies on the bar's end. */
static void mark(const struct chart *k, double x, double top, double share, struct colour colour) {
    double y = top + PANEL_HEIGHT * (1 - fmin(fmax(share, 0), 1));
    drawing_line(k->d, colour, 2, x - 1, y, x + BAR_WIDTH + 1, y);
}

static void name_groups(const struct chart *k, double top) {
    for (size_t g = 0; g < k->n_groups; g++)
        drawing_text(k->d, drawing_ink, MARGIN + group_width(k) * ((double)g + 0.5),
                     top + PANEL_HEIGHT + 18, 12, 0.5, group_name(k, g));
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
            bar(k, x, top, share, drawing_fills[i % drawing_fill_count]);
            mark(k, x, top, ideal, drawing_outline);
            (void)snprintf(label, sizeof label, "%.0f", 100 * share);
            drawing_text(k->d, drawing_ink, x + BAR_WIDTH / 2,
                         top + PANEL_HEIGHT * (1 - fmax(share, ideal)) - 5, 11, 0.5, label);
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
    most = drawing_round_up(most * 1.05);
    draw_axis(k, top, most, "First token, ms: median; the line: nine of ten are faster", "");
    for (size_t g = 0; g < k->n_groups; g++) {
        for (size_t i = 0; i < k->n_reports; i++) {
            const struct measure *m = group(k, i, g);
            double x = bar_x(k, g, i, k->n_reports);
            double median = m->first_token_median_ms / most, p90 = m->first_token_p90_ms / most;
            bar(k, x, top, median, drawing_fills[i % drawing_fill_count]);
            mark(k, x, top, p90, drawing_outline);
            write_number(label, sizeof label, m->first_token_median_ms);
            /* Over the bar, or over the line where that is too near. */
            double under = (p90 - median) * PANEL_HEIGHT < LABEL_HEIGHT ? p90 : median;
            drawing_text(k->d, drawing_ink, x + BAR_WIDTH / 2, top + PANEL_HEIGHT * (1 - under) - 5,
                         11, 0.5, label);
        }
    }
    name_groups(k, top);
}

static void draw_key(const struct chart *k, double y) {
    double x = MARGIN;
    for (size_t i = 0; i < k->n_reports; i++) {
        drawing_box(k->d, drawing_fills[i % drawing_fill_count], x, y - 10, 12, 12);
        x += 18 + 24 + drawing_text(k->d, drawing_ink, x + 18, y, 12, 0, k->reports[i].policy);
    }
}

static void draw(const struct chart *k, const struct report_facts *facts) {
    char title[256];
    (void)snprintf(title, sizeof title,
                   "quire replay %.80s: %zu conversations, seed %" PRIu64 ", %" PRIu32 " worker%s",
                   facts->trace, facts->conversations, facts->seed, k->reports[0].workers,
                   k->reports[0].workers == 1 ? "" : "s");
    drawing_text(k->d, drawing_ink, MARGIN, 28, 15, 0, title);
    draw_shares(k, TITLE_HEIGHT + 28);
    draw_times(k, TITLE_HEIGHT + 28 + PANEL_HEIGHT + PANEL_GAP);
    if (k->reports[0].policy[0] != '\0')
        draw_key(k, k->height - 16);
}

bool report_chart_known(const char *path) {
    return drawing_known(path);
}

int report_chart(const struct report *reports, size_t n, const struct report_facts *facts,
                 const char *path, struct error *e) {
    struct chart k = {.reports = reports, .n_reports = n};
    k.n_groups = reports[0].n_shapes > 1 ? reports[0].n_shapes + 1 : 1;
    double groups = (double)k.n_groups * ((double)n * (BAR_WIDTH + BAR_GAP) - BAR_GAP + GROUP_GAP);
    k.width = 1.5 * MARGIN + fmax(groups, PANELS_WIDTH_LEAST);
    k.height = TITLE_HEIGHT + 2 * PANEL_HEIGHT + PANEL_GAP + 96;
    int rc = drawing_open(&k.d, path, k.width, k.height, e);
    if (rc != 0)
        return rc;
    draw(&k, facts);
    return drawing_close(k.d, e);
}
