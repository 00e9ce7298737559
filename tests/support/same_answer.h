/* same_answer.h - answers as they come, and the one comparison of what must be equal.
 *
 * Neither a cache hit, nor other requests beside it, nor another worker may change an answer. How
 * equal "equal" is stands here and nowhere else: to the bit. */
#ifndef QUIRE_TESTS_SUPPORT_SAME_ANSWER_H
#define QUIRE_TESTS_SUPPORT_SAME_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/quire.h"

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

/* The test fails unless both are whole answers that end alike, of as many positions and tokens,
 * with the same text, tokens, alternatives and log-probabilities, all to the bit. */
void same_answer(const struct answer *one, const struct answer *other);

#endif
