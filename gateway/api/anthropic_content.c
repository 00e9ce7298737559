/* anthropic_content.c - system and messages to messages and parts of the pool.
 *
 * Messages of one role in a row become one message; where two texts of different messages meet
 * there, and around what tools write, a line end stands between them. Texts within one message are
 * put together by the model's template, as it does with texts from anywhere. */
#include <stdlib.h>
#include <string.h>

#include "gateway/api/anthropic.h"
#include "gateway/api/json_read.h"
#include "proto/limits.h"

#define TYPE_BYTES 64
#define ID_BYTES 256                                         /* of a tool_use */
#define TEXT_BYTES ((size_t)LIMIT_HEADER_BYTES)              /* of one text */
#define PICTURE_TEXT_BYTES ((size_t)LIMIT_REQUEST_BYTES * 2) /* of one picture in base64 */
#define REAL_DIGITS 15 /* of a number in a call: as people write it */

void anthropic_note_cache(struct anthropic_own *own, const json_t *object) {
    const json_t *control;
    if (json_read_any(object, "cache_control", &control))
        own->cached = true;
}

/* ---- the pool's side ---- */

static int begin_message(struct anthropic_talk *t, enum quire_role role) {
    t->new_line = t->any && t->role == role;
    if (t->new_line)
        return 0;
    t->any = true;
    t->role = role;
    t->after_text = false;
    t->parts = 0;
    char limit[64];
    (void)snprintf(limit, sizeof limit, "a request may have %d messages", LIMIT_MESSAGES);
    return json_read_added(t->at, quire_request_message(t->request, role), limit);
}

static int added(const struct anthropic_talk *t, int rc) {
    char limit[96];
    (void)snprintf(limit, sizeof limit, "a request may have %d parts, and 8 MiB of text",
                   LIMIT_PARTS);
    return json_read_added(t->at, rc, limit);
}

static int add_text(struct anthropic_talk *t, const char *data, size_t bytes) {
    bool broken = t->new_line && t->after_text && bytes > 0;
    t->new_line = false;
    t->parts++;
    t->after_text = true;
    if (!broken)
        return added(t, quire_request_text(t->request, data, bytes));
    char *line = malloc(bytes + 1);
    if (line == NULL)
        return added(t, ERR_NOMEM);
    line[0] = '\n';
    memcpy(line + 1, data, bytes);
    int rc = quire_request_text(t->request, line, bytes + 1);
    free(line);
    return added(t, rc);
}

/* What a tool said or is asked: always lines of their own. Takes the text. */
static int add_lines(struct anthropic_talk *t, struct text *lines) {
    t->new_line = true;
    int rc = lines->failed ? added(t, lines->size < TEXT_BYTES / 2 ? ERR_NOMEM : ERR_LIMIT)
                           : add_text(t, lines->data, lines->size);
    text_close(lines);
    t->new_line = true;
    return rc;
}

/* ---- blocks ---- */

static int read_text(struct anthropic_talk *t, const json_t *block) {
    const char *text;
    size_t bytes;
    int rc = json_read_string(t->at, block, "text", TEXT_BYTES, &text, &bytes);
    if (rc == 0)
        rc = json_read_refuse(t->at, "text", "a text block needs its text");
    return rc < 0 ? rc : add_text(t, text, bytes);
}

static int read_picture(struct anthropic_talk *t, const json_t *block) {
    static const char *const types[] = {"base64", "url", "file", NULL};
    const json_t *source;
    const char *media = "", *data = NULL;
    char path[96];
    size_t bytes = 0;
    int type = 0;
    int rc = json_read_object(t->at, block, "source", &source);
    if (rc == 0)
        return json_read_refuse(t->at, "source", "a picture needs its source");
    size_t mark = json_read_enter(t->at, "source");
    if (rc > 0)
        rc = json_read_word(t->at, source, "type", types, &type);
    if (rc > 0 && type != 0)
        return json_read_refuse(t->at, "type",
                                "pictures are not fetched from other places; send the picture "
                                "itself: {\"type\": \"base64\", \"media_type\": \"image/png\", "
                                "\"data\": ...}");
    if (rc > 0)
        rc = json_read_string(t->at, source, "media_type", TYPE_BYTES, &media, NULL);
    if (rc > 0)
        rc = json_read_string(t->at, source, "data", PICTURE_TEXT_BYTES, &data, &bytes);
    if (rc == 0)
        return json_read_refuse(t->at, NULL, "a source has the type base64, a media_type and data");
    json_read_path(t->at, NULL, path);
    if (rc < 0 || dialect_base64(t->request, media, data, bytes, path, t->at->fault) < 0)
        return -1;
    json_read_leave(t->at, mark);
    t->after_text = t->new_line = false;
    t->parts++;
    return 0;
}

