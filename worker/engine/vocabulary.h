/* vocabulary.h - the tokens of a GGUF: texts, types, scores, and which ones are special.
 *
 * Every number a file gives is checked here; what reads a vocabulary later need not doubt it. */
#ifndef QUIRE_ENGINE_VOCABULARY_H
#define QUIRE_ENGINE_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/gguf.h"
#include "worker/engine/text_table.h"

#define VOCABULARY_MAX_TOKENS (1u << 24)
#define VOCABULARY_MAX_TOKEN_BYTES 65535u

enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4,
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6,
};

enum token_flags {
    TOKEN_ENDS = 1,    /* ends an answer */
    TOKEN_GUARDED = 2, /* never made of a user's text: control, unknown, and marks of templates */
};

struct vocabulary {
    int32_t count;
    struct text_table texts; /* the first `count` are the tokens; the merges' other parts follow */
    uint8_t *types;          /* enum token_type */
    uint8_t *flags;          /* enum token_flags */
    float *scores;           /* NULL: the file has none */
    int32_t bos, eos, unknown; /* -1: none */
    bool add_bos, add_eos, add_space_prefix;
    size_t longest; /* bytes of the longest token's text */
};

/* What a tokenizer of this kind has when the file does not say. */
struct vocabulary_defaults {
    int32_t bos, eos, unknown;
    bool add_bos, add_space_prefix;
};

/* ERR_BAD_MODEL (names the key), ERR_NOMEM. Copies what it keeps. After a failure, clear it too. */
int vocabulary_load(struct vocabulary *v, const struct gguf *g,
                    const struct vocabulary_defaults *defaults, struct error *e);
void vocabulary_clear(struct vocabulary *v);

/* The token whose text this is, or -1. */
int32_t vocabulary_find(const struct vocabulary *v, struct bytes text);
/* The byte that a TOKEN_BYTE's text <0xXX> names, or -1. */
int vocabulary_byte(struct bytes text);

#endif
