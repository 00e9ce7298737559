/* tokenizer.c - opening a tokenizer, and the way of a text through it.
 *
 * A text is first cut at its special tokens; what lies between them goes to byte-level BPE or to
 * the SentencePiece-like encoder. A text of several runs is one text here: runs matter only to the
 * search for special tokens, which may not use bytes of a run that a user wrote. */
#include "worker/engine/tokenizer_inside.h"

#include <stdlib.h>
#include <string.h>

void token_list_clear(struct token_list *l) {
    free(l->ids);
    *l = (struct token_list){0};
}

int token_list_push(struct token_list *l, int32_t id) {
    if (l->count == l->capacity) {
        size_t capacity, size;
        if (!size_mul(l->capacity, 2, &capacity) || !size_add(capacity, 64, &capacity) ||
            !size_mul(capacity, sizeof *l->ids, &size)) {
            return ERR_NOMEM;
        }
        int32_t *ids = realloc(l->ids, size);
        if (ids == NULL) {
            return ERR_NOMEM;
        }
        l->ids = ids;
        l->capacity = capacity;
    }
    l->ids[l->count++] = id;
    return 0;
}

static bool is(struct bytes text, const char *s) {
    return text.size == strlen(s) && memcmp(text.data, s, text.size) == 0;
}

/* Writes down what each token stands for. A token's bytes are never more than its text's. */
static int write_pieces(struct tokenizer *t) {
    const struct vocabulary *v = &t->vocabulary;
    size_t count = (size_t)v->count, n = 0;
    t->piece_starts = malloc((count + 1) * sizeof *t->piece_starts);
    t->pieces = malloc(t->vocabulary.texts.blob_bytes + 1);
    if (t->piece_starts == NULL || t->pieces == NULL) {
        return ERR_NOMEM;
    }
    for (size_t id = 0; id < count; id++) {
        struct bytes text = text_table_at(&v->texts, (uint32_t)id);
        int byte = v->types[id] == TOKEN_BYTE ? vocabulary_byte(text) : -1;
        t->piece_starts[id] = (uint32_t)n;
        if (v->types[id] == TOKEN_NORMAL) {
            n += t->is_spm ? spm_decode(text, t->pieces + n) : bpe_decode(text, t->pieces + n);
        } else if (byte >= 0) {
            t->pieces[n++] = (uint8_t)byte;
        } else if (v->types[id] == TOKEN_USER_DEFINED) {
            memcpy(t->pieces + n, text.data, text.size);
            n += text.size;
        }
    }
    t->piece_starts[count] = (uint32_t)n;
    return 0;
}

static int load_spm(struct tokenizer *t, const struct gguf *g, struct error *e) {
    static const struct vocabulary_defaults d = {1, 2, 0, true, true};
    t->is_spm = true;
    int rc = vocabulary_load(&t->vocabulary, g, &d, e);
    return rc != 0 ? rc : spm_load(&t->spm, &t->vocabulary, e);
}

static int load_bpe(struct tokenizer *t, const struct gguf *g, struct error *e) {
    int rc = bpe_choose(&t->bpe, g, e);
    if (rc != 0) {
        return rc;
    }
    struct vocabulary_defaults d = {11, 11, -1, t->bpe.pre->add_bos, false};
    rc = vocabulary_load(&t->vocabulary, g, &d, e);
    return rc != 0 ? rc : bpe_load(&t->bpe, &t->vocabulary, g, e);
}

static int load(struct tokenizer *t, const struct gguf *g, struct error *e) {
    const char *key = "tokenizer.ggml.model";
    struct bytes model;
    int rc = gguf_get_string(g, key, &model, NULL, e);
    if (rc != 0) {
        return rc;
    }
    if (is(model, "gpt2")) {
        rc = load_bpe(t, g, e);
    } else if (is(model, "llama")) {
        rc = load_spm(t, g, e);
    } else {
        int shown = model.size < 64 ? (int)model.size : 64;
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: tokenizers of kind '%.*s' are not supported, only "
                         "'gpt2' and 'llama'",
                         key, shown, (const char *)model.data);
    }
    rc = rc != 0 ? rc : special_open(&t->specials, &t->vocabulary, e);
    if (rc == 0 && write_pieces(t) != 0) {
        rc = error_set(e, ERR_NOMEM, "no memory for the texts of %d tokens", t->vocabulary.count);
    }
    return rc;
}

