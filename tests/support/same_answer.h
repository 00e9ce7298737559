/* same_answer.h - answers as they come, and the one comparison of what must be equal.
 *
 * A cache hit must not change an answer. How equal "equal" is stands here and nowhere else: as long
 * as the engine's sums depend on how a prompt was cut into chunks, two log-probabilities may differ
 * a little. */
#ifndef QUIRE_TESTS_SUPPORT_SAME_ANSWER_H
#define QUIRE_TESTS_SUPPORT_SAME_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/quire.h"

#define SAME_LOGPROB 1e-3F /* largest difference of two that are equal */

#define ANSWER_TOKENS 64 /* that are kept; more fail the test */
#define ANSWER_OTHERS 5  /* alternatives of each; what quire_options.logprobs should ask for */
#define ANSWER_TEXT_BYTES 4096
#define ANSWER_ENDS 128 /* of segments */

struct answer_choice {
    int32_t id;
    float logprob;
};
struct answer_token {
    struct answer_choice chosen, others[ANSWER_OTHERS];
    size_t n_others;
};
struct answer {
    char text[ANSWER_TEXT_BYTES]; /* terminated */
    size_t size;
    uint32_t n_tokens;
    struct answer_token tokens[ANSWER_TOKENS];
    bool began, ended;
    struct quire_event end; /* DONE or FAILED; its segment_ends point to `ends` */
    uint32_t ends[ANSWER_ENDS];
};

/* Takes an event of this request into a zeroed answer. */
void answer_take(struct answer *a, const struct quire_event *event);

/* Takes events of `client` into answers[i] by ids[i] until all n ended, or began when only_begin;
 * the test fails when that takes longer than PROCESS_WAIT_MS. */
void answers_collect(struct quire_client *client, size_t n, uint8_t (*ids)[QUIRE_ID_BYTES],
                     struct answer *answers, bool only_begin);

/* The test fails unless both are whole answers of the same text, tokens and log-probabilities.
 * Where the two likeliest tokens are closer than SAME_LOGPROB either may be chosen, and what comes
 * after that is not compared. Returns the largest difference of two log-probabilities. */
float same_answer(const struct answer *warm, const struct answer *cold);

#endif