static int read_call(struct anthropic_talk *t, const json_t *block) {
    const char *name = NULL, *id;
    const json_t *input = NULL;
    struct text lines;
    int rc = json_read_string(t->at, block, "id", ID_BYTES, &id, NULL);
    if (rc > 0)
        rc = json_read_string(t->at, block, "name", TOOL_NAME_BYTES, &name, NULL);
    if (rc > 0)
        rc = json_read_object(t->at, block, "input", &input);
    if (rc == 0)
        return json_read_refuse(t->at, NULL, "a tool_use block has an id, a name and an input");
    if (rc < 0)
        return rc;
    if (name[strcspn(name, "\"\\<>\n")] != '\0')
        return json_read_refuse(t->at, "name", "a tool's name has letters, digits, _ and -");
    char *arguments = json_dumps(input, JSON_REAL_PRECISION(REAL_DIGITS));
    if (arguments == NULL)
        return added(t, ERR_NOMEM);
    text_init(&lines, TEXT_BYTES);
    tools_write_call(&lines, name, arguments, strlen(arguments));
    free(arguments);
    return add_lines(t, &lines);
}

/* The type of a block, one of `types`. */
static int read_type(const struct json_read *at, const json_t *block, const char *const *types,
                     int *type) {
    if (!json_is_object(block))
        return json_read_refuse(at, NULL, "a block must be an object");
    int rc = json_read_word(at, block, "type", types, type);
    return rc == 0 ? json_read_refuse(at, "type", "a block needs its type") : rc;
}

static int gather_result(struct anthropic_talk *t, const json_t *content, struct text *words,
                         bool pictures) {
    static const char *const types[] = {"text", "image", NULL};
    size_t outer = json_read_enter(t->at, "content");
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        size_t mark = json_read_enter_index(t->at, i);
        const char *text;
        size_t bytes;
        int type, rc = read_type(t->at, block, types, &type);
        if (rc > 0 && type == 0 && !pictures) {
            rc = json_read_string(t->at, block, "text", TEXT_BYTES, &text, &bytes);
            if (rc == 0)
                rc = json_read_refuse(t->at, "text", "a text block needs its text");
            text_add(words, "\n", words->size > 0 ? 1 : 0);
            text_add(words, text, rc > 0 ? bytes : 0);
            anthropic_note_cache(t->own, block);
        } else if (rc > 0 && type == 1 && pictures) {
            rc = read_picture(t, block);
        }
        if (rc < 0)
            return rc;
        json_read_leave(t->at, mark);
    }
    json_read_leave(t->at, outer);
    return 0;
}

/* Its texts in the form in which the model is told results; its pictures after them. */
static int read_result(struct anthropic_talk *t, const json_t *block) {
    const char *id, *text = "";
    size_t bytes = 0;
    const json_t *content = NULL;
    bool error = false;
    int rc = json_read_string(t->at, block, "tool_use_id", ID_BYTES, &id, NULL);
    if (rc == 0)
        return json_read_refuse(t->at, "tool_use_id", "a tool_result names its tool_use_id");
    if (rc < 0 || json_read_bool(t->at, block, "is_error", &error) < 0)
        return -1;
    if (json_is_array(json_object_get(block, "content")))
        rc = json_read_array(t->at, block, "content", LIMIT_PARTS, &content);
    else
        rc = json_read_string(t->at, block, "content", TEXT_BYTES, &text, &bytes);
    if (rc < 0)
        return rc;
    struct text words, lines;
    text_init(&words, TEXT_BYTES);
    text_init(&lines, TEXT_BYTES);
    text_add(&words, "Error: ", error ? 7 : 0);
    text_add(&words, text, bytes);
    rc = gather_result(t, content, &words, false);
    tools_write_result(&lines, words.size > 0 ? words.data : "", words.size);
    lines.failed = lines.failed || words.failed;
    text_close(&words);
    if (rc < 0) {
        text_close(&lines);
        return rc;
    }
    rc = add_lines(t, &lines);
    return rc < 0 ? rc : gather_result(t, content, NULL, true);
}

static int read_block(struct anthropic_talk *t, const json_t *block) {
    enum { TEXT, IMAGE, USE, RESULT, THINKING, REDACTED };
    static const char *const types[] = {
        "text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking", NULL};
    int type, rc = read_type(t->at, block, types, &type);
    if (rc < 0)
        return rc;
    anthropic_note_cache(t->own, block);
    if ((type == IMAGE || type == RESULT) && t->role != QUIRE_USER)
        return json_read_refuse(t->at, "type", "only messages of the user have %s blocks",
                                types[type]);
    if (type >= USE && type != RESULT && t->role != QUIRE_ASSISTANT)
        return json_read_refuse(t->at, "type", "only messages of the assistant have %s blocks",
                                types[type]);
    switch (type) {
    case TEXT:
        return read_text(t, block);
    case IMAGE:
        return read_picture(t, block);
    case USE:
        return read_call(t, block);
    case RESULT:
        return read_result(t, block);
    default: /* what another model thought before an earlier answer: not shown to this one */
        return 0;
    }
}

