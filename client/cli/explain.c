/* explain.c - quire explain: of a past request, of one in a file, or of a question as `quire ask`
 * takes it. None of them is run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/explain_view.h"
#include "client/cli/question.h"
#include "client/cli/request_file.h"
#include "client/cli/views.h"

struct explain {
    struct cli_question question;
    const char *file;
    bool json;
};

/* 32 hexadecimal digits, as `quire requests` prints them. */
static bool parse_id(const char *text, uint8_t id[QUIRE_ID_BYTES]) {
    if (strlen(text) != 2 * QUIRE_ID_BYTES || strspn(text, "0123456789abcdefABCDEF") != 32)
        return false;
    for (size_t i = 0; i < QUIRE_ID_BYTES; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        id[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static int ask_broker(const struct explain *x, const struct quire_request *request,
                      const uint8_t *id, struct quire_error *qe) {
    struct quire_client *client = NULL;
    struct quire_explanation *explanation = NULL;
    int r = quire_open(&client, x->question.endpoint, CLI_CONNECT_MS, qe);
    if (r == 0)
        r = quire_explain(client, VIEW_QUERY_MS, request, id, &explanation, qe);
    if (r == 0)
        view_explanation(explanation, x->json);
    free(explanation);
    quire_close(client);
    return r;
}

static int explain_question(const struct explain *x, int argc, char **argv, int first,
                            struct quire_error *qe) {
    struct error e = {0};
    struct cli_text words = {0};
    struct quire_request *request = NULL;
    int r = cli_question_read(argc, argv, first, &words, &e);
    *qe = cli_error(&e);
    if (r == 0)
        r = cli_question_build(&x->question, &words, &request, qe);
    if (r == 0)
        r = ask_broker(x, request, NULL, qe);
    quire_request_free(request);
    free(words.data);
    return r;
}

static int explain_file(const struct explain *x, struct quire_error *qe) {
    struct error e = {0};
    struct quire_request *request = NULL;
    int r = request_file_read(x->file, &request, &e);
    *qe = cli_error(&e);
    if (r == 0)
        r = ask_broker(x, request, NULL, qe);
    quire_request_free(request);
    return r;
}

static int run(const struct explain *x, int argc, char **argv, int first) {
    struct quire_error qe = {0};
    uint8_t id[QUIRE_ID_BYTES];
    int words = argc - first, r;
    bool question = words > 0 || x->question.pictures.count > 0 || x->question.system != NULL;
    if (x->file != NULL && question) {
        qe = (struct quire_error){.code = ERR_USAGE,
                                  .text = "--file holds the whole request; leave the rest out"};
        r = ERR_USAGE;
    } else if (x->file != NULL) {
        r = explain_file(x, &qe);
    } else if (words == 1 && parse_id(argv[first], id)) {
        r = ask_broker(x, NULL, id, &qe);
    } else {
        r = question ? explain_question(x, argc, argv, first, &qe) : ask_broker(x, NULL, NULL, &qe);
    }
    return r < 0 ? cli_fail(&qe) : 0;
}

int cli_explain_choice(int argc, char **argv) {
    struct explain x = {0};
    struct config_item items[2 + CLI_QUESTION_ITEMS] = {
        {"file", 'f', CONFIG_TEXT, &x.file, 0, 0, "FILE",
         "a request as JSON: {\"messages\": [{\"role\": \"user\",\n\"parts\": [{\"picture\": "
         "\"a.png\"}, {\"text\": \"...\"}]}]}"},
        {"json", 0, CONFIG_SWITCH, &x.json, 0, 0, NULL, "print JSON"},
    };
    cli_question_items(&x.question, items + 2);
    struct config c = {
        .program = "quire explain",
        .section = "explain",
        .usage = "quire explain [ID | --file FILE | [-i FILE]... QUESTION...] [OPTION...]",
        .summary = "Tells for each segment of a request who holds it, what each worker would need "
                   "until the\nfirst token, and which one is chosen. Without a request: the last "
                   "one that was sent to a\nworker; ID: an earlier one, as long as the broker "
                   "remembers it. Nothing is run.",
        .epilogue = "  quire explain\n  quire explain -i photo.jpg \"What is this?\"",
        .items = items,
        .n_items = sizeof items / sizeof items[0]};
    int first, code;
    if (cli_settings(&c, argc, argv, &first, &code))
        code = run(&x, argc, argv, first);
    config_close(&c);
    return code;
}
