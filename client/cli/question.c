/* question.c - flags and words become a request. */
#include "client/cli/question.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/limits.h"

#define STDIN_MAX_BYTES (4u << 20) /* a question longer than this is refused */

void cli_question_items(struct cli_question *q, struct config_item *items) {
    const struct config_item own[CLI_QUESTION_ITEMS - CLI_SAMPLING_ITEMS] = {
        {"image", 'i', CONFIG_LIST, &q->pictures, 0, 0, "FILE",
         "a JPEG or PNG to ask about; may be given many times"},
        {"max-pixels", 0, CONFIG_INT, &q->max_pixels, 0, UINT32_MAX, "N",
         "scale pictures down to hold no more than N pixels;\n0: no bound (0)"},
        {"detail", 0, CONFIG_TEXT, &q->detail, 0, 0, "WORD",
         "low: the overview alone, where a model cuts tiles (high)"},
        {"system", 's', CONFIG_TEXT, &q->system, 0, 0, "TEXT", "a system message to begin with"},
        {"stop", 0, CONFIG_LIST, &q->stops, 0, 0, "TEXT",
         "end the answer before this text; may be given many times"},
        {"model-name", 0, CONFIG_TEXT, &q->model, 0, 0, "NAME",
         "which model, when the pool holds several"},
        {"tenant", 0, CONFIG_TEXT, &q->tenant, 0, 0, "NAME", "whose request this is"},
        {"schema", 0, CONFIG_TEXT, &q->schema, 0, 0, "FILE",
         "a JSON Schema that the answer will fit"},
        {"priority", 0, CONFIG_TEXT, &q->priority, 0, 0, "WORD",
         "low, normal or high: who of those that wait goes first (normal)"},
        {"endpoint", 'e', CONFIG_TEXT, &q->endpoint, 0, 0, "ENDPOINT",
         "the broker's address (the local one)"},
    };
    memcpy(items, own, sizeof own);
    cli_sampling_default(&q->sampling);
    cli_sampling_items(&q->sampling, items + sizeof own / sizeof own[0]);
}

static int read_input(struct cli_text *out, struct error *e) {
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

int cli_question_read(int argc, char **argv, int first, struct cli_text *out, struct error *e) {
    bool from_stdin = first == argc || (first + 1 == argc && strcmp(argv[first], "-") == 0);
    for (int i = first; i < argc && !from_stdin; i++)
        if (!cli_text_add(out, argv[i], strlen(argv[i])) ||
            (i + 1 < argc && !cli_text_add(out, " ", 1)))
            return error_set(e, ERR_NOMEM, "memory ran out");
    if (!from_stdin)
        return 0;
    if (first == argc && isatty(STDIN_FILENO))
        return error_set(e, ERR_USAGE, "no question; give it as words or on standard input");
    return read_input(out, e);
}

static int add_system(const struct cli_question *q, struct quire_request *request,
                      struct quire_error *qe) {
    if (q->system == NULL)
        return 0;
    int r = quire_request_message(request, QUIRE_SYSTEM);
    if (r == 0)
        r = quire_request_text(request, q->system, strlen(q->system));
    return cli_explain(r, "the system message", qe);
}

static int add_pictures(const struct cli_question *q, struct quire_request *request,
                        struct quire_error *qe) {
    bool low = q->detail != NULL && strcmp(q->detail, "low") == 0;
    int r = 0;
    if (q->detail != NULL && !low && strcmp(q->detail, "high") != 0) {
        *qe = (struct quire_error){.code = ERR_USAGE, .text = "--detail is low or high"};
        return ERR_USAGE;
    }
    (void)quire_request_look(request, (uint32_t)q->max_pixels,
                             low ? QUIRE_DETAIL_LOW : QUIRE_DETAIL_HIGH);
    for (size_t i = 0; i < q->pictures.count && r == 0; i++)
        r = quire_request_picture_file(request, q->pictures.values[i], qe);
    return r;
}

static int add_priority(const struct cli_question *q, struct quire_request *request,
                        struct quire_error *qe) {
    static const char *const names[] = {"low", "normal", "high"};
    for (int i = QUIRE_PRIORITY_LOW; q->priority != NULL && i <= QUIRE_PRIORITY_HIGH; i++) {
        if (strcmp(q->priority, names[i]) == 0) {
            quire_request_priority(request, (enum quire_priority)i);
            return 0;
        }
    }
    if (q->priority == NULL)
        return 0;
    *qe = (struct quire_error){.code = ERR_USAGE, .text = "--priority is low, normal or high"};
    return ERR_USAGE;
}

static int add_schema(const struct cli_question *q, struct quire_request *request,
                      struct quire_error *qe) {
    if (q->schema == NULL)
        return 0;
    static char text[LIMIT_SCHEMA_BYTES + 1];
    FILE *f = fopen(q->schema, "re");
    size_t size = f != NULL ? fread(text, 1, sizeof text, f) : 0;
    int code = f == NULL ? errno : ferror(f) ? EIO : 0;
    if (f != NULL)
        (void)fclose(f);
    if (code == 0)
        return cli_explain(quire_request_schema(request, text, size), "the text of --schema", qe);
    qe->code = code == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    (void)snprintf(qe->text, sizeof qe->text, "%s: %s", q->schema, strerror(code));
    return qe->code;
}

static int add_words(const struct cli_question *q, const struct cli_text *words,
                     struct quire_request *request, struct quire_error *qe) {
    int r = cli_explain(quire_request_message(request, QUIRE_USER), "the question", qe);
    if (r == 0)
        r = add_pictures(q, request, qe);
    if (r == 0)
        r = cli_explain(quire_request_text(request, words->data, words->size), "the question", qe);
    return r;
}

int cli_question_build(const struct cli_question *q, const struct cli_text *words,
                       struct quire_request **out, struct quire_error *qe) {
    struct error e = {0};
    struct quire_request *request = *out = quire_request_new();
    int r = request != NULL ? 0 : error_set(&e, ERR_NOMEM, "memory ran out");
    if (r == 0)
        r = cli_sampling_apply(&q->sampling, request, &e);
    *qe = cli_error(&e);
    if (r == 0)
        r = add_system(q, request, qe);
    if (r == 0)
        r = add_words(q, words, request, qe);
    for (size_t i = 0; i < q->stops.count && r == 0; i++)
        r = cli_explain(quire_request_stop(request, q->stops.values[i], strlen(q->stops.values[i])),
                        "the text of --stop", qe);
    if (r == 0 && q->model != NULL)
        r = cli_explain(quire_request_model(request, q->model), "--model-name", qe);
    if (r == 0 && q->tenant != NULL)
        r = cli_explain(quire_request_tenant(request, q->tenant), "--tenant", qe);
    if (r == 0)
        r = add_priority(q, request, qe);
    if (r == 0)
        r = add_schema(q, request, qe);
    return r;
}
