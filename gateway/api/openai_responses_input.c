/* openai_responses_input.c - instructions and items of /v1/responses as messages of the pool.
 *
 * An answer comes as several items (its text, each call), and goes back as they came; items of one
 * turn of the assistant are put together again into the message that the model wrote. */
#include <string.h>

#include "gateway/api/openai_responses.h"
#include "proto/limits.h"

enum turn { TURN_NONE, TURN_SYSTEM, TURN_USER, TURN_ASSISTANT, TURN_RESULTS };

struct reading {
    struct json_read *r;
    struct quire_request *request;
    enum turn last;
};

/* ---- messages ---- */

static int read_part(struct reading *c, const json_t *part, bool pictures) {
    static const char *const types[] = {"input_text", "output_text", "refusal", "input_image",
                                        NULL};
    static const char *const keys[] = {"text", "text", "refusal"};
    const char *text;
    size_t bytes;
    int type = -1, rc = json_is_object(part)
                            ? json_read_word(c->r, part, "type", types, &type)
                            : json_read_refuse(c->r, NULL, "a part must be an object");
    if (rc <= 0)
        return rc < 0 ? -1 : json_read_refuse(c->r, "type", "a part needs a type");
    if (type < 3) {
        rc = json_read_string(c->r, part, keys[type], SIZE_MAX, &text, &bytes);
        if (rc == 0)
            return json_read_refuse(c->r, keys[type], "the part has no text");
        return rc < 0 ? -1 : openai_add_text(c->r, c->request, text, bytes);
    }
    if (!pictures)
        return json_read_refuse(c->r, NULL, "pictures can stand in messages of the user only");
    return openai_read_picture(c->r, part, "image_url", c->request);
}

static int read_content(struct reading *c, const json_t *message, bool pictures) {
    const json_t *content = NULL, *part;
    size_t i;
    if (!json_read_any(message, "content", &content) ||
        !(json_is_string(content) || json_is_array(content)))
        return json_read_refuse(c->r, "content", "content must be a string or an array of parts");
    if (json_array_size(content) > LIMIT_PARTS)
        return json_read_refuse(c->r, "content", "a request may have %d parts", LIMIT_PARTS);
    size_t mark = json_read_enter(c->r, "content");
    if (json_array_size(content) == 0 && /* a message has at least one part, if an empty one */
        openai_add_text(c->r, c->request, json_is_string(content) ? json_string_value(content) : "",
                        json_string_length(content)) != 0)
        return -1;
    json_array_foreach(content, i, part) {
        size_t one = json_read_enter_index(c->r, i);
        if (read_part(c, part, pictures) != 0)
            return -1;
        json_read_leave(c->r, one);
    }
    json_read_leave(c->r, mark);
    return 0;
}

static int read_message(struct reading *c, const json_t *item) {
    static const char *const words[] = {"system", "developer", "user", "assistant", NULL};
    static const enum quire_role roles[] = {QUIRE_SYSTEM, QUIRE_SYSTEM, QUIRE_USER,
                                            QUIRE_ASSISTANT};
    static const enum turn turns[] = {TURN_SYSTEM, TURN_SYSTEM, TURN_USER, TURN_ASSISTANT};
    int role = 0, rc = json_read_word(c->r, item, "role", words, &role);
    if (rc <= 0)
        return rc < 0 ? -1 : json_read_refuse(c->r, "role", "a message needs a role");
    c->last = turns[role];
    if (openai_add_message(c->r, c->request, roles[role]) != 0)
        return -1;
    return read_content(c, item, roles[role] == QUIRE_USER);
}

/* ---- calls and their results ---- */

static int read_call(struct reading *c, const json_t *item) {
    const char *name, *arguments = "";
    size_t bytes = 0;
    bool follows = c->last == TURN_ASSISTANT;
    int rc = json_read_string(c->r, item, "name", TOOL_NAME_BYTES, &name, NULL);
    if (rc == 0)
        return json_read_refuse(c->r, "name", "the name of the function called is missing");
    if (rc < 0 ||
        json_read_string(c->r, item, "arguments", TOOLS_TEXT_BYTES, &arguments, &bytes) < 0 ||
        (!follows && openai_add_message(c->r, c->request, QUIRE_ASSISTANT) != 0))
        return -1;
    c->last = TURN_ASSISTANT;
    return openai_add_call(c->r, c->request, follows, name, arguments, bytes);
}

