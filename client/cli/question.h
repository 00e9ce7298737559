/* question.h - a question as flags and words: what `quire ask` sends and `quire explain` asks
 * about. */
#ifndef QUIRE_CLI_QUESTION_H
#define QUIRE_CLI_QUESTION_H

#include "client/cli/cli.h"

struct cli_question {
    const char *endpoint, *system, *model, *tenant, *detail;
    const char *schema, *priority; /* a file's path; a word */
    struct config_list pictures, stops;
    int64_t max_pixels; /* of each picture; 0: no bound */
    struct cli_sampling sampling;
};

#define CLI_QUESTION_ITEMS (10 + CLI_SAMPLING_ITEMS)
/* Sets defaults, and fills items[0..CLI_QUESTION_ITEMS-1] with the flags that set q. */
void cli_question_items(struct cli_question *q, struct config_item *items);

/* The words argv[first..], or standard input when there are none or "-". ERR_USAGE, ERR_LIMIT,
 * ERR_IO, ERR_NOMEM. */
int cli_question_read(int argc, char **argv, int first, struct cli_text *out, struct error *e);

/* *out is freed with quire_request_free, also after a failure (it may be NULL then). */
int cli_question_build(const struct cli_question *q, const struct cli_text *words,
                       struct quire_request **out, struct quire_error *qe);

#endif
