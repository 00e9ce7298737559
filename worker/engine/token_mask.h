/* token_mask.h - which tokens may come next, so that an answer fits its schema and ends in time.
 *
 * A token may come if the machine takes all its bytes and then no more bytes are needed than tokens
 * are left: bytes are tokens, too, so the answer can be completed whatever happens. End tokens
 * may come where the answer is complete, other special tokens never.
 *
 * Walking all tokens with the machine takes milliseconds where nearly all of them may come: inside
 * of strings. There only the number of characters counts, which is known of each token; what is
 * left to be walked are tokens that close the string. */
#ifndef QUIRE_ENGINE_TOKEN_MASK_H
#define QUIRE_ENGINE_TOKEN_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/engine/json_machine.h"
#include "worker/engine/tokenizer.h"

struct token_mask; /* of one vocabulary; scratch of one thread */

/* n_vocab: logits; ids above the tokenizer's are never allowed. Borrows t for the call only. Takes
 * some tens of milliseconds for a large vocabulary. ERR_UNSUPPORTED: a byte that any answer may
 * need is no token of its own. ERR_NOMEM. */
int token_mask_open(struct token_mask **out, const struct tokenizer *t, int32_t n_vocab,
                    struct error *e);
void token_mask_close(struct token_mask *k); /* NULL is fine */

/* Whether the schema's own names and values can be written byte by byte: ERR_UNSUPPORTED. Only
 * then are answers sure to end in time. */
int token_mask_check(const struct token_mask *k, const struct json_schema *s, struct error *e);

/* Bits of the tokens that may come next when `left` more may come after them; valid until the next
 * call with k. m is settled. Allocates nothing. */
const uint64_t *token_mask_fill(struct token_mask *k, const struct json_machine *m, uint32_t left);

/* Takes a token's bytes into m, which is settled before and after. False: they can't come, or more
 * than `left` tokens would be needed after it; then m stays, and the token's bit in the last mask
 * is cleared. */
bool token_mask_take(struct token_mask *k, struct json_machine *m, int32_t id, struct bytes text,
                     uint32_t left);

static inline bool token_mask_has(const uint64_t *mask, int32_t id) {
    return (mask[id / 64] >> (id % 64) & 1) != 0;
}

#endif
