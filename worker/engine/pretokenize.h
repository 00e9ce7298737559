/* pretokenize.h - cutting text into the pieces that byte-pair merges never cross.
 *
 * Each name that a GGUF's tokenizer.ggml.pre may have stands for one to four regular expressions,
 * applied in passes: a pass cuts every piece of the pass before it into its matches and the gaps
 * between them. The matchers are written by hand and take time linear in the text. */
#ifndef QUIRE_ENGINE_PRETOKENIZE_H
#define QUIRE_ENGINE_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "worker/engine/unicode.h"

/* A character and its classes in one number. */
typedef uint32_t glyph;
static inline glyph glyph_make(uint32_t code) {
    return code << 8 | unicode_classes(code);
}
static inline uint32_t glyph_code(glyph g) {
    return g >> 8;
}

/* The end (> at) of the piece that begins at `at`; it never looks past end. */
typedef size_t (*pretokenize_pass)(const glyph *g, size_t at, size_t end);

#define PRETOKENIZE_MAX_PASSES 4

struct pretokenizer {
    const char *name;
    bool add_bos;       /* what the name forces when the file does not say */
    bool ignore_merges; /* a piece that is a token as a whole needs no merges */
    pretokenize_pass passes[PRETOKENIZE_MAX_PASSES]; /* ends at the first NULL */
};

/* The one of that name, or NULL. Static storage. */
const struct pretokenizer *pretokenizer_find(struct bytes name);

/* Calls each(context, piece, n) for every piece of text in order; stops when it returns non-zero
 * and returns that. No piece is empty. */
typedef int (*piece_function)(void *context, const glyph *piece, size_t n);
int pretokenize(const struct pretokenizer *p, const glyph *text, size_t n, piece_function each,
                void *context);

#endif
