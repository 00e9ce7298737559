/* bench_engine_plot.c - figures as bars: the part of the limit that was reached, and, when other
 * engines were asked, how many times as fast as the best of them we are.
 *
 * A group of bars is one thing that was measured, a bar is one model. Tiles are their own group:
 * the models there are towers. */
#include "tests/bench/bench_engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/replay/drawing.h"

/* Lengths in points. */
#define LEFT 60.0
#define RIGHT 24.0
#define TOP 40.0
#define PANEL 210.0
#define PANEL_GAP 84.0
#define KEY 44.0
#define BAR 15.0
#define BAR_GAP 2.0
#define GROUP_GAP 22.0
#define LABEL 8.5
#define NAME_WIDTH 74.0 /* of what stands under a group */
#define WIDTH_LEAST 480.0
#define LINES 4 /* across a panel */
#define KEY_COLUMN 150.0

#define NAMES_MAX 32

struct plot {
    const struct bench *b;
    struct drawing *d;
    const char *things[NAMES_MAX], *models[NAMES_MAX]; /* in the order they came */
    int n_things, n_models;
    double width;
};

typedef double value_of(const struct bench *b, const struct figure *f);

static double percent_of(const struct bench *b, const struct figure *f) {
    (void)b;
    return f->limit > 0 ? f->percent : 0;
}

static bool is_shown(const struct figure *f) {
    return f->limit > 0 && strcmp(f->model, "machine") != 0;
}

static int index_of(const char *const *names, int n, const char *name) {
    int i = 0;
    while (i < n && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static void add_name(const char **names, int *n, const char *name) {
    if (*n < NAMES_MAX && index_of(names, *n, name) == *n)
        names[(*n)++] = name;
}

/* The figures of one thing, in the order of the models; returns how many. */
static int bars_of(const struct plot *p, const char *thing, const struct figure **bars) {
    int n = 0;
    for (int m = 0; m < p->n_models; m++)
        for (int i = 0; i < p->b->n_figures; i++) {
            const struct figure *f = &p->b->figures[i];
            if (is_shown(f) && n < NAMES_MAX && strcmp(f->what, thing) == 0 &&
                strcmp(f->model, p->models[m]) == 0)
                bars[n++] = f;
        }
    return n;
}

static double group_width(const struct plot *p, const char *thing) {
    const struct figure *bars[NAMES_MAX];
    return fmax(bars_of(p, thing, bars) * (BAR + BAR_GAP) - BAR_GAP, NAME_WIDTH) + GROUP_GAP;
}

static void draw_bar(const struct plot *p, double x, double bottom, double height, double value,
                     int digits, const struct figure *f) {
    char label[16];
    int model = index_of(p->models, p->n_models, f->model);
    (void)snprintf(label, sizeof label, "%.*f", digits, value);
    drawing_box(p->d, drawing_fills[(size_t)model % drawing_fill_count], x, bottom - height, BAR,
                height);
    drawing_text(p->d, drawing_ink, x + BAR / 2, bottom - height - 3, LABEL, 0.5, label);
}

static void draw_lines(const struct plot *p, double top, double most, const char *title) {
    drawing_text(p->d, drawing_ink, LEFT, top - 14, 13, 0, title);
    for (int i = 0; i <= LINES; i++) {
        char label[16];
        double y = top + PANEL * (1 - (double)i / LINES);
        (void)snprintf(label, sizeof label, "%.3g", most * i / LINES);
        drawing_line(p->d, drawing_faint, 1, LEFT, y, p->width - RIGHT, y);
        drawing_text(p->d, drawing_ink, LEFT - 8, y + 4, 11, 1, label);
    }
}

static void draw_panel(const struct plot *p, double top, double most, value_of *value, int digits) {
    double x = LEFT + GROUP_GAP / 2;
    for (int t = 0; t < p->n_things; t++) {
        const struct figure *bars[NAMES_MAX];
        int n = bars_of(p, p->things[t], bars);
        double width = group_width(p, p->things[t]) - GROUP_GAP;
        double at = x + (width - n * (BAR + BAR_GAP) + BAR_GAP) / 2;
        for (int i = 0; i < n; i++, at += BAR + BAR_GAP) {
            double v = value(p->b, bars[i]);
            if (v > 0)
                draw_bar(p, at, top + PANEL, PANEL * fmin(v / most, 1), v, digits, bars[i]);
        }
        drawing_text(p->d, drawing_ink, x + width / 2, top + PANEL + 16, 11, 0.5, p->things[t]);
        x += width + GROUP_GAP;
    }
}

static double highest(const struct plot *p, value_of *value) {
    double most = 0;
    for (int i = 0; i < p->b->n_figures; i++)
        if (is_shown(&p->b->figures[i]))
            most = fmax(most, value(p->b, &p->b->figures[i]));
    return most;
}

/* Where we are as fast as they are. */
static void draw_even(const struct plot *p, double top, double most) {
    double y = top + PANEL * (1 - 1 / most);
    drawing_line(p->d, drawing_outline, 1.5, LEFT, y, p->width - RIGHT, y);
}

static int key_columns(const struct plot *p) {
    return (int)fmax(1, floor((p->width - LEFT - RIGHT) / KEY_COLUMN));
}

static void draw_key(const struct plot *p, double y) {
    for (int m = 0; m < p->n_models; m++) {
        double x = LEFT + m % key_columns(p) * KEY_COLUMN;
        double line = y + m / key_columns(p) * 20.0;
        drawing_box(p->d, drawing_fills[(size_t)m % drawing_fill_count], x, line - 10, 12, 12);
        drawing_text(p->d, drawing_ink, x + 18, line, 11, 0, p->models[m]);
    }
}

static void draw(const struct plot *p, double ratio_most) {
    double top = TOP;
    draw_lines(p, top, 100, "Part of what this machine could reach, percent");
    draw_panel(p, top, 100, percent_of, 0);
    top += PANEL + PANEL_GAP;
    if (ratio_most > 0) {
        double most = drawing_round_up(ratio_most * 1.08);
        draw_lines(p, top, most, "Times as fast as the best build of llama.cpp");
        draw_even(p, top, most);
        draw_panel(p, top, most, show_ratio_best, 1);
        top += PANEL + PANEL_GAP;
    }
    draw_key(p, top - PANEL_GAP + KEY + 10);
}

bool plot_known(const char *path) {
    return drawing_known(path);
}

int plot_write(const struct bench *b, struct error *e) {
    struct plot p = {.b = b, .width = LEFT + RIGHT};
    for (int i = 0; i < b->n_figures; i++)
        if (is_shown(&b->figures[i])) {
            add_name(p.things, &p.n_things, b->figures[i].what);
            add_name(p.models, &p.n_models, b->figures[i].model);
        }
    if (p.n_things == 0)
        return error_set(e, ERR_NOT_FOUND, "there is no figure to draw");
    for (int t = 0; t < p.n_things; t++)
        p.width += group_width(&p, p.things[t]);
    p.width = fmax(p.width, WIDTH_LEAST);
    double ratio_most = highest(&p, show_ratio_best);
    double height = TOP + (ratio_most > 0 ? 2 : 1) * (PANEL + PANEL_GAP) +
                    (p.n_models + key_columns(&p) - 1) / key_columns(&p) * 20.0;
    int rc = drawing_open(&p.d, b->plot, p.width, height, e);
    if (rc != 0)
        return rc;
    draw(&p, ratio_most);
    return drawing_close(p.d, e);
}
