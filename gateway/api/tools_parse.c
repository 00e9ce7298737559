/* tools_parse.c - a machine of three states over the bytes of an answer.
 *
 *     words  text of the answer, until <tool_call>. What could be the beginning of the mark is held
 *            back, and the space before it, since space between text and call belongs to neither.
 *     call   an object with name and arguments; a value is followed by counting brackets outside
 *            strings. All bytes are kept until the name is known, so that what is no call can be
 *            given back as text.
 *     tail   after the call, until </tool_call>. A call that breaks JSON's rules ends here too.
 *
 * A forced answer begins in `call`, and nothing follows it. */
#include "gateway/api/tools_parse.h"

#include <stdlib.h>
#include <string.h>

static const char open_mark[] = "<tool_call>", close_mark[] = "</tool_call>";

enum state { IN_WORDS, IN_CALL, IN_TAIL, IN_NOTHING };
enum place { BEFORE_OBJECT, BEFORE_KEY, IN_KEY, BEFORE_COLON, BEFORE_VALUE, IN_VALUE, AFTER_VALUE };
enum field { FIELD_OTHER, FIELD_NAME, FIELD_ARGUMENTS };

struct tools_parser {
    struct tools_sink sink;
    enum tools_mode mode;
    bool one_call;
    enum state state;
    struct text held; /* words or tail: what may be a mark; call: all of it until it has a name */
    size_t calls;
    bool after_call; /* no words came since the last call */
    /* the call under way */
    enum place place;
    enum field field;
    struct text token;     /* the key, or the name, as it stands in the JSON */
    struct text arguments; /* that came before the name */
    bool named, argued;
    bool in_string, escaped;
    char kind;      /* first byte of the value under way */
    unsigned depth; /* of brackets in it */
};

struct tools_parser *tools_parser_open(enum tools_mode mode, bool one_call,
                                       const struct tools_sink *sink) {
    struct tools_parser *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->sink = *sink;
    p->mode = mode;
    p->one_call = one_call;
    p->state = mode == TOOLS_FORCED ? IN_CALL : IN_WORDS;
    text_init(&p->held, TOOLS_TEXT_BYTES);
    text_init(&p->token, TOOLS_TEXT_BYTES);
    text_init(&p->arguments, TOOLS_TEXT_BYTES);
    return p;
}

void tools_parser_close(struct tools_parser *p) {
    if (p == NULL)
        return;
    text_close(&p->held);
    text_close(&p->token);
    text_close(&p->arguments);
    free(p);
}

size_t tools_parser_calls(const struct tools_parser *p) {
    return p->calls;
}

