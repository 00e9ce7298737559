/* words.c - texts from a seed. */
#include "client/cli/replay/words.h"

#include <string.h>

#include "client/cli/replay/random.h"

static const char *const words[] = {
    "the",   "a",      "and",    "of",     "to",    "in",      "is",    "it",     "on",     "red",
    "blue",  "green",  "small",  "large",  "left",  "right",   "page",  "button", "window", "table",
    "line",  "number", "circle", "square", "word",  "picture", "open",  "close",  "next",   "then",
    "apple", "house",  "river",  "bridge", "train", "garden",  "paper", "letter", "lamp",   "clock",
    "read",  "write",  "look",   "count",  "find",  "show",    "press", "wait",   "begin",  "end",
    "first", "second", "third",  "last",   "above", "below",   "near",  "with",   "from",   "what",
    "where", "which",  "how",    "many"};
#define WORDS (sizeof words / sizeof words[0])

void words_make(uint64_t seed, char *out, size_t bytes) {
    size_t n = 0;
    while (n < bytes) {
        const char *word = words[random_below(&seed, WORDS)];
        size_t size = strlen(word);
        if (n > 0)
            out[n++] = ' ';
        if (size > bytes - n)
            size = bytes - n;
        memcpy(out + n, word, size);
        n += size;
    }
    if (n > 0 && out[n - 1] == ' ')
        out[n - 1] = 's';
    out[n] = '\0';
}
