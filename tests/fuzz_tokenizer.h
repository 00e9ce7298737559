/* fuzz_tokenizer.h - the fuzz target of the tokenizer, for libFuzzer and for tokenizer_random_test.
 */
#ifndef QUIRE_TESTS_FUZZ_TOKENIZER_H
#define QUIRE_TESTS_FUZZ_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "worker/engine/tokenizer.h"

/* Cuts text into runs where the first bytes say and encodes it. Aborts unless every id is in the
 * vocabulary, no guarded token comes out of a run that is not special, and, for a byte-level
 * vocabulary that has every byte, the tokens spell the text (ill-formed bytes as U+FFFD). */
void check_encoding(const struct tokenizer *t, bool byte_level, struct bytes text);

/* The same with a vocabulary of its own. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