static int read_result(struct reading *c, const json_t *item) {
    bool follows = c->last == TURN_RESULTS;
    c->last = TURN_RESULTS;
    return openai_add_result(c->r, c->request, follows, item, "output");
}

/* ---- the conversation ---- */

static int read_item(struct reading *c, const json_t *item) {
    const char *type = "message";
    if (!json_is_object(item))
        return json_read_refuse(c->r, NULL, "an item must be an object");
    if (json_read_string(c->r, item, "type", 64, &type, NULL) < 0)
        return -1;
    if (strcmp(type, "message") == 0)
        return read_message(c, item);
    if (strcmp(type, "function_call") == 0)
        return read_call(c, item);
    if (strcmp(type, "function_call_output") == 0)
        return read_result(c, item);
    if (strcmp(type, "reasoning") == 0) /* of another model; it can't be gone on with */
        return 0;
    if (strcmp(type, "item_reference") == 0)
        return json_read_refuse(c->r, "type",
                                "nothing is stored here that an item could refer to; "
                                "send the items themselves");
    return json_read_refuse(c->r, "type", "items of this type are not known here");
}

static bool is_system(const json_t *item) {
    const char *role = json_string_value(json_object_get(item, "role"));
    return role != NULL && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0);
}

/* The system message in which tools are told of: the instructions, or one of its own where the
 * items do not begin with one. Returns whether the first item is still to be told behind. */
static int begin(struct reading *c, const json_t *body, const json_t *first,
                 const struct tools *tools, enum tool_format format, enum tools_mode mode) {
    const char *instructions = NULL;
    size_t bytes = 0;
    int rc = json_read_string(c->r, body, "instructions", SIZE_MAX, &instructions, &bytes);
    if (rc < 0)
        return -1;
    if (rc == 0 && (mode == TOOLS_OFF || is_system(first)))
        return mode != TOOLS_OFF;
    if (openai_add_message(c->r, c->request, QUIRE_SYSTEM) != 0)
        return -1;
    if (rc > 0 && openai_add_text(c->r, c->request, instructions, bytes) != 0)
        return -1;
    if (mode != TOOLS_OFF &&
        openai_add_definitions(c->r, c->request, tools, format, mode,
                               rc > 0 ? "\n\n" : "You are a helpful assistant.\n\n") != 0)
        return -1;
    return 0;
}

static int read_words(struct reading *c, const json_t *input) {
    (void)json_read_enter(c->r, "input");
    if (openai_add_message(c->r, c->request, QUIRE_USER) != 0)
        return -1;
    return openai_add_text(c->r, c->request, json_string_value(input), json_string_length(input));
}

int openai_responses_input(struct json_read *r, const json_t *body, const struct tools *tools,
                           enum tool_format format, enum tools_mode mode,
                           struct quire_request *request) {
    struct reading c = {.r = r, .request = request, .last = TURN_NONE};
    const json_t *input = json_object_get(body, "input"), *item;
    size_t i;
    if (!json_is_string(input) && json_array_size(input) == 0)
        return json_read_refuse(r, "input",
                                "input must be a string, or an array of at least one "
                                "item");
    if (json_array_size(input) > LIMIT_MESSAGES)
        return json_read_refuse(r, "input", "a request may have %d items", LIMIT_MESSAGES);
    int tell = begin(&c, body, json_array_get(input, 0), tools, format, mode);
    if (tell < 0)
        return -1;
    if (json_is_string(input))
        return read_words(&c, input);
    size_t mark = json_read_enter(r, "input");
    json_array_foreach(input, i, item) {
        size_t one = json_read_enter_index(r, i);
        if (read_item(&c, item) != 0)
            return -1;
        if (i == 0 && tell > 0 &&
            openai_add_definitions(r, request, tools, format, mode, "\n\n") != 0)
            return -1;
        json_read_leave(r, one);
    }
    json_read_leave(r, mark);
    return 0;
}
