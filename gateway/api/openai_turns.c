/* openai_turns.c - tools in a conversation: their definitions, calls of them, and what came back.
 */
#include <string.h>

#include "gateway/api/openai.h"
#include "proto/limits.h"

int openai_add_definitions(const struct json_read *r, struct quire_request *request,
                           const struct tools *tools, enum tool_format format, enum tools_mode mode,
                           const char *before) {
    struct text text;
    text_init(&text, 2 * TOOLS_TEXT_BYTES);
    text_add(&text, before, strlen(before));
    tools_describe(tools, format, mode, &text);
    return openai_add_written(r, request, &text);
}

int openai_add_call(const struct json_read *r, struct quire_request *request, bool follows,
                    const char *name, const char *arguments, size_t bytes) {
    struct text text;
    text_init(&text, 2 * TOOLS_TEXT_BYTES);
    text_add(&text, "\n", follows ? 1 : 0);
    tools_write_call(&text, name, arguments, bytes);
    return openai_add_written(r, request, &text);
}

/* The words of a result: a string, or parts of text. */
static int gather(struct json_read *r, const json_t *content, struct text *out) {
    const json_t *part;
    size_t i;
    text_add(out, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part) {
        const char *text = NULL;
        size_t bytes = 0;
        size_t mark = json_read_enter_index(r, i);
        int rc = json_read_string(r, part, "text", SIZE_MAX, &text, &bytes);
        if (rc == 0)
            return json_read_refuse(r, NULL, "a tool's result is text here");
        if (rc < 0)
            return -1;
        text_add(out, text, bytes);
        json_read_leave(r, mark);
    }
    return 0;
}

int openai_add_result(struct json_read *r, struct quire_request *request, bool follows,
                      const json_t *message, const char *key) {
    const json_t *content = NULL;
    struct text words, text;
    if (!json_read_any(message, key, &content) ||
        !(json_is_string(content) || json_is_array(content)))
        return json_read_refuse(r, key, "a tool's result is a string or parts of text");
    if (!follows && openai_add_message(r, request, QUIRE_USER) != 0)
        return -1;
    text_init(&words, LIMIT_HEADER_BYTES);
    text_init(&text, LIMIT_HEADER_BYTES);
    size_t mark = json_read_enter(r, key);
    int rc = gather(r, content, &words);
    text_add(&text, "\n", follows ? 1 : 0);
    tools_write_result(&text, words.data, words.size);
    text.failed = text.failed || words.failed;
    text_close(&words);
    if (rc == 0) {
        rc = openai_add_written(r, request, &text);
        json_read_leave(r, mark);
    }
    text_close(&text);
    return rc;
}
