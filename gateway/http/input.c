/* input.c - a look at a body before it is parsed.
 *
 * Three bytes of "[],[],[]" become a hundred bytes of memory, so a body within its bound could take
 * gigabytes. The look counts what a parser would make of it; whether it is JSON is not its matter.
 * On its way it finds the long strings (aside.h). */
#include "gateway/http/input.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/http/aside.h"

/* The quote that ends the string that begins at p, or the end. */
static const char *string_end(const char *p, const char *end) {
    for (;;) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (quote == NULL)
            return end;
        const char *q = quote; /* escaped when the backslashes before it are odd in number */
        while (q > p && q[-1] == '\\')
            q--;
        if ((quote - q) % 2 == 0)
            return quote;
        p = quote + 1;
    }
}

static int look(const char *p, const char *end, struct aside *a, struct fault *f) {
    size_t values = 1, depth = 0;
    while (p < end) {
        char c = *p++;
        if (c == '"') {
            const char *quote = string_end(p, end);
            aside_take(a, p, (size_t)(quote - p), end);
            p = quote < end ? quote + 1 : end;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
        values += c == '[' || c == '{' || c == ',' || c == ':';
        if (depth > INPUT_DEPTH)
            return fault_set(f, 400, ERR_LIMIT, "", "the JSON is nested more than %d deep",
                             INPUT_DEPTH);
        if (values > INPUT_VALUES)
            return fault_set(f, 400, ERR_LIMIT, "", "the JSON has more than %zu values",
                             INPUT_VALUES);
    }
    return 0;
}

static json_t *parse(const struct aside *a, const char *data, size_t bytes, json_error_t *e) {
    if (a->count == 0)
        return json_loadb(data, bytes, JSON_REJECT_DUPLICATES, e);
    size_t shorter;
    char *text = aside_shorten(a, data, bytes, &shorter);
    json_t *value = text ? json_loadb(text, shorter, JSON_REJECT_DUPLICATES, e) : NULL;
    free(text);
    if (value && aside_restore(a, &value) < 0) {
        json_decref(value);
        value = NULL;
    }
    return value;
}

json_t *input_read(const char *data, size_t bytes, struct fault *f) {
    json_error_t e = {.line = 0};
    struct aside a;
    if (bytes == 0) {
        fault_set(f, 400, ERR_BAD_REQUEST, "", "the body is empty; send JSON");
        return NULL;
    }
    aside_open(&a);
    if (look(data, data + bytes, &a, f) < 0)
        return NULL;
    json_t *value = parse(&a, data, bytes, &e);
    if (value)
        return value;
    enum json_error_code why = json_error_code(&e);
    if (why == json_error_null_character || why == json_error_numeric_overflow) {
        fault_set(f, 400, ERR_UNSUPPORTED, "", "the body has %s, which is not taken here",
                  why == json_error_null_character ? "a text with \\u0000"
                                                   : "a number that is too large");
        return NULL;
    }
    /* jansson's own sentence may quote the body, and that may be private. Columns are wrong where
     * strings were set aside. */
    if (e.line == 0)
        fault_set(f, 503, ERR_NOMEM, "", "memory ran out");
    else if (a.count > 0)
        fault_set(f, 400, ERR_BAD_REQUEST, "", "the body is not valid JSON (line %d)", e.line);
    else
        fault_set(f, 400, ERR_BAD_REQUEST, "", "the body is not valid JSON (line %d, column %d)",
                  e.line, e.column);
    return NULL;
}
