/* tokenizer_bpe.c - byte-level byte-pair encoding.
 *
 * Merges are kept by the numbers of their texts, not by the texts: the vocabulary's table also
 * holds whatever a merge names or makes that is no token, so that a pair is one look-up of two
 * numbers. A piece's bytes are the first symbols; which characters they are in the byte alphabet
 * matters only when the vocabulary is read. */
#include "worker/engine/tokenizer_inside.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

struct bpe_pair {
    uint32_t left, right;
    uint32_t rank; /* MERGE_NONE: free */
};

/* The byte alphabet: printable bytes of Latin-1 are themselves, the other 68 follow U+0100. */
static bool is_printable(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

#define FIRST_HIDDEN 0x100u
#define HIDDEN_BYTES 68

static uint32_t alphabet_code(uint8_t byte) {
    if (is_printable(byte)) {
        return byte;
    }
    uint32_t hidden = byte <= 0x20 ? byte : byte <= 0xA0 ? 33u + (byte - 0x7Fu) : 67u;
    return FIRST_HIDDEN + hidden;
}

/* The byte that a code point stands for, or -1. */
static int alphabet_byte(uint32_t code) {
    if (code < FIRST_HIDDEN) {
        return is_printable(code) ? (int)code : -1;
    }
    uint32_t hidden = code - FIRST_HIDDEN;
    if (hidden >= HIDDEN_BYTES) {
        return -1;
    }
    return hidden <= 0x20 ? (int)hidden : hidden < 67 ? (int)(hidden - 33 + 0x7F) : 0xAD;
}

size_t bpe_decode(struct bytes text, uint8_t *out) {
    size_t n = 0, used;
    for (size_t i = 0; i < text.size; i += used) {
        int byte = alphabet_byte(utf8_read(text.data + i, text.size - i, &used));
        if (byte >= 0) {
            out[n++] = (uint8_t)byte;
        } else { /* not of the alphabet: as it is */
            memcpy(out + n, text.data + i, used);
            n += used;
        }
    }
    return n;
}

size_t bpe_spell(struct bytes raw, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < raw.size; i++) {
        n += utf8_write(out + n, alphabet_code(raw.data[i]));
    }
    return n;
}

int bpe_choose(struct bpe *b, const struct gguf *g, struct error *e) {
    const char *key = "tokenizer.ggml.pre";
    struct bytes name = {0};
    bool found;
    int rc = gguf_get_string(g, key, &name, &found, e);
    if (rc != 0) {
        return rc;
    }
    if (!found) {
        log_warn("pretokenizer-missing", "file=%s key=%s using=default", gguf_path(g), key);
        name = (struct bytes){(const uint8_t *)"default", strlen("default")};
    }
    b->pre = pretokenizer_find(name);
    if (b->pre == NULL) {
        int shown = name.size < 64 ? (int)name.size : 64;
        return error_set(e, ERR_UNSUPPORTED, "%s: the pre-tokenizer '%.*s' is not known", key,
                         shown, (const char *)name.data);
    }
    b->ignore_merges = b->pre->ignore_merges;
    return 0;
}

static struct bpe_pair *probe(const struct bpe *b, uint32_t left, uint32_t right) {
    uint64_t key = (uint64_t)left << 32 | right;
    size_t mask = b->n_pairs - 1;
    for (size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 32) & mask;; i = (i + 1) & mask) {
        struct bpe_pair *p = &b->pairs[i];
        if ((p->left == left && p->right == right) || p->rank == MERGE_NONE) {
            return p;
        }
    }
}

/* Numbers the texts of one merge. A line without a space or with an empty side joins nothing. */
static int read_merge(struct bpe *b, struct vocabulary *v, struct bytes line, uint32_t rank,
                      uint8_t *joined) {
    const uint8_t *space = line.size < 3 ? NULL : memchr(line.data + 1, ' ', line.size - 1);
    b->results[rank] = TEXT_NONE;
    if (space == NULL || space + 1 == line.data + line.size) {
        return 0;
    }
    struct bytes left = {line.data, (size_t)(space - line.data)};
    struct bytes right = {space + 1, line.size - left.size - 1};
    memcpy(joined, left.data, left.size);
    memcpy(joined + left.size, right.data, right.size);
    uint32_t a, c;
    b->longest = line.size - 1 > b->longest ? line.size - 1 : b->longest;
    int rc = text_table_intern(&v->texts, left, &a);
    rc = rc != 0 ? rc : text_table_intern(&v->texts, right, &c);
    struct bytes both = {joined, line.size - 1};
    rc = rc != 0 ? rc : text_table_intern(&v->texts, both, &b->results[rank]);
    if (rc != 0) {
        return rc;
    }
    struct bpe_pair *p = probe(b, a, c);
    if (p->rank == MERGE_NONE) { /* of equal lines the first counts */
        *p = (struct bpe_pair){a, c, rank};
    }
    return 0;
}

static int take_memory(struct bpe *b, size_t merges) {
    b->n_pairs = 16;
    while (b->n_pairs < 2 * merges) {
        b->n_pairs *= 2;
    }
    b->pairs = malloc(b->n_pairs * sizeof *b->pairs);
    b->results = malloc((merges + 1) * sizeof *b->results);
    if (b->pairs == NULL || b->results == NULL) {
        return ERR_NOMEM;
    }
    memset(b->pairs, 0xFF, b->n_pairs * sizeof *b->pairs);
    return 0;
}

