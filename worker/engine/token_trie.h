/* token_trie.h - texts of tokens as a tree of bytes, laid out in the order of a walk.
 *
 * Every node is followed by those below it, so a walk is one pass over an array, which jumps over
 * what lies below a byte that can't come. */
#ifndef QUIRE_ENGINE_TOKEN_TRIE_H
#define QUIRE_ENGINE_TOKEN_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

#define TOKEN_TRIE_BYTES 256 /* of a token's text; longer ones are left out */

struct token_trie_node {
    uint32_t next;  /* the first node after it that is not below it */
    uint32_t first; /* its tokens in ids: up to the next node's */
    uint16_t depth; /* bytes up to and with this one */
    uint8_t byte;
};

struct token_trie {
    struct token_trie_node *nodes; /* owned: [n_nodes + 1]; the last one only ends the tokens */
    int32_t *ids;                  /* owned */
    uint32_t n_nodes;
};

struct token_word {
    struct bytes text;
    int32_t id;
};

/* Sorts words. Keeps no pointer to their texts. Empty ones and long ones are left out. ERR_NOMEM,
 * ERR_LIMIT (4 GiB of text); then *t is empty. */
int token_trie_open(struct token_trie *t, struct token_word *words, size_t n, struct error *e);
void token_trie_close(struct token_trie *t); /* a zeroed one is fine */

#endif