int tokenizer_open(struct tokenizer **out, const struct gguf *g, struct error *e) {
    *out = NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return error_set(e, ERR_NOMEM, "no memory for a tokenizer");
    }
    int rc = load(t, g, e);
    if (rc != 0) {
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tokenizer_close(struct tokenizer *t) {
    if (t != NULL) {
        special_close(t->specials);
        bpe_clear(&t->bpe);
        spm_clear(&t->spm);
        vocabulary_clear(&t->vocabulary);
        free(t->pieces);
        free(t->piece_starts);
        free(t);
    }
}

int encoding_room(void **block, size_t *capacity, size_t wanted, size_t element) {
    size_t size;
    if (wanted <= *capacity) {
        return 0;
    }
    if (!size_mul(wanted, element, &size)) {
        return ERR_LIMIT;
    }
    void *bigger = malloc(size);
    if (bigger == NULL) {
        return ERR_NOMEM;
    }
    free(*block);
    *block = bigger;
    *capacity = wanted;
    return 0;
}

static int encode_fragment(struct encoding *c, struct bytes text, size_t start, size_t end) {
    if (start == end) {
        return 0;
    }
    struct bytes fragment = {text.data + start, end - start};
    return c->tokenizer->is_spm ? spm_encode(c, fragment) : bpe_encode(c, fragment);
}

/* Encodes text, in which guarded tokens may stand inside of the given ranges. */
static int encode_text(struct encoding *c, struct bytes text, const struct special_range *ranges,
                       size_t n_ranges) {
    struct special_list list;
    int rc = special_find(c->tokenizer->specials, text, ranges, n_ranges, &list);
    size_t at = 0;
    for (size_t i = 0; rc == 0 && i < list.count; i++) {
        rc = encode_fragment(c, text, at, list.spans[i].start);
        rc = rc != 0 ? rc : token_list_push(c->out, list.spans[i].id);
        at = list.spans[i].end;
    }
    rc = rc != 0 ? rc : encode_fragment(c, text, at, text.size);
    free(list.spans);
    return rc;
}

/* The runs as one text, and the ranges of it that special runs make up. */
struct joined {
    struct bytes text;
    uint8_t *memory; /* NULL: the text is borrowed */
    struct special_range *ranges;
    size_t n_ranges;
};

static void add_range(struct joined *j, size_t start, size_t end) {
    if (j->n_ranges > 0 && j->ranges[j->n_ranges - 1].end == start) {
        j->ranges[j->n_ranges - 1].end = end;
    } else {
        j->ranges[j->n_ranges++] = (struct special_range){start, end};
    }
}

static int join_runs(struct joined *j, const struct tokenize_run *runs, size_t n) {
    size_t size = 0, at = 0;
    *j = (struct joined){0};
    for (size_t i = 0; i < n; i++) {
        if (!size_add(size, runs[i].text.size, &size)) {
            return ERR_LIMIT;
        }
    }
    j->ranges = malloc((n + 1) * sizeof *j->ranges);
    j->memory = n == 1 ? NULL : malloc(size + 1);
    if (j->ranges == NULL || (n != 1 && j->memory == NULL)) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        struct bytes text = runs[i].text;
        if (text.size == 0) {
            continue;
        }
        if (j->memory != NULL) {
            memcpy(j->memory + at, text.data, text.size);
        }
        if (runs[i].special) {
            add_range(j, at, at + text.size);
        }
        at += text.size;
    }
    j->text = n == 1 ? runs[0].text : (struct bytes){j->memory, size};
    return 0;
}