static int read_merges(struct bpe *b, struct vocabulary *v, const struct gguf_array *a) {
    size_t longest = 0;
    const uint8_t *cursor = a->data;
    for (size_t i = 0; i < a->count; i++) {
        struct bytes line = gguf_next_string(&cursor);
        longest = line.size > longest ? line.size : longest;
    }
    uint8_t *joined = malloc(longest + 1);
    int rc = joined == NULL ? ERR_NOMEM : take_memory(b, a->count);
    cursor = a->data;
    for (size_t i = 0; rc == 0 && i < a->count; i++) {
        rc = read_merge(b, v, gguf_next_string(&cursor), (uint32_t)i, joined);
    }
    free(joined);
    return rc;
}

int bpe_load(struct bpe *b, struct vocabulary *v, const struct gguf *g, struct error *e) {
    const char *key = "tokenizer.ggml.merges";
    struct gguf_array a;
    int rc = gguf_get_array(g, key, &a, NULL, e);
    if (rc != 0) {
        return rc;
    }
    if (a.element_type != GGUF_TYPE_STRING) {
        return error_set(e, ERR_BAD_MODEL, "%s: its elements must be strings", key);
    }
    if (a.count > VOCABULARY_MAX_TOKENS) {
        return error_set(e, ERR_BAD_MODEL, "%s: %zu merges, more than %u", key, a.count,
                         VOCABULARY_MAX_TOKENS);
    }
    rc = read_merges(b, v, &a);
    for (unsigned byte = 0; byte < 256 && rc == 0; byte++) {
        uint8_t raw = (uint8_t)byte, text[UTF8_MAX_BYTES];
        size_t size = bpe_spell((struct bytes){&raw, 1}, text);
        rc = text_table_intern(&v->texts, (struct bytes){text, size}, &b->byte_symbols[byte]);
    }
    return rc == 0 ? 0 : error_set(e, rc, "%s: no room for %zu merges", key, a.count);
}

void bpe_clear(struct bpe *b) {
    free(b->pairs);
    free(b->results);
    *b = (struct bpe){0};
}

static struct merge_symbol first_symbol(const void *context, struct bytes piece, uint32_t place) {
    const struct bpe *b = context;
    return (struct merge_symbol){place, place + 1, b->byte_symbols[piece.data[place]]};
}

static uint32_t pair_rank(const void *context, struct bytes piece, const struct merge_symbol *a,
                          const struct merge_symbol *b) {
    (void)piece;
    return probe(context, a->value, b->value)->rank;
}

static uint32_t joined_value(const void *context, uint32_t rank) {
    return ((const struct bpe *)context)->results[rank];
}

/* The token of text number `text`, or -1 if it is none, or one that plain text can't make. */
static int32_t plain_token(const struct vocabulary *v, uint32_t text) {
    bool token = text < (uint32_t)v->count && (v->flags[text] & TOKEN_GUARDED) == 0;
    return token ? (int32_t)text : -1;
}

static int push_symbol(struct encoding *c, const struct merge_symbol *s) {
    const struct tokenizer *t = c->tokenizer;
    int32_t id = plain_token(&t->vocabulary, s->value);
    if (id >= 0) {
        return token_list_push(c->out, id);
    }
    int rc = 0; /* a vocabulary with holes: byte by byte, dropping what it has no token for */
    for (uint32_t i = s->place; i < s->end && rc == 0; i++) {
        id = plain_token(&t->vocabulary, t->bpe.byte_symbols[c->bytes[i]]);
        rc = id < 0 ? 0 : token_list_push(c->out, id);
    }
    return rc;
}

/* The token that a whole piece is, or -1. */
static int32_t whole_token(struct encoding *c, size_t size) {
    const struct vocabulary *v = &c->tokenizer->vocabulary;
    uint8_t *spelled = c->bytes + size;
    if (size > v->longest) {
        return -1;
    }
    size_t n = bpe_spell((struct bytes){c->bytes, size}, spelled);
    return plain_token(v, text_table_find(&v->texts, (struct bytes){spelled, n}));
}

static int encode_piece(void *context, const glyph *piece, size_t n) {
    struct encoding *c = context;
    const struct bpe *b = &c->tokenizer->bpe;
    size_t size = 0, wanted;
    if (!size_mul(n, UTF8_MAX_BYTES * 3, &wanted)) { /* the bytes, and their spelling behind them */
        return ERR_LIMIT;
    }
    int rc = encoding_room((void **)&c->bytes, &c->byte_capacity, wanted, 1);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        size += utf8_write(c->bytes + size, glyph_code(piece[i]));
    }
    int32_t whole = b->ignore_merges ? whole_token(c, size) : -1;
    if (whole >= 0) {
        return token_list_push(c->out, whole);
    }
    const struct merge_rules rules = {b, first_symbol, pair_rank, joined_value, b->longest};
    rc = merger_run(&c->merger, (struct bytes){c->bytes, size}, &rules);
    for (size_t i = 0; rc == 0 && i < c->merger.list.count; i++) {
        rc = push_symbol(c, &c->merger.list.symbols[i]);
    }
    return rc;
}

int bpe_encode(struct encoding *c, struct bytes fragment) {
    int rc = encoding_room((void **)&c->glyphs, &c->glyph_capacity, fragment.size, sizeof(glyph));
    if (rc != 0) {
        return rc;
    }
    size_t n = 0, used;
    for (size_t i = 0; i < fragment.size; i += used) {
        c->glyphs[n++] = glyph_make(utf8_read(fragment.data + i, fragment.size - i, &used));
    }
    return pretokenize(c->tokenizer->bpe.pre, c->glyphs, n, encode_piece, c);
}
