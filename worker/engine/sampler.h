/* sampler.h - logits to a token: penalties, top-k, top-p, min-p, temperature, draw.
 *
 * Chain order: penalties, top-k, top-p, min-p, temperature, draw. The draw's random number comes
 * from a counter-based generator keyed by (seed, index of the token in the answer), so that any
 * worker that takes over at index i draws the same. Temperature 0: the highest logit, lowest id on
 * ties. */
#ifndef QUIRE_ENGINE_SAMPLER_H
#define QUIRE_ENGINE_SAMPLER_H

#include <stdint.h>

#include "common/error.h"

struct sampler_options {
    float temperature;
    int32_t top_k;                                             /* 0: off */
    float top_p, min_p;                                        /* 1 and 0: off */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0: off */
    int32_t repeat_last_n;                                     /* -1: all of the history */
    uint64_t seed;
    /* A bit for each token that may be drawn (borrowed), NULL: all. The others are out before
     * anything else looks at them. */
    const uint64_t *allowed;
};

struct sampler; /* scratch of one vocabulary size; history belongs to the caller */
int sampler_open(struct sampler **out, int32_t n_vocab, struct error *e);
void sampler_close(struct sampler *s);

#define SAMPLER_LOGPROB_LEAST (-9999.0F) /* stands for all lower ones, and for "not a number" */

struct sampled {
    int32_t id;
    float logprob; /* of the chosen token, under softmax of the raw logits (no options applied) */
};
/* history: the last n_history tokens of prompt and answer, oldest first (only text tokens); the
 * last repeat_last_n of them count. index: of the token drawn, in the answer, from 0. logits are
 * not changed. Allocates nothing. NaN and infinite logits never win; if none is finite, the lowest
 * allowed id, or 0. */
struct sampled sampler_draw(struct sampler *s, const struct sampler_options *o, const float *logits,
                            const int32_t *history, int32_t n_history, uint32_t index);

#define SAMPLER_TOP_MAX 20

/* The n likeliest tokens of raw logits, best first, with their log-probabilities; n is at most
 * SAMPLER_TOP_MAX. Where fewer logits are finite the rest have id -1. */
struct sampled_alternative {
    int32_t id;
    float logprob;
};
void sampler_top(struct sampler *s, const float *logits, int32_t n,
                 struct sampled_alternative *out);

/* The uniform number in [0,1) for (seed, index): Philox4x32-10 with key = seed, counter = index. */
double sampler_uniform(uint64_t seed, uint32_t index);

#endif
