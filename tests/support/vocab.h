/* vocab.h - tokenizers for tests: those of the goldens, and small ones made on the spot. */
#ifndef QUIRE_TESTS_SUPPORT_VOCAB_H
#define QUIRE_TESTS_SUPPORT_VOCAB_H

#include <stdio.h>

#include "worker/engine/tokenizer.h"

struct gguf_writer;

/* Every function stops the test when something fails, unless it returns a code. */
struct tokenizer *vocab_open_golden(const char *folder, const char *name);

/* A vocabulary being written: tokens get ids in order. Zero it to begin with. */
#define VOCAB_MAX 1024
struct vocab {
    const char *model; /* NULL: gpt2 */
    const char *pre;   /* NULL: the key is missing */
    char *tokens[VOCAB_MAX];
    int32_t types[VOCAB_MAX]; /* all 0: the key is missing */
    float scores[VOCAB_MAX];
    size_t count;
    char *merges[VOCAB_MAX];
    size_t n_merges;
    int32_t bos, eos; /* 0: the key is missing */
    int add_bos;      /* 0: the key is missing; 1: true; 2: false */
};
/* Adds the 256 byte tokens of a byte-level vocabulary as ids 0..255. */
void vocab_add_bytes(struct vocab *v);
int32_t vocab_add(struct vocab *v, const char *text, int32_t type, float score);
void vocab_add_merge(struct vocab *v, const char *pair);
void vocab_write(const struct vocab *v, struct gguf_writer *w); /* adds its keys to a file */
/* Puts what w holds into a temporary file, opens it as a tokenizer and removes it. *out is NULL
 * after a failure, which is returned. */
int vocab_open_writer(const struct gguf_writer *w, struct tokenizer **out, struct error *e);
/* The same for a vocabulary. */
int vocab_try(const struct vocab *v, struct tokenizer **out, struct error *e);
struct tokenizer *vocab_make(const struct vocab *v);
void vocab_clear(struct vocab *v);

/* Fails unless text becomes these ids. */
void vocab_expect(const struct tokenizer *t, struct bytes text, int flags, const int32_t *ids,
                  size_t n);

static inline struct bytes bytes_of(const char *s) {
    size_t n = 0;
    while (s[n] != '\0') {
        n++;
    }
    return (struct bytes){(const uint8_t *)s, n};
}

#endif
