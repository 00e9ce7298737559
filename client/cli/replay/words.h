/* words.h - plain English words drawn from a seed, in place of what people and tools say. */
#ifndef QUIRE_CLI_REPLAY_WORDS_H
#define QUIRE_CLI_REPLAY_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Writes exactly `bytes` bytes of lower-case words with single spaces between, and a NUL; out has
 * room for bytes + 1. The last word may be cut; neither end is a space. */
void words_make(uint64_t seed, char *out, size_t bytes);

#endif
