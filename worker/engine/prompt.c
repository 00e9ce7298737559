/* prompt.c - tokens and pictures in one sequence.
 *
 * Texts between two pictures are tokenized together, whoever wrote them, as the reference does with
 * a rendered prompt. How many positions a picture takes is known from its layout, and no token
 * stands for more than tokenizer_longest bytes, so a prompt that can't fit is refused before it is
 * built. */
#include "worker/engine/prompt.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Grids up to this many rows and columns have their marks looked up ahead. */
#define MARKED_SIDE 16

struct prompt_markers {
    const struct tokenizer *tokenizer;
    int32_t fake, global, line, two_lines;
    int32_t tile[MARKED_SIDE][MARKED_SIDE]; /* -1: no single token */
};

static int32_t find_token(const struct tokenizer *t, const char *text) {
    return tokenizer_find(t, (struct bytes){(const uint8_t *)text, strlen(text)});
}

static int32_t find_piece(const struct tokenizer *t, const char *text) {
    return tokenizer_find_piece(t, (struct bytes){(const uint8_t *)text, strlen(text)});
}

#define TILE_MARK_BYTES 48

static void write_tile_mark(char out[TILE_MARK_BYTES], int32_t row, int32_t column) {
    snprintf(out, TILE_MARK_BYTES, "<row_%d_col_%d>", row + 1, column + 1);
}

int prompt_markers_open(struct prompt_markers **out, const struct tokenizer *t, struct error *e) {
    *out = NULL;
    struct prompt_markers found = {
        .tokenizer = t,
        .fake = find_token(t, "<fake_token_around_image>"),
        .global = find_token(t, "<global-img>"),
        .line = find_piece(t, "\n"),
        .two_lines = find_piece(t, "\n\n"),
    };
    const char *missing = found.fake < 0        ? "<fake_token_around_image>"
                          : found.global < 0    ? "<global-img>"
                          : found.line < 0      ? "one line end"
                          : found.two_lines < 0 ? "two line ends"
                                                : NULL;
    if (missing != NULL) {
        return error_set(e, ERR_BAD_MODEL,
                         "the vocabulary has no token for %s, which pictures need", missing);
    }
    for (int32_t row = 0; row < MARKED_SIDE; row++) {
        for (int32_t column = 0; column < MARKED_SIDE; column++) {
            char mark[TILE_MARK_BYTES];
            write_tile_mark(mark, row, column);
            found.tile[row][column] = find_token(t, mark);
        }
    }
    struct prompt_markers *m = malloc(sizeof *m);
    if (m == NULL) {
        return error_set(e, ERR_NOMEM, "no memory for the marks of pictures");
    }
    *m = found;
    *out = m;
    return 0;
}

void prompt_markers_close(struct prompt_markers *m) {
    free(m);
}

void prompt_clear(struct prompt *p) {
    free(p->units);
    free(p->spans);
    *p = (struct prompt){0};
}

/* What building a prompt needs at every step. */
struct build {
    struct prompt *prompt;
    const struct tokenizer *tokenizer;
    const struct prompt_markers *markers;
    size_t max_positions;
    struct token_list tokens; /* of the text at hand */
    struct tokenize_run *texts;
    struct error *e;
};

static int too_long(const struct build *b) {
    return error_set(b->e, ERR_TOO_LONG, "the prompt takes more than the %zu positions there are",
                     b->max_positions);
}

/* Makes room for `more` units. */
static int reserve(struct build *b, size_t more) {
    struct prompt *p = b->prompt;
    if (more > b->max_positions - p->count) {
        return too_long(b);
    }
    if (p->count + more > p->capacity) {
        size_t capacity = (p->count + more) * 2 + 64, bytes;
        capacity = capacity < b->max_positions ? capacity : b->max_positions;
        struct position_unit *units =
            size_mul(capacity, sizeof *units, &bytes) ? realloc(p->units, bytes) : NULL;
        if (units == NULL) {
            return error_set(b->e, ERR_NOMEM, "no memory for %zu positions", capacity);
        }
        p->units = units;
        p->capacity = capacity;
    }
    return 0;
}

