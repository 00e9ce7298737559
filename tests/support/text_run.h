/* text_run.h - a text model opened for a test, with everything a step needs. */
#ifndef QUIRE_TESTS_SUPPORT_TEXT_RUN_H
#define QUIRE_TESTS_SUPPORT_TEXT_RUN_H

#include "worker/engine/decoder.h"
#include "worker/engine/pack.h"

#define TEXT_RUN_ROWS 512  /* positions of the largest step */
#define TEXT_RUN_LOGITS 32 /* rows of it with logits */

struct text_run {
    struct gguf *gguf;
    struct text_model model;
    struct team *team;
    struct pack *pack;
    struct pages *pages;
    struct decoder *decoder;
};

/* Stops the test when anything fails. */
void text_run_open(struct text_run *r, const char *path, int threads);
void text_run_close(struct text_run *r);

/* Computes n tokens of s from where it ends, in steps of `chunk`; the logits of the last. */
const float *text_run_tokens(struct text_run *r, struct sequence *s, const int32_t *tokens,
                             int32_t n, int32_t chunk);
void text_run_sequence(struct text_run *r, struct sequence *s); /* opens one */

#endif
