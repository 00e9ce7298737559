/* drawing.h - a picture of text, boxes and lines, as an .svg or .png file. */
#ifndef QUIRE_CLIENT_CLI_REPLAY_DRAWING_H
#define QUIRE_CLIENT_CLI_REPLAY_DRAWING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"

struct colour {
    double r, g, b;
};
/* Of text and of things to be told apart; faint lines lie behind. */
extern const struct colour drawing_ink, drawing_faint, drawing_outline;
extern const struct colour drawing_fills[];
extern const size_t drawing_fill_count;

/* All lengths are in points; y grows downwards. */
struct drawing;

bool drawing_known(const char *path); /* whether it ends in .svg or .png */
/* A white sheet. path is borrowed until drawing_close. */
int drawing_open(struct drawing **out, const char *path, double width, double height,
                 struct error *e);
/* Writes the file. ERR_IO, also when something before has failed. NULL is fine. */
int drawing_close(struct drawing *d, struct error *e);

/* at: 0 = x is the text's left end, 0.5 its middle, 1 its right end. Returns its width. */
double drawing_text(struct drawing *d, struct colour colour, double x, double y, double size,
                    double at, const char *text);
void drawing_box(struct drawing *d, struct colour colour, double x, double y, double width,
                 double height);
void drawing_line(struct drawing *d, struct colour colour, double line_width, double x0, double y0,
                  double x1, double y1);

/* The end of an axis: a round number that is not below x. */
double drawing_round_up(double x);

#endif