static int add_tokens(struct build *b, const int32_t *ids, size_t n) {
    int rc = reserve(b, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        b->prompt->units[b->prompt->count++] = (struct position_unit){.token = ids[i]};
    }
    return rc;
}

/* Tokenizes the texts of runs [0, n) as one and adds them. */
static int add_text(struct build *b, const struct run *runs, size_t n) {
    size_t bytes = 0, longest = tokenizer_longest(b->tokenizer);
    for (size_t i = 0; i < n; i++) {
        b->texts[i] = (struct tokenize_run){runs[i].text, runs[i].kind == RUN_TEMPLATE};
        if (!size_add(bytes, runs[i].text.size, &bytes)) {
            return too_long(b);
        }
    }
    if (bytes / longest > b->max_positions - b->prompt->count) {
        return too_long(b);
    }
    b->tokens.count = 0;
    int rc = tokenizer_encode_runs(b->tokenizer, b->texts, n, TOKENIZE_PLAIN, &b->tokens, b->e);
    return rc != 0 ? rc : add_tokens(b, b->tokens.ids, b->tokens.count);
}

static int add_tile_mark(struct build *b, int32_t row, int32_t column) {
    if (row < MARKED_SIDE && column < MARKED_SIDE && b->markers->tile[row][column] >= 0) {
        return add_tokens(b, &b->markers->tile[row][column], 1);
    }
    char mark[TILE_MARK_BYTES];
    write_tile_mark(mark, row, column);
    struct bytes text = {(const uint8_t *)mark, strlen(mark)};
    b->tokens.count = 0;
    int rc = tokenizer_encode(b->tokenizer, text, TOKENIZE_SPECIAL, &b->tokens, b->e);
    return rc != 0 ? rc : add_tokens(b, b->tokens.ids, b->tokens.count);
}

static int add_tile(struct build *b, uint32_t picture, uint32_t tile, int32_t embeddings) {
    int rc = reserve(b, (size_t)embeddings);
    for (int32_t i = 0; rc == 0 && i < embeddings; i++) {
        uint32_t row = tile * (uint32_t)embeddings + (uint32_t)i;
        b->prompt->units[b->prompt->count++] = (struct position_unit){-1, picture, row};
    }
    return rc;
}

/* A picture's tiles row by row, if it was cut at all. */
static int add_grid(struct build *b, uint32_t picture, const struct picture_layout *l) {
    const struct prompt_markers *m = b->markers;
    int rc = 0;
    for (int32_t row = 0; rc == 0 && row < l->rows; row++) {
        for (int32_t column = 0; rc == 0 && column < l->columns; column++) {
            uint32_t tile = (uint32_t)row * (uint32_t)l->columns + (uint32_t)column;
            rc = add_tokens(b, &m->fake, 1);
            rc = rc != 0 ? rc : add_tile_mark(b, row, column);
            rc = rc != 0 ? rc : add_tile(b, picture, tile, l->embeddings_per_tile);
        }
        const int32_t *end = row + 1 < l->rows ? &m->line : &m->two_lines;
        rc = rc != 0 ? rc : add_tokens(b, end, 1);
    }
    return rc;
}

/* Whether the embeddings of a picture alone pass what is left. */
static bool is_too_large(const struct build *b, const struct picture_layout *l) {
    size_t tiles, rows;
    return !size_mul((size_t)l->rows, (size_t)l->columns, &tiles) || !size_add(tiles, 1, &tiles) ||
           !size_mul(tiles, (size_t)l->embeddings_per_tile, &rows) || rows > UINT32_MAX ||
           rows > b->max_positions - b->prompt->count;
}

static int add_picture(struct build *b, uint32_t picture, const struct picture_layout *l) {
    if (l->rows < 0 || l->columns < 0 || l->embeddings_per_tile <= 0) {
        return error_set(b->e, ERR_INTERNAL, "picture %u has a layout of %d x %d tiles of %d",
                         picture, l->columns, l->rows, l->embeddings_per_tile);
    }
    if (is_too_large(b, l)) {
        return too_long(b);
    }
    const struct prompt_markers *m = b->markers;
    const int32_t opening[] = {m->fake, m->global};
    uint32_t overview = (uint32_t)l->rows * (uint32_t)l->columns;
    int rc = overview > 0 ? add_grid(b, picture, l) : 0;
    rc = rc != 0 ? rc : add_tokens(b, opening, 2);
    rc = rc != 0 ? rc : add_tile(b, picture, overview, l->embeddings_per_tile);
    return rc != 0 ? rc : add_tokens(b, &m->fake, 1);
}

