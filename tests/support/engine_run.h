/* engine_run.h - a rendered prompt through the whole engine, step by step, for tests and tools. */
#ifndef QUIRE_TESTS_SUPPORT_ENGINE_RUN_H
#define QUIRE_TESTS_SUPPORT_ENGINE_RUN_H

#include "worker/engine/engine.h"
#include "worker/engine/features.h"

#define ENGINE_RUN_MARK "<image>" /* where a picture stands in a prompt */

struct engine_run {
    struct engine *engine;
    /* of the prompt */
    struct features features; /* every picture's embeddings */
    struct prompt prompt;
    struct sequence sequence;
    const float *logits; /* [n_vocab] of the last position, until the next step */
};

/* mmproj may be NULL. */
int engine_run_open(struct engine_run *r, const char *model, const char *mmproj, struct error *e);
/* Computes a prompt from the start; `pictures` are encoded files, one for each mark, borrowed until
 * the next prompt or close. */
int engine_run_prompt(struct engine_run *r, struct bytes prompt, const struct bytes *pictures,
                      size_t n_pictures, struct error *e);
/* One token more. ERR_TOO_LONG when the context is full. */
int engine_run_token(struct engine_run *r, int32_t token, struct error *e);
void engine_run_close(struct engine_run *r); /* zeroed is fine */

/* The n highest logits, highest first; the lower id first among equal ones. */
void engine_run_highest(const struct engine_run *r, int32_t n, int32_t *ids);

#endif
