/* openai_chat_messages.c - a conversation of OpenAI's chat API as messages of the pool.
 *
 * The pool knows system, user and assistant. Calls of tools stand in the assistant's text as the
 * model wrote them, and their results, those that follow each other together, in a user's message.
 * What is added to a message is added behind it, so a conversation that grows keeps its beginning,
 * and the pool its pages. */
#include "gateway/api/openai_chat.h"

#include <string.h>

#include "proto/limits.h"

enum speaker { SYSTEM, DEVELOPER, USER, ASSISTANT, TOOL };

struct reading {
    struct json_read *r;
    struct quire_request *request;
    enum speaker last; /* of the message before */
    bool first;
};

/* ---- parts ---- */

static int read_part(struct reading *c, const json_t *part, bool pictures) {
    static const char *const types[] = {"text", "refusal", "image_url", NULL};
    const char *text;
    size_t bytes;
    int type = -1;
    const json_t *image;
    if (!json_is_object(part))
        return json_read_refuse(c->r, NULL, "a part must be an object");
    int rc = json_read_word(c->r, part, "type", types, &type);
    if (rc <= 0)
        return rc < 0 ? -1 : json_read_refuse(c->r, "type", "a part needs a type");
    if (type < 2) {
        rc = json_read_string(c->r, part, types[type], SIZE_MAX, &text, &bytes);
        if (rc == 0)
            return json_read_refuse(c->r, types[type], "the part has no text");
        return rc < 0 ? -1 : openai_add_text(c->r, c->request, text, bytes);
    }
    if (!pictures)
        return json_read_refuse(c->r, NULL, "pictures can stand in messages of the user only");
    rc = json_read_object(c->r, part, "image_url", &image);
    if (rc <= 0)
        return rc < 0 ? -1 : json_read_refuse(c->r, "image_url", "the picture is missing");
    (void)json_read_enter(c->r, "image_url");
    return openai_read_picture(c->r, image, "url", c->request);
}

/* A message's content, a string or parts. Returns how many parts it had, or -1. */
static int read_content(struct reading *c, const json_t *message, bool pictures) {
    const json_t *content, *part;
    size_t i;
    if (!json_read_any(message, "content", &content))
        return 0;
    size_t mark = json_read_enter(c->r, "content");
    if (!json_is_string(content) && !json_is_array(content))
        return json_read_refuse(c->r, NULL, "content must be a string or an array of parts");
    if (json_array_size(content) > LIMIT_PARTS)
        return json_read_refuse(c->r, NULL, "a request may have %d parts", LIMIT_PARTS);
    if (json_is_string(content) && openai_add_text(c->r, c->request, json_string_value(content),
                                                   json_string_length(content)) != 0)
        return -1;
    json_array_foreach(content, i, part) {
        size_t one = json_read_enter_index(c->r, i);
        if (read_part(c, part, pictures) != 0)
            return -1;
        json_read_leave(c->r, one);
    }
    json_read_leave(c->r, mark);
    return json_is_string(content) ? json_string_length(content) > 0
                                   : (int)json_array_size(content);
}

/* ---- calls and their results ---- */

static int read_call(struct reading *c, const json_t *call, bool follows) {
    const char *name, *arguments = "";
    size_t bytes = 0;
    const json_t *f = NULL;
    int rc = json_is_object(call)
                 ? json_read_object(c->r, call, "function", &f)
                 : json_read_refuse(c->r, NULL, "a call must be an object with its function");
    if (rc == 0)
        return json_read_refuse(c->r, "function", "the function called is missing");
    if (rc < 0)
        return -1;
    (void)json_read_enter(c->r, "function");
    if (json_read_string(c->r, f, "arguments", TOOLS_TEXT_BYTES, &arguments, &bytes) < 0 ||
        (rc = json_read_string(c->r, f, "name", TOOL_NAME_BYTES, &name, NULL)) < 0)
        return -1;
    if (rc == 0)
        return json_read_refuse(c->r, "name", "the name of the function called is missing");
    return openai_add_call(c->r, c->request, follows, name, arguments, bytes);
}

static int read_assistant(struct reading *c, const json_t *message) {
    const json_t *calls = NULL, *call;
    size_t i;
    int parts = read_content(c, message, false);
    if (parts < 0 || json_read_array(c->r, message, "tool_calls", TOOLS_MAX, &calls) < 0)
        return -1;
    size_t mark = json_read_enter(c->r, "tool_calls");
    json_array_foreach(calls, i, call) {
        size_t one = json_read_enter_index(c->r, i);
        if (read_call(c, call, parts > 0 || i > 0) != 0)
            return -1;
        json_read_leave(c->r, one);
    }
    json_read_leave(c->r, mark);
    /* A message has at least one part, if an empty one. */
    return parts == 0 && i == 0 ? openai_add_text(c->r, c->request, "", 0) : 0;
}

/* ---- the conversation ---- */

static int read_message(struct reading *c, const json_t *message, enum speaker speaker) {
    static const enum quire_role roles[] = {QUIRE_SYSTEM, QUIRE_SYSTEM, QUIRE_USER,
                                            QUIRE_ASSISTANT};
    if (speaker == TOOL)
        return openai_add_result(c->r, c->request, c->last == TOOL && !c->first, message,
                                 "content");
    if (openai_add_message(c->r, c->request, roles[speaker]) != 0)
        return -1;
    if (speaker == ASSISTANT)
        return read_assistant(c, message);
    const json_t *content;
    if (!json_read_any(message, "content", &content))
        return json_read_refuse(c->r, "content", "the message has no content");
    int parts = read_content(c, message, speaker == USER);
    if (parts == 0 && json_is_array(content))
        return openai_add_text(c->r, c->request, "", 0);
    return parts < 0 ? -1 : 0;
}

static int speaker_of(struct json_read *r, const json_t *message, int *out) {
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    int rc = json_is_object(message) ? json_read_word(r, message, "role", roles, out)
                                     : json_read_refuse(r, NULL, "a message must be an object");
    if (rc == 0)
        return json_read_refuse(r, "role", "a message needs a role");
    return rc < 0 ? -1 : 0;
}

int openai_chat_messages(struct json_read *r, const json_t *body, const struct tools *tools,
                         enum tool_format format, enum tools_mode mode,
                         struct quire_request *request) {
    struct reading c = {.r = r, .request = request, .first = true};
    const json_t *list = NULL, *message;
    size_t i;
    if (json_read_array(r, body, "messages", LIMIT_MESSAGES, &list) < 0)
        return -1;
    if (json_array_size(list) == 0)
        return json_read_refuse(r, "messages", "messages must hold at least one message");
    size_t mark = json_read_enter(r, "messages");
    json_array_foreach(list, i, message) {
        int speaker = 0;
        size_t one = json_read_enter_index(r, i);
        if (speaker_of(r, message, &speaker) != 0)
            return -1;
        bool tell = c.first && mode != TOOLS_OFF, own = speaker != SYSTEM && speaker != DEVELOPER;
        if (tell && own &&
            (openai_add_message(r, request, QUIRE_SYSTEM) != 0 ||
             openai_add_definitions(r, request, tools, format, mode,
                                    "You are a helpful assistant.\n\n") != 0))
            return -1;
        if (read_message(&c, message, (enum speaker)speaker) != 0)
            return -1;
        if (tell && !own && openai_add_definitions(r, request, tools, format, mode, "\n\n") != 0)
            return -1;
        c.last = (enum speaker)speaker;
        c.first = false;
        json_read_leave(r, one);
    }
    json_read_leave(r, mark);
    return 0;
}
