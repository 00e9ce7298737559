/* trace_read.c - a trace from JSON lines (FORMAT.md). Every refusal names the file and the line. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/replay/random.h"
#include "client/cli/replay/shapes.h"
#include "client/cli/replay/trace.h"
#include "proto/limits.h"

#define RECORDED "recorded"

/* ---- values ---- */

/* Refuses what is no object, and keys that are none of `known` (NULL ends the list). */
static int check_keys(const json_t *object, const char *what, const char *const *known,
                      struct error *e) {
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return error_set(e, ERR_USAGE, "%s is no object", what);
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] == NULL)
            return error_set(e, ERR_USAGE, "%s has no key \"%.40s\"", what, key);
    }
    return 0;
}

/* A whole number least..most; absent: *out stays. */
static int take_number(const json_t *object, const char *key, int64_t least, int64_t most,
                       int64_t *out, struct error *e) {
    const json_t *value = json_object_get(object, key);
    if (value == NULL)
        return 0;
    double real = json_number_value(value);
    if (!json_is_number(value) || !(real >= (double)least && real <= (double)most))
        return error_set(e, ERR_USAGE, "\"%s\" is not a number of %" PRId64 "..%" PRId64, key,
                         least, most);
    *out = json_is_integer(value) ? json_integer_value(value) : (int64_t)real;
    return 0;
}

static int take_seed(const json_t *object, uint64_t *out, struct error *e) {
    const json_t *value = json_object_get(object, "seed");
    const char *text = json_string_value(value);
    if (value == NULL)
        return 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    char *end = NULL;
    errno = 0;
    if (text != NULL && text[0] >= '0' && text[0] <= '9')
        *out = strtoull(text, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0)
        return error_set(e, ERR_USAGE, "\"seed\" is not a whole number of 64 bits");
    return 0;
}

/* A name, never empty; absent is refused unless *out is set already. */
static int take_name(const json_t *object, const char *key, const char **out, struct error *e) {
    const json_t *value = json_object_get(object, key);
    if (value == NULL && *out != NULL)
        return 0;
    size_t size = json_string_length(value);
    if (size == 0 || size >= TRACE_NAME_BYTES || strlen(json_string_value(value)) != size)
        return error_set(e, ERR_USAGE, "\"%s\" is not a text of 1..%d bytes", key,
                         TRACE_NAME_BYTES - 1);
    *out = json_string_value(value);
    return 0;
}

/* ---- parts ---- */

static int take_picture(struct trace_turn *turn, const json_t *picture, uint64_t place,
                        struct error *e) {
    static const char *const known[] = {"seed", "width", "height", "file", NULL};
    int64_t width = SHAPES_PICTURE_WIDTH, height = SHAPES_PICTURE_HEIGHT;
    uint64_t seed = place;
    int rc = check_keys(picture, "a picture", known, e);
    const json_t *file = json_object_get(picture, "file");
    if (rc == 0 && file != NULL) {
        if (json_string_length(file) == 0 || json_object_size(picture) != 1)
            return error_set(e, ERR_USAGE, "a picture's \"file\" is a path, and stands alone");
        return trace_file_picture(turn, json_string_value(file), e);
    }
    if (rc == 0)
        rc = take_seed(picture, &seed, e);
    if (rc == 0)
        rc = take_number(picture, "width", 1, UINT16_MAX, &width, e);
    if (rc == 0)
        rc = take_number(picture, "height", 1, UINT16_MAX, &height, e);
    return rc == 0 ? trace_made_picture(turn, seed, (uint32_t)width, (uint32_t)height, e) : rc;
}

struct text_part {
    const char *text; /* NULL: made from the seed */
    uint64_t seed;
    size_t bytes;
};

static int take_text(const json_t *part, uint64_t place, struct text_part *out, struct error *e) {
    static const char *const known[] = {"text", "text_bytes", "seed", NULL};
    int64_t bytes = 0;
    int rc = check_keys(part, "a part", known, e);
    const json_t *text = json_object_get(part, "text");
    *out = (struct text_part){.seed = place};
    if (rc == 0 && text != NULL) {
        if (!json_is_string(text) || json_object_size(part) != 1)
            return error_set(e, ERR_USAGE, "a part's \"text\" is a text, and stands alone");
        out->text = json_string_value(text);
        out->bytes = json_string_length(text);
        return 0;
    }
    if (rc == 0)
        rc = take_seed(part, &out->seed, e);
    if (rc == 0)
        rc = take_number(part, "text_bytes", 1, TRACE_MAX_TEXT_BYTES, &bytes, e);
    if (rc == 0 && bytes == 0)
        return error_set(e, ERR_USAGE, "a part has \"text\", \"text_bytes\" or \"picture\"");
    out->bytes = (size_t)bytes;
    return rc;
}