bool tools_parser_failed(const struct tools_parser *p) {
    return p->held.failed || p->token.failed || p->arguments.failed;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- words ---- */

/* Tells text; between and after calls the space at its beginning is dropped. */
static void tell_words(struct tools_parser *p, size_t bytes, void *arg) {
    size_t skip = 0;
    if (p->after_call)
        while (skip < bytes && is_space(p->held.data[skip]))
            skip++;
    if (skip < bytes) {
        p->after_call = false;
        p->sink.text(arg, p->held.data + skip, bytes - skip);
    }
    text_drop(&p->held, bytes);
}

static size_t trimmed(const char *data, size_t bytes) {
    while (bytes > 0 && is_space(data[bytes - 1]))
        bytes--;
    return bytes;
}

/* How many of the last bytes may be the beginning of the mark. */
static size_t begun_mark(const struct text *t, const char *mark) {
    size_t n = strlen(mark) - 1;
    for (n = n < t->size ? n : t->size; n > 0; n--)
        if (memcmp(t->data + t->size - n, mark, n) == 0)
            break;
    return n;
}

static void call_begin(struct tools_parser *p) {
    p->state = IN_CALL;
    p->place = BEFORE_OBJECT;
    p->named = p->argued = false;
    p->token.size = p->arguments.size = 0;
}

/* Returns whether the state changed. */
static bool step_words(struct tools_parser *p, void *arg) {
    struct text *held = &p->held;
    const char *mark =
        held->size > 0 ? memmem(held->data, held->size, open_mark, sizeof open_mark - 1) : NULL;
    if (mark != NULL) {
        size_t at = (size_t)(mark - held->data), words = trimmed(held->data, at);
        tell_words(p, words, arg);
        text_drop(held, at - words + sizeof open_mark - 1);
        call_begin(p);
        return true;
    }
    tell_words(p, trimmed(held->data, held->size - begun_mark(held, open_mark)), arg);
    return false;
}

/* ---- a call ---- */

static void tell_arguments(struct tools_parser *p, const char *data, size_t bytes, void *arg) {
    if (!p->named)
        text_add(&p->arguments, data, bytes);
    else if (bytes > 0)
        p->sink.arguments(arg, p->calls - 1, data, bytes);
}

/* The name's JSON is complete. */
static bool name_known(struct tools_parser *p, void *arg) {
    json_t *name = json_loadb(p->token.data, p->token.size, JSON_DECODE_ANY, NULL);
    bool fits = json_is_string(name) && json_string_length(name) > 0 && !p->named;
    if (fits) {
        p->named = true;
        p->held.size = 0;
        p->sink.call(arg, p->calls++, json_string_value(name));
        tell_arguments(p, p->arguments.data, p->arguments.size, arg);
    }
    json_decref(name);
    return fits;
}

static void call_end(struct tools_parser *p, void *arg) {
    p->sink.call_end(arg, p->calls - 1);
    p->after_call = true;
    p->held.size = 0;
    p->state = p->one_call || p->mode == TOOLS_FORCED ? IN_NOTHING : IN_TAIL;
}

/* It can't be a call any more. One with a name is told as far as it got. */
static void call_break(struct tools_parser *p, void *arg) {
    if (p->named) {
        call_end(p, arg);
        return;
    }
    if (p->mode == TOOLS_MARKED)
        p->sink.text(arg, open_mark, sizeof open_mark - 1);
    if (p->held.size > 0)
        p->sink.text(arg, p->held.data, p->held.size);
    p->held.size = 0;
    p->after_call = false;
    p->state = IN_WORDS;
}

static enum field field_of(const struct text *key) {
    if (key->size == 6 && memcmp(key->data, "\"name\"", 6) == 0)
        return FIELD_NAME;
    if (key->size == 11 && memcmp(key->data, "\"arguments\"", 11) == 0)
        return FIELD_ARGUMENTS;
    return FIELD_OTHER;
}

/* Only what JSON has, which is one byte long each: it is told by itself. */
static bool begins_value(char c) {
    return c != '\0' && strchr("{[\"-0123456789tfn", c) != NULL;
}

static void value_begin(struct tools_parser *p, char c) {
    p->place = IN_VALUE;
    p->kind = c;
    p->in_string = c == '"';
    p->escaped = false;
    p->depth = c == '{' || c == '[' ? 1 : 0;
    p->token.size = 0;
}

/* One byte inside a string: 1 when it closes it, -1 when JSON does not allow it. */
static int string_byte(struct tools_parser *p, char c) {
    if (p->escaped)
        p->escaped = false;
    else if (c == '\\')
        p->escaped = true;
    else if (c == '"')
        return 1;
    return (unsigned char)c < 0x20 ? -1 : 0;
}

/* One byte of a value behind its first: 1 when it is the last, 2 when the value ended before it, -1
 * when it breaks the value. */
static int value_byte(struct tools_parser *p, char c) {
    if (p->in_string) {
        int rc = string_byte(p, c);
        if (rc == 1)
            p->in_string = false;
        return rc == 1 && p->depth == 0 ? 1 : rc < 0 ? -1 : 0;
    }
    if (p->depth == 0) /* a number or a word */
        return c == ',' || c == '}' || is_space(c) ? 2 : 0;
    if (c == '"')
        p->in_string = true;
    else if (c == '{' || c == '[')
        p->depth++;
    else if (c == '}' || c == ']')
        p->depth--;
    return p->depth == 0 ? 1 : 0;
}

static void take_value_byte(struct tools_parser *p, const char *c, void *arg) {
    if (p->field == FIELD_NAME)
        text_add(&p->token, c, 1);
    if (p->field == FIELD_ARGUMENTS)
        tell_arguments(p, c, 1, arg);
}

/* The bytes of a value from *data on. Arguments are told in runs. False: the value broke. */
static bool step_value(struct tools_parser *p, const char *data, size_t bytes, size_t *at,
                       void *arg) {
    size_t start = *at;
    int rc = 0;
    while (*at < bytes && rc == 0) {
        rc = value_byte(p, data[*at]);
        if (rc == 0 || rc == 1)
            (*at)++;
    }
    if (p->field == FIELD_ARGUMENTS && *at > start)
        tell_arguments(p, data + start, *at - start, arg);
    else if (p->field == FIELD_NAME)
        text_add(&p->token, data + start, *at - start);
    if (rc > 0)
        p->place = AFTER_VALUE;
    return rc >= 0 && (rc == 0 || p->field != FIELD_NAME || name_known(p, arg));
}

/* One byte outside values. False: it breaks the call. Sets *end when the object closed. */
static bool step_between(struct tools_parser *p, const char *c, bool *end, void *arg) {
    int rc;
    if (is_space(*c) && p->place != IN_KEY)
        return true;
    switch (p->place) {
    case BEFORE_OBJECT:
        p->place = BEFORE_KEY;
        return *c == '{';
    case BEFORE_KEY:
        p->place = IN_KEY;
        p->token.size = 0;
        p->escaped = false;
        text_add(&p->token, c, 1);
        return *c == '"';
    case IN_KEY:
        rc = string_byte(p, *c);
        text_add(&p->token, c, 1);
        if (rc == 1)
            p->place = BEFORE_COLON;
        return rc >= 0;
    case BEFORE_COLON:
        p->field = field_of(&p->token);
        p->place = BEFORE_VALUE;
        return *c == ':' && !(p->field == FIELD_ARGUMENTS && p->argued);
    case BEFORE_VALUE:
        if (!begins_value(*c))
            return false;
        value_begin(p, *c);
        p->argued = p->argued || p->field == FIELD_ARGUMENTS;
        take_value_byte(p, c, arg);
        return true;
    case AFTER_VALUE:
        p->place = BEFORE_KEY;
        *end = *c == '}';
        return *end || *c == ',';
    case IN_VALUE:
        break;
    }
    return false;
}

/* Reads a call as far as the data goes; returns how many bytes were used. The byte that breaks a
 * call is not used: it may begin the mark of its end. */
static size_t step_call(struct tools_parser *p, const char *data, size_t bytes, void *arg) {
    size_t at = 0;
    while (at < bytes && p->state == IN_CALL) {
        size_t before = at;
        bool end = false, fits;
        if (p->place == IN_VALUE)
            fits = step_value(p, data, bytes, &at, arg);
        else
            fits = step_between(p, &data[at], &end, arg) && ++at > 0;
        if (!p->named) /* for call_break */
            text_add(&p->held, data + before, at - before);
        if (fits && end && p->named) {
            if (!p->argued)
                tell_arguments(p, "{}", 2, arg);
            call_end(p, arg);
        } else if (!fits || end) {
            call_break(p, arg);
        }
    }
    return at;
}

/* ---- the whole ---- */

static bool step_tail(struct tools_parser *p) {
    struct text *held = &p->held;
    const char *mark =
        held->size > 0 ? memmem(held->data, held->size, close_mark, sizeof close_mark - 1) : NULL;
    if (mark == NULL) {
        text_drop(held, held->size - begun_mark(held, close_mark));
        return false;
    }
    text_drop(held, (size_t)(mark - held->data) + sizeof close_mark - 1);
    p->state = IN_WORDS;
    return true;
}

void tools_parser_feed(struct tools_parser *p, const char *data, size_t bytes, void *arg) {
    if (p->state != IN_CALL && p->state != IN_NOTHING)
        text_add(&p->held, data, bytes);
    else if (p->state == IN_CALL) {
        size_t used = step_call(p, data, bytes, arg);
        if (p->state != IN_CALL && p->state != IN_NOTHING)
            text_add(&p->held, data + used, bytes - used);
    }
    for (bool changed = true; changed && !tools_parser_failed(p);) {
        changed = false;
        if (p->state == IN_WORDS)
            changed = step_words(p, arg);
        else if (p->state == IN_TAIL)
            changed = step_tail(p);
        if (changed && p->state == IN_CALL) { /* what is held lies behind the mark */
            struct text rest = p->held;
            text_init(&p->held, TOOLS_TEXT_BYTES);
            size_t used = step_call(p, rest.data, rest.size, arg);
            if (p->state != IN_CALL && p->state != IN_NOTHING)
                text_add(&p->held, rest.data + used, rest.size - used);
            text_close(&rest);
            changed = p->state != IN_CALL;
        }
    }
}

void tools_parser_finish(struct tools_parser *p, void *arg) {
    if (p->state == IN_CALL && (p->named || p->held.size > 0 || p->mode == TOOLS_MARKED))
        call_break(p, arg);
    if (p->state == IN_WORDS)
        tell_words(p, p->calls > 0 ? trimmed(p->held.data, p->held.size) : p->held.size, arg);
    p->state = IN_NOTHING;
}
