/* cli.c - errors, settings and growing text. */
#include "client/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(int code, const char *text) {
    fputs("quire: ", stderr);
    cli_write_plain(stderr, text, strlen(text));
    fputc('\n', stderr);
    return error_exit_code(code);
}

int cli_fail(const struct quire_error *e) {
    return fail(e->code, e->text);
}

int cli_fail_error(const struct error *e) {
    return fail(e->code, e->text);
}

struct quire_error cli_error(const struct error *e) {
    struct quire_error qe = {.code = e->code};
    (void)snprintf(qe.text, sizeof qe.text, "%s", e->text);
    return qe;
}

int cli_explain(int r, const char *what, struct quire_error *qe) {
    const char *why = r == ERR_NOMEM         ? "needs more memory than there is"
                      : r == ERR_LIMIT       ? "is too long, or one too many"
                      : r == ERR_BAD_REQUEST ? "is not valid UTF-8"
                                             : "must not be empty";
    if (r < 0) {
        *qe = (struct quire_error){.code = r};
        (void)snprintf(qe->text, sizeof qe->text, "%s %s", what, why);
    }
    return r;
}

bool cli_settings(struct config *c, int argc, char **argv, int *operands, int *code) {
    struct error e;
    enum config_outcome outcome;
    int first = argc;
    int r = config_load(c, argc, argv, &first, &outcome, &e);
    if (operands != NULL)
        *operands = first;
    else if (r == 0 && outcome == CONFIG_RUN && first < argc)
        r = error_set(&e, ERR_USAGE, "\"%s\" is not understood; see %s --help", argv[first],
                      c->program);
    if (r < 0) {
        *code = cli_fail_error(&e);
        return false;
    }
    *code = 0;
    return outcome == CONFIG_RUN;
}

/* Bytes of the control character that text begins with: 1, 2 for those of U+0080..U+009F, or 0. */
static size_t control_bytes(const char *text, size_t left) {
    unsigned char c = (unsigned char)text[0];
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
        return 1;
    return c == 0xc2 && left > 1 && ((unsigned char)text[1] & 0xe0) == 0x80 ? 2 : 0;
}

void cli_write_plain(FILE *to, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        size_t control = control_bytes(text + i, size - i);
        (void)putc(control ? '?' : text[i], to);
        i += control > 1;
    }
}

void cli_make_plain(char *text) {
    for (size_t i = 0, size = strlen(text); i < size; i++) {
        size_t control = control_bytes(text + i, size - i);
        memset(text + i, '?', control);
        i += control > 1;
    }
}

bool cli_text_add(struct cli_text *t, const char *data, size_t size) {
    if (t->capacity - t->size < size + 1) {
        size_t wanted = 2 * (t->size + size + 1);
        char *grown = realloc(t->data, wanted);
        if (grown == NULL)
            return false;
        t->data = grown;
        t->capacity = wanted;
    }
    if (size > 0)
        memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = '\0';
    return true;
}
