/* main.c - the `quire` command: one word, then that word's own flags. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct subcommand subcommands[] = {
    {"up", cli_up, "start a local pool (broker and workers) and keep it running"},
    {"ask", cli_ask, "ask one question, with pictures if you like, and stream the answer"},
    {"chat", cli_chat, "talk with the model, line by line"},
    {"workers", cli_workers, "list the workers of the pool"},
    {"stats", cli_stats, "counters of the pool since the broker started"},
    {"requests", cli_requests, "list the requests that wait or run"},
    {"top", cli_top, "workers, requests and rates, live"},
    {"segments", cli_segments, "list what the broker's index records of the workers' pages"},
    {"drain", cli_drain, "let a worker finish what it has and give it nothing new"},
    {"undrain", cli_undrain, "give a drained worker work again"},
    {"explain", cli_explain_choice, "why a worker was chosen for a request, or would be"},
    {"replay", cli_replay, "run conversations and tell how much of them was reused"},
};
#define SUBCOMMANDS (sizeof subcommands / sizeof subcommands[0])

static void print_help(FILE *to) {
    fprintf(to,
            "Usage: quire COMMAND [OPTION...]\n\n"
            "Questions about pictures, answered by a pool of workers on this machine's CPUs.\n\n"
            "Commands:\n");
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        fprintf(to, "  %-10s %s\n", subcommands[i].name, subcommands[i].help);
    fprintf(to, "\n`quire COMMAND --help` tells more about a command. A first try:\n\n"
                "  quire up                      in one terminal\n"
                "  quire ask -i photo.jpg \"What is in the picture?\"     in another\n");
}

/* What a full disk swallowed is no success. */
static int check_output(int code) {
    bool lost = fflush(stdout) != 0 || ferror(stdout);
    if (code != 0 || !lost)
        return code;
    return cli_fail_error(&(struct error){ERR_IO, "standard output can't be written"});
}

int main(int argc, char **argv) {
    /* Text is UTF-8 here, also on a machine where no locale is set. */
    if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    if (argc < 2) {
        print_help(stderr);
        return error_exit_code(ERR_USAGE);
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(word, "--version") == 0) {
        printf("quire %s\n", QUIRE_VERSION);
        return 0;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++)
        if (strcmp(word, subcommands[i].name) == 0)
            return check_output(subcommands[i].run(argc - 1, argv + 1));
    fprintf(stderr, "quire: there is no command \"%s\"; see quire --help\n", word);
    return error_exit_code(ERR_USAGE);
}
