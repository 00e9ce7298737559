/* golden.h - one reference answer: a .json file of tests/golden. */
#ifndef QUIRE_TESTS_SUPPORT_GOLDEN_H
#define QUIRE_TESTS_SUPPORT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

#define GOLDEN_MAX_PICTURES 8
#define GOLDEN_MAX_CHUNKS 32
#define GOLDEN_TOP 20
#define GOLDEN_STEP_TOP 5
#define GOLDEN_EDGE 8 /* first and last values of a picture's embeddings */

struct golden_logit {
    int32_t id;
    float logit;
};

struct golden_chunk {
    /* A run of text ... */
    int32_t *tokens; /* NULL for a picture's tile */
    size_t n_tokens;
    /* ... or the embeddings of one tile. */
    int32_t embeddings, dimensions;
    double sum, sum_of_squares;
    float head[GOLDEN_EDGE], tail[GOLDEN_EDGE];
};

struct golden_step {
    int32_t id;
    struct golden_logit top[GOLDEN_STEP_TOP]; /* highest first */
    size_t n_top;
};

struct golden {
    char *prompt;                        /* rendered; `<image>` marks a picture */
    char *pictures[GOLDEN_MAX_PICTURES]; /* names in tests/golden/pictures */
    size_t n_pictures;
    struct golden_chunk chunks[GOLDEN_MAX_CHUNKS];
    size_t n_chunks;
    int32_t n_past, n_vocab;
    struct golden_logit logits[GOLDEN_TOP]; /* after the prompt, highest first */
    size_t n_logits;
    struct golden_step *greedy;
    size_t n_greedy;
};

/* Reads folder/name; aborts the test when it is missing or of another shape. */
void golden_open(struct golden *g, const char *folder, const char *name);
void golden_close(struct golden *g);

#endif