static int take_parts(struct trace_turn *turn, const json_t *line, uint64_t place,
                      struct error *e) {
    const json_t *parts = json_object_get(line, "parts");
    if (json_array_size(parts) == 0)
        return error_set(e, ERR_USAGE, "\"parts\" is not a list with at least one part");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i), *picture = json_object_get(part, "picture");
        struct text_part text;
        int rc;
        uint64_t here = random_branch(place, i + 1);
        if (picture != NULL && json_object_size(part) == 1) {
            rc = take_picture(turn, picture, here, e);
        } else {
            rc = take_text(part, here, &text, e);
            if (rc == 0)
                rc = text.text != NULL ? trace_text(turn, text.text, text.bytes, e)
                                       : trace_made_text(turn, text.seed, text.bytes, e);
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int take_system(struct trace_turn *turn, const json_t *line, uint64_t place,
                       struct error *e) {
    const json_t *system = json_object_get(line, "system");
    struct text_part text;
    if (system == NULL)
        return 0;
    if (turn->from != TRACE_NONE)
        return error_set(e, ERR_USAGE, "\"system\" stands only where a conversation begins");
    int rc = take_text(system, random_branch(place, 0), &text, e);
    return rc == 0 ? trace_system(turn, text.text, text.seed, text.bytes, e) : rc;
}

/* ---- lines ---- */

/* What a fork goes on from; only in a conversation's first line. */
static int take_from(const struct trace *t, uint32_t conversation, const json_t *line,
                     uint32_t *from, struct error *e) {
    static const char *const known[] = {"conversation", "turn", NULL};
    const json_t *value = json_object_get(line, "from");
    const char *name = NULL;
    int64_t turn = 0;
    if (value == NULL)
        return 0;
    if (t->conversations[conversation].last != TRACE_NONE)
        return error_set(e, ERR_USAGE, "\"from\" stands only in a conversation's first line");
    int rc = check_keys(value, "\"from\"", known, e);
    if (rc == 0)
        rc = take_name(value, "conversation", &name, e);
    if (rc == 0)
        rc = take_number(value, "turn", 1, UINT32_MAX - 1, &turn, e);
    if (rc != 0)
        return rc;
    *from = trace_find(t, name, (uint32_t)turn);
    return *from != TRACE_NONE
               ? 0
               : error_set(e, ERR_USAGE,
                           "no earlier line is turn %" PRId64 " of conversation \"%s\"", turn,
                           name);
}

/* Where a line stands, as a seed: its conversation's name and its turn. */
static uint64_t place_of(const char *name, int64_t turn) {
    uint64_t place = (uint64_t)turn;
    for (const char *c = name; *c != '\0'; c++)
        place = random_branch(place, (unsigned char)*c + 1u);
    return place;
}

struct head {
    const char *conversation, *shape;
    int64_t turn, at_ms, keep, max_tokens;
};

static int take_head(const json_t *line, struct head *h, struct error *e) {
    static const char *const known[] = {"conversation", "turn", "at_ms",      "system", "parts",
                                        "from",         "keep", "max_tokens", "shape",  NULL};
    *h = (struct head){.shape = RECORDED, .at_ms = -1, .max_tokens = TRACE_MAX_TOKENS};
    int rc = check_keys(line, "the line", known, e);
    if (rc == 0)
        rc = take_name(line, "conversation", &h->conversation, e);
    if (rc == 0)
        rc = take_name(line, "shape", &h->shape, e);
    if (rc == 0)
        rc = take_number(line, "turn", 1, TRACE_MAX_TURNS, &h->turn, e);
    if (rc == 0)
        rc = take_number(line, "at_ms", 0, INT64_C(1) << 50, &h->at_ms, e);
    if (rc == 0)
        rc = take_number(line, "keep", 1, TRACE_MAX_TURNS, &h->keep, e);
    if (rc == 0)
        rc = take_number(line, "max_tokens", 1, LIMIT_MAX_TOKENS, &h->max_tokens, e);
    return rc;
}

static int take_line(struct trace *t, const json_t *line, struct error *e) {
    struct head h;
    struct trace_turn *turn = NULL;
    uint32_t conversation = 0, shape = 0, from = TRACE_NONE;
    int rc = take_head(line, &h, e);
    if (rc == 0)
        rc = trace_shape(t, h.shape, &shape, e);
    if (rc == 0)
        rc = trace_conversation(t, h.conversation, &conversation, e);
    if (rc == 0)
        rc = take_from(t, conversation, line, &from, e);
    if (rc == 0)
        rc = trace_turn(t, conversation, shape, from, &turn, e);
    if (rc != 0)
        return rc;
    if (turn->turn != h.turn)
        return error_set(e, ERR_USAGE,
                         "\"turn\" is not %" PRIu32 ", the next of conversation \"%s\"", turn->turn,
                         h.conversation);
    turn->at_ms = h.at_ms;
    turn->keep = (uint32_t)h.keep;
    turn->max_tokens = (uint32_t)h.max_tokens;
    uint64_t place = place_of(h.conversation, h.turn);
    rc = take_system(turn, line, place, e);
    return rc == 0 ? take_parts(turn, line, place, e) : rc;
}

static int read_lines(struct trace *t, FILE *f, struct error *e) {
    char *text = NULL;
    size_t room = 0;
    int rc = 0;
    ssize_t size;
    for (int number = 1; rc == 0 && (size = getline(&text, &room, f)) > 0; number++) {
        json_error_t wrong;
        if (strspn(text, " \t\r\n") == (size_t)size)
            continue;
        json_t *line = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &wrong);
        rc = line != NULL ? take_line(t, line, e)
                          : error_set(e, ERR_USAGE, "this is no JSON: %s", wrong.text);
        json_decref(line);
        if (rc != 0)
            error_prefix(e, "line %d", number);
    }
    if (rc == 0 && ferror(f))
        rc = error_set(e, ERR_IO, "it can't be read: %s", strerror(errno));
    free(text);
    if (rc == 0 && t->n_turns == 0)
        rc = error_set(e, ERR_USAGE, "there is no turn in it");
    return rc;
}

static void keep_folder(struct trace *t, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (size < sizeof t->folder) {
        memcpy(t->folder, path, size);
        t->folder[size] = '\0';
    }
}

int trace_read(struct trace *out, const char *path, struct error *e) {
    memset(out, 0, sizeof *out);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return error_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s can't be opened: %s",
                         path, strerror(errno));
    keep_folder(out, path);
    int rc = read_lines(out, f, e);
    (void)fclose(f);
    if (rc == 0)
        return 0;
    trace_close(out);
    error_prefix(e, "%s", path);
    return rc;
}
