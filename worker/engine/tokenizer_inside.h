/* tokenizer_inside.h - what the parts of the tokenizer share; for tokenizer*.c only. */
#ifndef QUIRE_ENGINE_TOKENIZER_INSIDE_H
#define QUIRE_ENGINE_TOKENIZER_INSIDE_H

#include "worker/engine/merge.h"
#include "worker/engine/pretokenize.h"
#include "worker/engine/special.h"
#include "worker/engine/tokenizer.h"
#include "worker/engine/vocabulary.h"

/* Byte-level BPE: tokenizer_bpe.c. */
struct bpe {
    const struct pretokenizer *pre;
    bool ignore_merges;
    struct bpe_pair *pairs; /* open addressing: (left, right) -> rank; a power of two */
    size_t n_pairs;
    uint32_t *results;          /* per rank: the text it makes */
    size_t longest;             /* bytes of the longest text a merge makes, at most */
    uint32_t byte_symbols[256]; /* the text that stands for a byte */
};

/* SentencePiece-like: tokenizer_spm.c. */
struct spm {
    uint32_t *ranks;          /* per token: equal scores share one; MERGE_NONE: never joined */
    int32_t byte_tokens[256]; /* -1: none */
};

struct tokenizer {
    struct vocabulary vocabulary;
    struct special_set *specials;
    bool is_spm;
    struct bpe bpe;
    struct spm spm;
    uint8_t *pieces;        /* what tokens stand for in answers, one after the other */
    uint32_t *piece_starts; /* count + 1 */
};

/* Memory of one call, and where its tokens go. */
struct encoding {
    const struct tokenizer *tokenizer;
    struct token_list *out;
    struct merger merger;
    glyph *glyphs; /* BPE: the characters of a fragment */
    size_t glyph_capacity;
    uint8_t *bytes; /* BPE: a piece; SPM: a fragment with its spaces written out */
    size_t byte_capacity;
};

/* Finds pre and the flags it forces. ERR_UNSUPPORTED. */
int bpe_choose(struct bpe *b, const struct gguf *g, struct error *e);
/* Reads the merges; adds their texts to v's. ERR_BAD_MODEL, ERR_NOMEM. */
int bpe_load(struct bpe *b, struct vocabulary *v, const struct gguf *g, struct error *e);
void bpe_clear(struct bpe *b);
/* Appends the tokens of a fragment without special tokens. ERR_NOMEM, ERR_LIMIT. */
int bpe_encode(struct encoding *c, struct bytes fragment);
/* Writes what a normal token's text stands for; out has room for text.size bytes. */
size_t bpe_decode(struct bytes text, uint8_t *out);
/* Writes raw in the byte alphabet; out has room for 2 * raw.size bytes. */
size_t bpe_spell(struct bytes raw, uint8_t *out);

int spm_load(struct spm *s, const struct vocabulary *v, struct error *e);
void spm_clear(struct spm *s);
int spm_encode(struct encoding *c, struct bytes fragment);
size_t spm_decode(struct bytes text, uint8_t *out);
/* Writes raw with spaces as U+2581; out has room for 3 * raw.size bytes. */
size_t spm_spell(struct bytes raw, uint8_t *out);

/* Gives *block room for `wanted` elements, losing what was there. ERR_NOMEM. */
int encoding_room(void **block, size_t *capacity, size_t wanted, size_t element);

#endif
