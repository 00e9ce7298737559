/* decoder.h - one step of the text model over rows of several sequences.
 *
 * A sequence is a list of pages and a count of positions held in them. A step computes `rows`
 * positions taken from any number of sequences; rows of one sequence are consecutive positions in
 * order, and the step first writes their keys and values, then attends. */
#ifndef QUIRE_ENGINE_DECODER_H
#define QUIRE_ENGINE_DECODER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/engine/matmul.h"
#include "worker/engine/model.h"
#include "worker/engine/pages.h"
#include "worker/engine/sequence.h"
#include "worker/engine/team.h"

struct step_row {
    struct sequence *sequence;
    uint32_t position;      /* == sequence->positions + how many rows of it came before */
    int32_t token;          /* >= 0, or -1: embedding */
    const float *embedding; /* [n_embd]; borrowed for the call */
    bool want_logits;
};

struct decoder;
/* max_rows: the largest step. Borrows everything; m's weights must be packed (pack.h). */
int decoder_open(struct decoder **out, const struct text_model *m, struct pages *p, struct team *t,
                 int32_t max_rows, int32_t max_logit_rows, struct error *e);
void decoder_close(struct decoder *d);
size_t decoder_scratch_bytes(const struct decoder *d);

/* Runs the step and advances each sequence's positions. logits: [count of want_logits][n_vocab] in
 * row order, valid until the next step. Allocates nothing. Pages must have been reserved. */
const float *decoder_step(struct decoder *d, const struct step_row *rows, int32_t n_rows);

#endif
