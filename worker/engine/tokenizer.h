/* tokenizer.h - text to token ids and back, as the model's reference does it.
 *
 * `gpt2` (byte-level BPE with the pre-tokenizers of the GGUF's tokenizer.ggml.pre) and `llama`
 * (SentencePiece-like). Immutable after open and safe to share between threads. */
#ifndef QUIRE_ENGINE_TOKENIZER_H
#define QUIRE_ENGINE_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"
#include "worker/engine/gguf.h"

struct tokenizer;

/* A growing list of ids, owned by the caller; free with token_list_clear. */
struct token_list {
    int32_t *ids;
    size_t count, capacity;
};
void token_list_clear(struct token_list *l);
int token_list_push(struct token_list *l, int32_t id); /* ERR_NOMEM */

/* Copies what it keeps; g may be closed after. ERR_BAD_MODEL, ERR_UNSUPPORTED (names the model or
 * pre-tokenizer), ERR_NOMEM. */
int tokenizer_open(struct tokenizer **out, const struct gguf *g, struct error *e);
void tokenizer_close(struct tokenizer *t);

enum tokenize_flags {
    TOKENIZE_PLAIN = 0,
    TOKENIZE_SPECIAL =
        1,            /* control tokens written in the text become tokens; else they stay text */
    TOKENIZE_BOS = 2, /* put BOS first if the model asks for it (and EOS last likewise) */
};

/* Appends the ids of text to *out, all or none. Any bytes will do: to a byte-level vocabulary a
 * byte that is not UTF-8 is U+FFFD. User-defined tokens count with or without TOKENIZE_SPECIAL,
 * except those that steer a conversation (ends of turns, marks of templates and pictures), which
 * are taken for control tokens. Time is near-linear in size for every text. ERR_NOMEM, ERR_LIMIT.
 */
int tokenizer_encode(const struct tokenizer *t, struct bytes text, int flags,
                     struct token_list *out, struct error *e);

/* A stretch of text made of several hands: where `special` is false, no control token is made of
 * any byte of the run. Apart from that the runs are one text: tokens may cross from one to the
 * next. */
struct tokenize_run {
    struct bytes text;
    bool special;
};
/* Like tokenizer_encode of all runs' text; of the flags only TOKENIZE_BOS counts. */
int tokenizer_encode_runs(const struct tokenizer *t, const struct tokenize_run *runs, size_t n,
                          int flags, struct token_list *out, struct error *e);
/* No token stands for more bytes of text than this, so n bytes are at least n / this tokens. */
size_t tokenizer_longest(const struct tokenizer *t);

/* The bytes a token stands for in an answer: control and unknown tokens are empty. Borrowed. */
struct bytes tokenizer_piece(const struct tokenizer *t, int32_t id);
/* The token's text as the vocabulary has it. Borrowed. */
struct bytes tokenizer_text(const struct tokenizer *t, int32_t id);
/* The id whose vocabulary text is exactly this, or -1. For byte-level vocabularies the text is in
 * the byte alphabet; tokenizer_find_piece takes raw bytes ("\n\n") instead. */
int32_t tokenizer_find(const struct tokenizer *t, struct bytes text);
int32_t tokenizer_find_piece(const struct tokenizer *t, struct bytes raw);

int32_t tokenizer_size(const struct tokenizer *t);
int32_t tokenizer_bos(const struct tokenizer *t); /* -1: none */
int32_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
bool tokenizer_ends(const struct tokenizer *t, int32_t id);    /* in the end-of-generation set */
bool tokenizer_guarded(const struct tokenizer *t, int32_t id); /* control, unknown, or a mark */

#endif
