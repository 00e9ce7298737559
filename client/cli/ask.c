/* ask.c - quire ask: one question, one answer. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/cli.h"
#include "client/cli/question.h"

struct ask {
    struct cli_question question;
    bool json, quiet;
};

static const char *const finish_names[] = {"", "end", "stop", "length"};

static int dump_json(json_t *root) {
    if (root == NULL)
        return cli_fail_error(&(struct error){ERR_NOMEM, "memory ran out"});
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
    return 0;
}

/* The seed is a string, since it may be above what JSON's readers take for a whole number. */
static int print_json(const struct cli_answer *a) {
    const struct quire_event *d = &a->end;
    const struct quire_usage *u = &d->usage;
    const struct quire_timings *t = &d->timings;
    char seed[24];
    (void)snprintf(seed, sizeof seed, "%" PRIu64, d->seed);
    return dump_json(json_pack(
        "{s:s%, s:s, s:s, s:s, s:s, s:i, s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i}, "
        "s:{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}}",
        "answer", a->text.data ? a->text.data : "", a->text.size, "finish", finish_names[d->finish],
        "worker", d->worker, "model", d->model, "seed", seed, "attempts", (int)d->attempts, "usage",
        "prompt_positions", (int)u->prompt_positions, "reused_positions", (int)u->reused_positions,
        "answer_tokens", (int)u->answer_tokens, "pictures", (int)u->pictures, "pictures_encoded",
        (int)u->pictures_encoded, "tiles_encoded", (int)u->tiles_encoded, "picture_positions",
        (int)u->picture_positions, "ms", "queue", (double)t->queue_us / 1e3, "wait",
        (double)t->wait_us / 1e3, "picture", (double)t->picture_us / 1e3, "prefill",
        (double)t->prefill_us / 1e3, "first_token", (double)t->first_token_us / 1e3, "decode",
        (double)t->decode_us / 1e3, "total", (double)t->total_us / 1e3, "predicted_first_token",
        (double)t->predicted_us / 1e3));
}

/* With --json the error goes to standard output too, so that a script reads one stream. */
static int fail(const struct ask *a, const struct quire_error *e) {
    if (a->json)
        (void)dump_json(json_pack("{s:{s:s, s:i, s:s, s:I}}", "error", "code",
                                  quire_error_name(e->code), "number", e->code, "message", e->text,
                                  "retry_ms", (json_int_t)e->retry_ms));
    return cli_fail(e);
}

static int ask_pool(const struct ask *a, const struct quire_request *request) {
    struct quire_error qe = {0};
    struct quire_client *client = NULL;
    struct cli_answer answer = {0};
    int r = quire_open(&client, a->question.endpoint, CLI_CONNECT_MS, &qe);
    if (r == 0)
        r = cli_follow(client, request,
                       (struct cli_stream_options){.print = !a->json, .progress = !a->quiet},
                       &answer, &qe);
    if (!a->json && answer.text.size > 0)
        putchar('\n');
    fflush(stdout);
    int code = 0;
    if (r < 0)
        code = fail(a, &qe);
    else if (a->json)
        code = print_json(&answer);
    else if (!a->quiet)
        cli_print_summary(&answer.end);
    free(answer.text.data);
    quire_close(client);
    return code;
}

static int run(const struct ask *a, int argc, char **argv, int first) {
    struct error e = {0};
    struct quire_error qe;
    struct cli_text words = {0};
    struct quire_request *request = NULL;
    int r = cli_question_read(argc, argv, first, &words, &e);
    qe = cli_error(&e);
    if (r == 0)
        r = cli_question_build(&a->question, &words, &request, &qe);
    int code = r < 0 ? fail(a, &qe) : ask_pool(a, request);
    quire_request_free(request);
    free(words.data);
    return code;
}

int cli_ask(int argc, char **argv) {
    struct ask a = {0};
    struct config_item items[2 + CLI_QUESTION_ITEMS] = {
        {"json", 0, CONFIG_SWITCH, &a.json, 0, 0, NULL,
         "print one JSON object with answer, usage and timings"},
        {"quiet", 'q', CONFIG_SWITCH, &a.quiet, 0, 0, NULL, "print the answer and nothing else"},
    };
    cli_question_items(&a.question, items + 2);
    struct config c = {.program = "quire ask",
                       .section = "ask",
                       .usage = "quire ask [-i FILE]... [OPTION...] QUESTION...",
                       .summary = "Asks the pool one question and prints the answer as it comes. "
                                  "Without words (or with -)\nthe question is read from standard "
                                  "input.",
                       .epilogue = "  quire ask -i photo.jpg \"What is this?\"\n"
                                   "  echo \"Say hello.\" | quire ask --json",
                       .items = items,
                       .n_items = sizeof items / sizeof items[0]};
    int first, code;
    if (cli_settings(&c, argc, argv, &first, &code))
        code = run(&a, argc, argv, first);
    config_close(&c);
    return code;
}
