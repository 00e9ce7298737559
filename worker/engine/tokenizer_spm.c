/* tokenizer_spm.c - the SentencePiece-like tokenizer: merges by score, bytes for what is unknown.
 *
 * Two neighbours are joined when their text together is a token, the best score first. Tokens that
 * steer (control, unknown, byte) are never made of text, so that a user who writes </s> gets its
 * letters even where the vocabulary could spell it. */
#include "worker/engine/tokenizer_inside.h"

#include <stdlib.h>
#include <string.h>

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */
#define SPACE_MARK_BYTES 3

static bool may_join(const struct vocabulary *v, int32_t id) {
    return (v->flags[id] & TOKEN_GUARDED) == 0 && v->types[id] != TOKEN_BYTE;
}

struct scored {
    float score;
    int32_t id;
};

static int compare_scores(const void *a, const void *b) {
    const struct scored *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

static int rank_tokens(struct spm *s, const struct vocabulary *v) {
    size_t count = (size_t)v->count;
    s->ranks = malloc(count * sizeof *s->ranks);
    struct scored *order = malloc(count * sizeof *order);
    if (s->ranks == NULL || order == NULL) {
        free(order);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = (struct scored){v->scores == NULL ? 0 : v->scores[i], (int32_t)i};
    }
    qsort(order, count, sizeof *order, compare_scores);
    uint32_t rank = 0;
    for (size_t i = 0; i < count; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        s->ranks[order[i].id] = may_join(v, order[i].id) ? rank : MERGE_NONE;
    }
    free(order);
    return 0;
}

int spm_load(struct spm *s, const struct vocabulary *v, struct error *e) {
    for (size_t byte = 0; byte < 256; byte++) {
        uint8_t raw = (uint8_t)byte;
        int32_t id = vocabulary_find(v, (struct bytes){&raw, 1});
        s->byte_tokens[byte] = id >= 0 && may_join(v, id) ? id : v->unknown;
    }
    for (int32_t id = 0; id < v->count; id++) {
        int byte = v->types[id] != TOKEN_BYTE
                       ? -1
                       : vocabulary_byte(text_table_at(&v->texts, (uint32_t)id));
        if (byte >= 0) {
            s->byte_tokens[byte] = id;
        }
    }
    return rank_tokens(s, v) == 0
               ? 0
               : error_set(e, ERR_NOMEM, "no memory to order %d tokens by score", v->count);
}

void spm_clear(struct spm *s) {
    free(s->ranks);
    s->ranks = NULL;
}

size_t spm_decode(struct bytes text, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < text.size;) {
        if (text.size - i >= SPACE_MARK_BYTES &&
            memcmp(text.data + i, SPACE_MARK, SPACE_MARK_BYTES) == 0) {
            out[n++] = ' ';
            i += SPACE_MARK_BYTES;
        } else {
            out[n++] = text.data[i++];
        }
    }
    return n;
}

size_t spm_spell(struct bytes raw, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < raw.size; i++) {
        if (raw.data[i] == ' ') {
            memcpy(out + n, SPACE_MARK, SPACE_MARK_BYTES);
            n += SPACE_MARK_BYTES;
        } else {
            out[n++] = raw.data[i];
        }
    }
    return n;
}

/* The token whose text is these bytes, if text can make it; else -1. */
static int32_t plain_token(const struct tokenizer *t, const uint8_t *data, size_t size) {
    int32_t id = size > t->vocabulary.longest
                     ? -1
                     : vocabulary_find(&t->vocabulary, (struct bytes){data, size});
    return id >= 0 && t->spm.ranks[id] != MERGE_NONE ? id : -1;
}

/* Bytes of a character by its first byte, as the reference counts them: it judges no others. */
static uint32_t character_bytes(uint8_t first, size_t left) {
    uint32_t bytes = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    return bytes < left ? bytes : (uint32_t)left;
}

static struct merge_symbol first_symbol(const void *context, struct bytes piece, uint32_t place) {
    (void)context;
    uint32_t size = character_bytes(piece.data[place], piece.size - place);
    return (struct merge_symbol){place, place + size, 0};
}

static uint32_t pair_rank(const void *context, struct bytes piece, const struct merge_symbol *a,
                          const struct merge_symbol *b) {
    const struct tokenizer *t = context;
    int32_t id = plain_token(t, piece.data + a->place, b->end - a->place);
    return id < 0 ? MERGE_NONE : t->spm.ranks[id];
}

static uint32_t joined_value(const void *context, uint32_t rank) {
    (void)context;
    (void)rank;
    return 0; /* a symbol is its bytes, and nothing else */
}

static int push_symbol(struct encoding *c, const struct merge_symbol *s) {
    const struct tokenizer *t = c->tokenizer;
    int32_t id = plain_token(t, c->bytes + s->place, s->end - s->place);
    if (id >= 0) {
        return token_list_push(c->out, id);
    }
    int rc = 0;
    for (uint32_t i = s->place; i < s->end && rc == 0; i++) {
        id = t->spm.byte_tokens[c->bytes[i]];
        rc = id < 0 ? 0 : token_list_push(c->out, id);
    }
    return rc;
}

int spm_encode(struct encoding *c, struct bytes fragment) {
    bool prefix = c->tokenizer->vocabulary.add_space_prefix;
    size_t wanted;
    if (!size_mul(fragment.size, SPACE_MARK_BYTES, &wanted) ||
        !size_add(wanted, SPACE_MARK_BYTES, &wanted)) {
        return ERR_LIMIT;
    }
    int rc = encoding_room((void **)&c->bytes, &c->byte_capacity, wanted, 1);
    if (rc != 0) {
        return rc;
    }
    size_t size = prefix ? spm_spell((struct bytes){(const uint8_t *)" ", 1}, c->bytes) : 0;
    size += spm_spell(fragment, c->bytes + size);
    const struct tokenizer *t = c->tokenizer;
    const struct merge_rules rules = {t, first_symbol, pair_rank, joined_value,
                                      t->vocabulary.longest};
    rc = merger_run(&c->merger, (struct bytes){c->bytes, size}, &rules);
    for (size_t i = 0; rc == 0 && i < c->merger.list.count; i++) {
        rc = push_symbol(c, &c->merger.list.symbols[i]);
    }
    return rc;
}