/* ---- messages ---- */

static int read_content(struct anthropic_talk *t, const json_t *message) {
    const json_t *content;
    if (!json_read_any(message, "content", &content))
        return json_read_refuse(t->at, "content", "a message needs its content");
    size_t outer = json_read_enter(t->at, "content");
    if (json_is_string(content)) {
        if (add_text(t, json_string_value(content), json_string_length(content)) < 0)
            return -1;
    } else if (!json_is_array(content)) {
        return json_read_refuse(t->at, NULL, "content is a string or an array of blocks");
    }
    for (size_t i = 0; i < json_array_size(content); i++) {
        size_t mark = json_read_enter_index(t->at, i);
        if (read_block(t, json_array_get(content, i)) < 0)
            return -1;
        json_read_leave(t->at, mark);
    }
    json_read_leave(t->at, outer);
    if (json_is_array(content) && json_array_size(content) == 0 && t->role != QUIRE_ASSISTANT)
        return json_read_refuse(t->at, "content", "content has no block");
    /* An answer without a word is a turn of the conversation all the same. */
    return t->parts == 0 ? add_text(t, "", 0) : 0;
}

static int read_message(struct anthropic_talk *t, const json_t *message) {
    static const char *const roles[] = {"user", "assistant", "system", NULL};
    static const enum quire_role ours[] = {QUIRE_USER, QUIRE_ASSISTANT, QUIRE_SYSTEM};
    int role;
    if (!json_is_object(message))
        return json_read_refuse(t->at, NULL, "a message must be an object");
    int rc = json_read_word(t->at, message, "role", roles, &role);
    if (rc == 0)
        rc = json_read_refuse(t->at, "role", "a message needs its role");
    if (rc < 0 || begin_message(t, ours[role]) < 0)
        return -1;
    return read_content(t, message);
}

int anthropic_read_messages(struct anthropic_talk *t, const json_t *body, bool count) {
    const json_t *messages;
    int rc = json_read_array(t->at, body, "messages", 2 * LIMIT_MESSAGES, &messages);
    if (rc < 0)
        return rc;
    if (rc == 0 || json_array_size(messages) == 0)
        return json_read_refuse(t->at, "messages", "messages needs at least one message");
    size_t outer = json_read_enter(t->at, "messages"), mark = outer;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        mark = json_read_enter_index(t->at, i);
        if (read_message(t, json_array_get(messages, i)) < 0)
            return -1;
        if (i + 1 < json_array_size(messages))
            json_read_leave(t->at, mark);
    }
    if (t->role == QUIRE_ASSISTANT && !count)
        return json_read_refuse(t->at, NULL,
                                "the last message is the assistant's: an answer that was begun "
                                "can't be continued here; end with a message of the user");
    json_read_leave(t->at, outer);
    return 0;
}

/* ---- system ---- */

static int gather_system(struct anthropic_talk *t, const json_t *blocks, struct text *words) {
    static const char *const types[] = {"text", NULL};
    size_t outer = json_read_enter(t->at, "system");
    for (size_t i = 0; i < json_array_size(blocks); i++) {
        const json_t *block = json_array_get(blocks, i);
        size_t mark = json_read_enter_index(t->at, i), bytes = 0;
        const char *text = "";
        int type, rc = read_type(t->at, block, types, &type);
        if (rc > 0)
            rc = json_read_string(t->at, block, "text", TEXT_BYTES, &text, &bytes);
        if (rc < 0)
            return rc;
        anthropic_note_cache(t->own, block);
        text_add(words, "\n", words->size > 0 && bytes > 0 ? 1 : 0);
        text_add(words, text, bytes);
        json_read_leave(t->at, mark);
    }
    json_read_leave(t->at, outer);
    return 0;
}

int anthropic_read_system(struct anthropic_talk *t, const json_t *body, const struct tools *tools,
                          enum tool_format format) {
    const json_t *blocks = NULL;
    const char *text = "";
    size_t bytes = 0;
    struct text words;
    int rc = json_is_array(json_object_get(body, "system"))
                 ? json_read_array(t->at, body, "system", LIMIT_PARTS, &blocks)
                 : json_read_string(t->at, body, "system", TEXT_BYTES, &text, &bytes);
    if (rc < 0)
        return rc;
    text_init(&words, TEXT_BYTES);
    text_add(&words, text, bytes);
    rc = gather_system(t, blocks, &words);
    tools_describe(tools, format, t->own->mode, &words);
    if (rc >= 0 && words.failed)
        rc = added(t, words.size < TEXT_BYTES / 2 ? ERR_NOMEM : ERR_LIMIT);
    if (rc >= 0 && words.size > 0)
        rc = begin_message(t, QUIRE_SYSTEM);
    if (rc >= 0 && words.size > 0)
        rc = add_text(t, words.data, words.size);
    text_close(&words);
    return rc < 0 ? rc : 0;
}
