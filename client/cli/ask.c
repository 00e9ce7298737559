/* ask.c - quire ask: one question, one answer. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

#define STDIN_MAX_BYTES (4u << 20) /* a question longer than this is refused */

struct ask {
    const char *endpoint, *system, *model, *tenant;
    struct config_list pictures, stops;
    struct cli_sampling sampling;
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
        "{s:s%, s:s, s:s, s:s, s:s, s:i, s:{s:i,s:i,s:i,s:i,s:i,s:i}, "
        "s:{s:f,s:f,s:f,s:f,s:f,s:f,s:f}}",
        "answer", a->text.data ? a->text.data : "", a->text.size, "finish", finish_names[d->finish],
        "worker", d->worker, "model", d->model, "seed", seed, "attempts", (int)d->attempts, "usage",
        "prompt_positions", (int)u->prompt_positions, "reused_positions", (int)u->reused_positions,
        "answer_tokens", (int)u->answer_tokens, "pictures", (int)u->pictures, "pictures_encoded",
        (int)u->pictures_encoded, "tiles_encoded", (int)u->tiles_encoded, "ms", "queue",
        (double)t->queue_us / 1e3, "wait", (double)t->wait_us / 1e3, "picture",
        (double)t->picture_us / 1e3, "prefill", (double)t->prefill_us / 1e3, "first_token",
        (double)t->first_token_us / 1e3, "decode", (double)t->decode_us / 1e3, "total",
        (double)t->total_us / 1e3));
}

/* With --json the error goes to standard output too, so that a script reads one stream. */
static int fail(const struct ask *a, const struct quire_error *e) {
    if (a->json)
        (void)dump_json(json_pack("{s:{s:s, s:i, s:s, s:I}}", "error", "code",
                                  quire_error_name(e->code), "number", e->code, "message", e->text,
                                  "retry_ms", (json_int_t)e->retry_ms));
    return cli_fail(e);
}

static int read_question(int argc, char **argv, int first, struct cli_text *out, struct error *e) {
    bool from_stdin = first == argc || (first + 1 == argc && strcmp(argv[first], "-") == 0);
    for (int i = first; i < argc && !from_stdin; i++)
        if (!cli_text_add(out, argv[i], strlen(argv[i])) ||
            (i + 1 < argc && !cli_text_add(out, " ", 1)))
            return error_set(e, ERR_NOMEM, "memory ran out");
    if (!from_stdin)
        return 0;
    if (first == argc && isatty(STDIN_FILENO))
        return error_set(e, ERR_USAGE, "no question; give it as words or on standard input");
    char block[4096];
    size_t n;
    while ((n = fread(block, 1, sizeof block, stdin)) > 0) {
        if (out->size + n > STDIN_MAX_BYTES)
            return error_set(e, ERR_LIMIT, "the question is longer than %u bytes", STDIN_MAX_BYTES);
        if (!cli_text_add(out, block, n))
            return error_set(e, ERR_NOMEM, "memory ran out");
    }
    if (ferror(stdin))
        return error_set(e, ERR_IO, "standard input can't be read: %s", strerror(errno));
    while (out->size > 0 && out->data[out->size - 1] == '\n')
        out->data[--out->size] = '\0';
    return out->size > 0 ? 0 : error_set(e, ERR_USAGE, "standard input holds no question");
}

static int add_system(const struct ask *a, struct quire_request *request, struct quire_error *qe) {
    if (a->system == NULL)
        return 0;
    int r = quire_request_message(request, QUIRE_SYSTEM);
    if (r == 0)
        r = quire_request_text(request, a->system, strlen(a->system));
    return cli_explain(r, "the system message", qe);
}

static int add_question(const struct ask *a, const struct cli_text *question,
                        struct quire_request *request, struct quire_error *qe) {
    int r = quire_request_message(request, QUIRE_USER);
    for (size_t i = 0; i < a->pictures.count && r == 0; i++) {
        r = quire_request_picture_file(request, a->pictures.values[i], qe);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = quire_request_text(request, question->data, question->size);
    return cli_explain(r, "the question", qe);
}

static int build(const struct ask *a, const struct cli_text *question,
                 struct quire_request *request, struct quire_error *qe) {
    int r = add_system(a, request, qe);
    if (r == 0)
        r = add_question(a, question, request, qe);
    for (size_t i = 0; i < a->stops.count && r == 0; i++)
        r = cli_explain(quire_request_stop(request, a->stops.values[i], strlen(a->stops.values[i])),
                        "the text of --stop", qe);
    if (r == 0 && a->model != NULL)
        r = cli_explain(quire_request_model(request, a->model), "--model-name", qe);
    if (r == 0 && a->tenant != NULL)
        r = cli_explain(quire_request_tenant(request, a->tenant), "--tenant", qe);
    return r;
}

static int ask_pool(const struct ask *a, const struct quire_request *request) {
    struct quire_error qe = {0};
    struct quire_client *client = NULL;
    struct cli_answer answer = {0};
    int r = quire_open(&client, a->endpoint, CLI_CONNECT_MS, &qe);
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
    struct cli_text question = {0};
    struct quire_request *request = quire_request_new();
    int r = request ? read_question(argc, argv, first, &question, &e)
                    : error_set(&e, ERR_NOMEM, "memory ran out");
    if (r == 0)
        r = cli_sampling_apply(&a->sampling, request, &e);
    qe = cli_error(&e);
    if (r == 0)
        r = build(a, &question, request, &qe);
    int code = r < 0 ? fail(a, &qe) : ask_pool(a, request);
    quire_request_free(request);
    free(question.data);
    return code;
}

int cli_ask(int argc, char **argv) {
    struct ask a = {0};
    cli_sampling_default(&a.sampling);
    struct config_item items[8 + CLI_SAMPLING_ITEMS] = {
        {"image", 'i', CONFIG_LIST, &a.pictures, 0, 0, "FILE",
         "a JPEG or PNG to ask about; may be given many times"},
        {"system", 's', CONFIG_TEXT, &a.system, 0, 0, "TEXT", "a system message to begin with"},
        {"stop", 0, CONFIG_LIST, &a.stops, 0, 0, "TEXT",
         "end the answer before this text; may be given many times"},
        {"json", 0, CONFIG_SWITCH, &a.json, 0, 0, NULL,
         "print one JSON object with answer, usage and timings"},
        {"quiet", 'q', CONFIG_SWITCH, &a.quiet, 0, 0, NULL, "print the answer and nothing else"},
        {"model-name", 0, CONFIG_TEXT, &a.model, 0, 0, "NAME",
         "which model, when the pool holds several"},
        {"tenant", 0, CONFIG_TEXT, &a.tenant, 0, 0, "NAME", "whose request this is"},
        {"endpoint", 'e', CONFIG_TEXT, &a.endpoint, 0, 0, "ENDPOINT",
         "the broker's address (the local one)"},
    };
    cli_sampling_items(&a.sampling, items + 8);
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
