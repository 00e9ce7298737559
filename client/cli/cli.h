/* cli.h - what the subcommands of `quire` share. */
#ifndef QUIRE_CLI_CLI_H
#define QUIRE_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/quire.h"
#include "common/config.h"

/* Each subcommand gets its own argv (argv[0] is its name) and returns the exit code. */
int cli_up(int argc, char **argv);
int cli_ask(int argc, char **argv);
int cli_chat(int argc, char **argv);
int cli_workers(int argc, char **argv);
int cli_stats(int argc, char **argv);
int cli_requests(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_segments(int argc, char **argv);
int cli_drain(int argc, char **argv);
int cli_undrain(int argc, char **argv);
int cli_explain_choice(int argc, char **argv);
int cli_replay(int argc, char **argv);

#define CLI_CONNECT_MS 2000 /* how long a command waits for the broker to answer */
#define CLI_CANCEL_MS 2000  /* how long Ctrl-C waits for the broker to end the request */

/* Prints "quire: sentence" on standard error and returns the exit code for the error's code. */
int cli_fail(const struct quire_error *e);
int cli_fail_error(const struct error *e);

/* The same failure in the library's terms. */
struct quire_error cli_error(const struct error *e);

/* For the library's functions that give a code and no sentence: when r is negative, writes one
 * about `what` ("the question") into *qe. Returns r. */
int cli_explain(int r, const char *what, struct quire_error *qe);

/* Reads settings with config_load; true: go on. Otherwise *code is the exit code to return.
 * operands NULL: the command takes none, and one is refused. */
bool cli_settings(struct config *c, int argc, char **argv, int *operands, int *code);

/* ---- what others wrote ----
 * An answer, a model's name or a peer's sentence must not steer the terminal: control characters
 * but newline and tab are shown as '?'. */

void cli_write_plain(FILE *to, const char *text, size_t size);
void cli_make_plain(char *text); /* the same in place */

/* ---- requests ---- */

struct cli_sampling { /* the flags of ask and chat; defaults are the protocol's */
    double temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    int64_t top_k, repeat_last_n, max_tokens, deadline_ms;
    const char *seed; /* NULL: random */
};
void cli_sampling_default(struct cli_sampling *s);
#define CLI_SAMPLING_ITEMS 11
/* Fills items[0..CLI_SAMPLING_ITEMS-1] with the flags that set s. */
void cli_sampling_items(struct cli_sampling *s, struct config_item *items);
int cli_sampling_apply(const struct cli_sampling *s, struct quire_request *request,
                       struct error *e);

/* Bytes that grow; zero it before use, free(data) after. */
struct cli_text {
    char *data; /* NUL-terminated once something was added */
    size_t size, capacity;
};
bool cli_text_add(struct cli_text *t, const char *data, size_t size);

struct cli_answer {
    struct cli_text text;
    struct quire_event end; /* DONE or FAILED */
};

struct cli_stream_options {
    bool print;    /* write the answer to standard output while it comes */
    bool progress; /* say on standard error what is being computed, if that is a terminal */
};

/* Sends and follows one request to its end; Ctrl-C cancels it, and waits no longer than
 * CLI_CANCEL_MS for the broker to say so. Returns 0, or a negative code with *error filled; the
 * answer's text so far is kept in either case. */
int cli_follow(struct quire_client *client, const struct quire_request *request,
               struct cli_stream_options options, struct cli_answer *answer,
               struct quire_error *error);

/* "[worker-1 · 14 tokens at 85.2/s · first token 0.31 s · ...]" on standard error. */
void cli_print_summary(const struct quire_event *done);

#endif