int tokenizer_encode_runs(const struct tokenizer *t, const struct tokenize_run *runs, size_t n,
                          int flags, struct token_list *out, struct error *e) {
    const struct vocabulary *v = &t->vocabulary;
    bool add = (flags & TOKENIZE_BOS) != 0;
    struct encoding c = {.tokenizer = t, .out = out};
    struct joined j;
    size_t before = out->count;
    int rc = join_runs(&j, runs, n);
    if (rc == 0 && add && v->add_bos) {
        rc = token_list_push(out, v->bos);
    }
    rc = rc != 0 ? rc : encode_text(&c, j.text, j.ranges, j.n_ranges);
    if (rc == 0 && add && v->add_eos) {
        rc = token_list_push(out, v->eos);
    }
    if (rc != 0) {
        out->count = before;
        error_set(e, rc, "no room to tokenize %zu bytes of text", j.text.size);
    }
    free(j.memory);
    free(j.ranges);
    merger_clear(&c.merger);
    free(c.glyphs);
    free(c.bytes);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, struct bytes text, int flags,
                     struct token_list *out, struct error *e) {
    struct tokenize_run run = {text, (flags & TOKENIZE_SPECIAL) != 0};
    return tokenizer_encode_runs(t, &run, 1, flags, out, e);
}

struct bytes tokenizer_piece(const struct tokenizer *t, int32_t id) {
    if (id < 0 || id >= t->vocabulary.count) {
        return (struct bytes){0};
    }
    uint32_t start = t->piece_starts[id];
    return (struct bytes){t->pieces + start, t->piece_starts[id + 1] - start};
}

struct bytes tokenizer_text(const struct tokenizer *t, int32_t id) {
    bool known = id >= 0 && id < t->vocabulary.count;
    return known ? text_table_at(&t->vocabulary.texts, (uint32_t)id) : (struct bytes){0};
}

int32_t tokenizer_find(const struct tokenizer *t, struct bytes text) {
    return vocabulary_find(&t->vocabulary, text);
}

#define FIND_PIECE_BYTES 256 /* longest raw text that tokenizer_find_piece looks for */

int32_t tokenizer_find_piece(const struct tokenizer *t, struct bytes raw) {
    uint8_t spelled[3 * FIND_PIECE_BYTES];
    if (raw.size == 0 || raw.size > FIND_PIECE_BYTES) {
        return -1;
    }
    size_t n = t->is_spm ? spm_spell(raw, spelled) : bpe_spell(raw, spelled);
    int32_t id = vocabulary_find(&t->vocabulary, (struct bytes){spelled, n});
    if (id >= 0 && t->vocabulary.types[id] == TOKEN_NORMAL) {
        return id;
    }
    id = vocabulary_find(&t->vocabulary, raw);
    if (id >= 0 && t->vocabulary.types[id] == TOKEN_USER_DEFINED) {
        return id;
    }
    return t->is_spm && raw.size == 1 ? t->spm.byte_tokens[raw.data[0]] : -1;
}

int32_t tokenizer_size(const struct tokenizer *t) {
    return t->vocabulary.count;
}

int32_t tokenizer_bos(const struct tokenizer *t) {
    return t->vocabulary.bos;
}

int32_t tokenizer_eos(const struct tokenizer *t) {
    return t->vocabulary.eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t) {
    return t->vocabulary.add_bos;
}

bool tokenizer_ends(const struct tokenizer *t, int32_t id) {
    return id >= 0 && id < t->vocabulary.count && (t->vocabulary.flags[id] & TOKEN_ENDS) != 0;
}

bool tokenizer_guarded(const struct tokenizer *t, int32_t id) {
    return id >= 0 && id < t->vocabulary.count && (t->vocabulary.flags[id] & TOKEN_GUARDED) != 0;
}

size_t tokenizer_longest(const struct tokenizer *t) {
    return t->vocabulary.longest;
}