/* Notes where the parts of runs [first, first + n) stand; their stretch began at `begin`. */
static void add_spans(struct build *b, const struct rendering *r, size_t first, size_t n,
                      size_t begin) {
    struct prompt *p = b->prompt;
    size_t bytes = 0, before = 0, run = first;
    for (size_t i = first; i < first + n; i++) {
        bytes += r->runs[i].kind == RUN_PICTURE ? 0 : r->runs[i].text.size;
    }
    while (p->n_spans < r->n_spans && r->spans[p->n_spans].run < first + n) {
        const struct run_span *s = &r->spans[p->n_spans];
        for (; run < s->run; run++) {
            before += r->runs[run].text.size;
        }
        p->spans[p->n_spans++] = (struct prompt_span){
            .message = s->message,
            .part = s->part,
            .skipped = s->skipped,
            .before = before + s->offset,
            .bytes = s->bytes,
            .stretch_bytes = bytes,
            .first = (uint32_t)begin,
            .last = (uint32_t)p->count,
        };
    }
}

static int add_runs(struct build *b, const struct rendering *r,
                    const struct picture_layout *layouts, size_t n_layouts) {
    int rc = 0;
    for (size_t i = 0, n; rc == 0 && i < r->n_runs; i += n) {
        for (n = 0; i + n < r->n_runs && r->runs[i + n].kind != RUN_PICTURE;) {
            n++;
        }
        size_t begin = b->prompt->count;
        if (n > 0) {
            rc = add_text(b, r->runs + i, n);
            add_spans(b, r, i, n, begin);
            continue;
        }
        n = 1;
        uint32_t picture = r->runs[i].picture;
        if (picture >= n_layouts || b->markers == NULL) {
            return error_set(b->e, ERR_BAD_REQUEST,
                             "the prompt names picture %u, but there are %zu", picture, n_layouts);
        }
        rc = add_picture(b, picture, &layouts[picture]);
        add_spans(b, r, i, 1, begin);
    }
    return rc;
}

/* Puts BOS first, unless the text began with it. */
static int add_bos(struct build *b) {
    int32_t bos = tokenizer_bos(b->tokenizer);
    struct prompt *p = b->prompt;
    if (p->count > 0 && p->units[0].token == bos) {
        return 0;
    }
    int rc = reserve(b, 1);
    if (rc == 0) {
        memmove(p->units + 1, p->units, p->count * sizeof *p->units);
        p->units[0] = (struct position_unit){.token = bos};
        p->count++;
        for (size_t i = 0; i < p->n_spans; i++) {
            p->spans[i].first++;
            p->spans[i].last++;
        }
    }
    return rc;
}

int prompt_build(struct prompt *out, const struct tokenizer *t, const struct prompt_markers *m,
                 const struct rendering *r, const struct picture_layout *layouts, size_t n_layouts,
                 size_t max_positions, struct error *e) {
    *out = (struct prompt){0};
    struct build b = {
        .prompt = out, .tokenizer = t, .markers = m, .max_positions = max_positions, .e = e};
    b.texts = malloc((r->n_runs + 1) * sizeof *b.texts);
    out->spans = malloc((r->n_spans + 1) * sizeof *out->spans);
    bool short_of_memory = b.texts == NULL || out->spans == NULL;
    int rc = short_of_memory ? error_set(e, ERR_NOMEM, "no memory for %zu runs", r->n_runs) : 0;
    rc = rc != 0 ? rc : add_runs(&b, r, layouts, n_layouts);
    if (rc == 0 && tokenizer_adds_bos(t)) {
        rc = add_bos(&b);
    }
    token_list_clear(&b.tokens);
    free(b.texts);
    if (rc != 0) {
        prompt_clear(out);
    }
    return rc;
}
