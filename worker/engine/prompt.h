/* prompt.h - the final sequence of position units of a request.
 *
 * Each run of text is tokenized whole; each picture becomes its marker tokens and the rows of its
 * tiles' embeddings, in the order of the idefics3 layout: tiles row by row, "\n" after each row but
 * the last, "\n\n" after the last, then the overview. Picture positions follow from this sequence
 * and from nothing else. */
#ifndef QUIRE_ENGINE_PROMPT_H
#define QUIRE_ENGINE_PROMPT_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/template.h"
#include "worker/engine/tokenizer.h"

/* One position: a token id >= 0, or row `row` of picture `picture` (then token is -1). Rows count
 * through all tiles of the picture in prompt order: row = tile * embeddings_per_tile + i; the
 * overview is the last tile. */
struct position_unit {
    int32_t token;
    uint32_t picture;
    uint32_t row;
};

/* How a picture is laid out; from preprocess_plan. */
struct picture_layout {
    int32_t columns, rows; /* grid of tiles, without the overview */
    int32_t embeddings_per_tile;
};

/* Where one part of a message stands: all of it lies in one stretch, which is a picture or the
 * texts between two pictures, tokenized together. */
struct prompt_span {
    uint32_t message, part; /* indices in the conversation */
    size_t skipped;         /* bytes of the part's begin that the template leaves out */
    size_t before, bytes;   /* of the stretch's text: before the part, and the part's own */
    size_t stretch_bytes;   /* 0: a picture */
    uint32_t first, last;   /* positions of the stretch, [first, last) */
};

struct prompt {
    struct position_unit *units;
    size_t count, capacity;
    struct prompt_span *spans; /* in the order of the prompt */
    size_t n_spans;
};

/* Marker tokens of the idefics3 layout, looked up once; ERR_BAD_MODEL if the vocabulary lacks one.
 * row_col is tokenized as text when the vocabulary has no single token for a large grid. */
struct prompt_markers;
int prompt_markers_open(struct prompt_markers **out, const struct tokenizer *t, struct error *e);
void prompt_markers_close(struct prompt_markers *m);

/* Builds the sequence. `markers` may be NULL when n_layouts is 0. ERR_TOO_LONG past max_positions,
 * before memory is taken for them. BOS goes first if the tokenizer adds one. */
int prompt_build(struct prompt *out, const struct tokenizer *t, const struct prompt_markers *m,
                 const struct rendering *r, const struct picture_layout *layouts, size_t n_layouts,
                 size_t max_positions, struct error *e);
void prompt_clear(struct prompt *p);

/* A point in the conversation: behind the first `offset` bytes of a text part, or behind a picture.
 */
struct prompt_mark {
    uint32_t message, part;
    size_t offset;
    uint32_t position; /* out: so many positions come before it */
};
/* Finds the positions of marks, which stand in the conversation's order. A position counts when all
 * that its token stands for lies before the mark; where tokens don't stand for bytes one by one the
 * place in the stretch is taken in proportion. A mark of what the template leaves out is where the
 * one before it is. Positions never fall, and are at most p->count. */
void prompt_locate(const struct prompt *p, const struct tokenizer *t, struct prompt_mark *marks,
                   size_t n_marks);

#endif
