/* tools.c - definitions into the prompt, and the schema of a forced call.
 *
 * The marked format is what Qwen2.5 and the Hermes models were taught, to the space: JSON with ", "
 * and ": " between its values, one definition a line. */
#include "gateway/api/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACED 0 /* json_dumps puts ", " and ": " unless it is told otherwise */

/* ---- what a body says ---- */

static bool name_fits(const char *name) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= TOOL_NAME_BYTES && name[n] == '\0';
}

static const struct tool *find(const struct tools *t, const char *name) {
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->list[i].name, name) == 0)
            return &t->list[i];
    return NULL;
}

int tools_add(struct tools *t, const struct json_read *r, const char *name, const char *description,
              size_t description_bytes, const json_t *parameters) {
    if (!name_fits(name))
        return json_read_refuse(r, "name", "a function's name has 1 to %d letters, digits, _ and -",
                                TOOL_NAME_BYTES);
    if (find(t, name) != NULL)
        return json_read_refuse(r, "name", "there are two functions named \"%s\"", name);
    if (t->n == TOOLS_MAX)
        return json_read_refuse(r, NULL, "a request may have %d tools", TOOLS_MAX);
    t->list[t->n++] = (struct tool){name, description, description_bytes, parameters};
    return 0;
}

int tools_mode(const struct tools *t, enum tool_format format, const struct json_read *r,
               const char *choice_key, enum tools_mode *out) {
    *out = TOOLS_OFF;
    if (t->n == 0 && (t->choice == TOOLS_ANY || t->choice == TOOLS_NAMED))
        return json_read_refuse(r, choice_key, "a tool must be called, but no tools are given");
    if (t->n == 0 || t->choice == TOOLS_NEVER)
        return 0;
    if (t->choice == TOOLS_NAMED && find(t, t->named) == NULL)
        return json_read_refuse(r, choice_key, "there is no tool named \"%.*s\"", TOOL_NAME_BYTES,
                                t->named);
    if (t->choice == TOOLS_AUTO && format == TOOLS_NONE)
        return json_read_refuse(
            r, choice_key,
            "this model can't decide by itself whether to call a tool, since "
            "its template has no format for tools; ask for a call, or for none");
    *out = t->choice == TOOLS_AUTO ? TOOLS_MARKED : TOOLS_FORCED;
    return 0;
}

/* ---- the prompt ---- */

static const char marked_before[] =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n";
static const char marked_after[] =
    "</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";
static const char plain_before[] =
    "# Tools\n\nThese functions can be called, one JSON object each:\n";
static const char plain_after[] =
    "\nAnswer with one call: {\"name\": <function-name>, \"arguments\": <args-json-object>}";

static json_t *definition(const struct tool *tool) {
    json_t *f = json_pack("{s:s}", "name", tool->name);
    if (f != NULL && tool->description != NULL)
        (void)json_object_set_new(f, "description",
                                  json_stringn(tool->description, tool->description_bytes));
    if (f != NULL)
        (void)json_object_set_new(f, "parameters",
                                  tool->parameters != NULL
                                      ? json_deep_copy(tool->parameters)
                                      : json_pack("{s:s,s:{}}", "type", "object", "properties"));
    return f == NULL ? NULL : json_pack("{s:s,s:o}", "type", "function", "function", f);
}

static int add_dumped(const char *data, size_t bytes, void *out) {
    text_add(out, data, bytes);
    return 0;
}

static void add_spaced(struct text *out, json_t *value) {
    if (value == NULL || json_dump_callback(value, add_dumped, out, SPACED) != 0)
        out->failed = true;
    json_decref(value);
}

void tools_describe(const struct tools *t, enum tool_format format, enum tools_mode mode,
                    struct text *out) {
    bool marked = format == TOOLS_HERMES;
    if (mode == TOOLS_OFF)
        return;
    text_print(out, "%s", marked ? marked_before : plain_before);
    for (size_t i = 0; i < t->n; i++) {
        /* Of plain ones only the one that must be called is told. */
        if (!marked && t->choice == TOOLS_NAMED && strcmp(t->list[i].name, t->named) != 0)
            continue;
        add_spaced(out, definition(&t->list[i]));
        text_add(out, "\n", 1);
    }
    text_print(out, "%s", marked ? marked_after : plain_after);
}

void tools_write_call(struct text *out, const char *name, const char *arguments, size_t bytes) {
    text_print(out, "<tool_call>\n{\"name\": \"%s\", \"arguments\": ", name);
    text_add(out, bytes > 0 ? arguments : "{}", bytes > 0 ? bytes : 2);
    text_print(out, "}\n</tool_call>");
}

void tools_write_result(struct text *out, const char *content, size_t bytes) {
    text_print(out, "<tool_response>\n");
    text_add(out, content, bytes);
    text_print(out, "\n</tool_response>");
}

void tools_call_id(char out[TOOLS_ID_BYTES], const char *prefix, const char *reply_id,
                   size_t index) {
    (void)snprintf(out, TOOLS_ID_BYTES, "%s%.24s%02zx", prefix, reply_id, index);
}

/* ---- the schema of a forced call ----
 *
 * A function's parameters are a schema of their own, whose references begin at its root. Inside the
 * schema of the call they lie deeper. So parameters with references become a definition, "f" and
 * the function's number, and what leads to it is put before each reference. */

/* In a copy, whose depth is what the parser of the body allows. True: there was a reference. */
static bool move_references(json_t *value, size_t tool) {
    const char *key, *reference = json_string_value(json_object_get(value, "$ref"));
    json_t *item;
    size_t i;
    bool moved =
        reference != NULL && reference[0] == '#' && (reference[1] == '\0' || reference[1] == '/');
    if (moved)
        (void)json_object_set_new(value, "$ref",
                                  json_sprintf("#/$defs/f%zu%s", tool, reference + 1));
    json_object_foreach(value, key, item) moved = move_references(item, tool) || moved;
    json_array_foreach(value, i, item) moved = move_references(item, tool) || moved;
    return moved;
}

static json_t *call_schema(const struct tool *tool, size_t index, json_t *definitions) {
    char name[32];
    json_t *parameters = tool->parameters != NULL ? json_deep_copy(tool->parameters)
                                                  : json_pack("{s:s}", "type", "object");
    if (parameters == NULL)
        return NULL;
    if (move_references(parameters, index)) {
        (void)snprintf(name, sizeof name, "f%zu", index);
        (void)json_object_set_new(definitions, name, parameters);
        parameters = json_pack("{s:o}", "$ref", json_sprintf("#/$defs/%s", name));
    }
    return json_pack("{s:s,s:{s:{s:s},s:o},s:[s,s],s:b}", "type", "object", "properties", "name",
                     "const", tool->name, "arguments", parameters, "required", "name", "arguments",
                     "additionalProperties", 0);
}

/* Of many functions the pool can't follow all parameters at once: the call is of one of them, and
 * its arguments are an object. */
static json_t *loose_schema(const struct tools *t) {
    json_t *names = json_array();
    for (size_t i = 0; i < t->n; i++)
        (void)json_array_append_new(names, json_string(t->list[i].name));
    return json_pack("{s:s,s:{s:{s:o},s:{s:s}},s:[s,s],s:b}", "type", "object", "properties",
                     "name", "enum", names, "arguments", "type", "object", "required", "name",
                     "arguments", "additionalProperties", 0);
}

static json_t *answer_schema(const struct tools *t) {
    if (t->choice == TOOLS_ANY && t->n > TOOLS_APART_MAX)
        return loose_schema(t);
    json_t *definitions = json_object(), *calls = json_array(), *schema = NULL;
    for (size_t i = 0; i < t->n && calls != NULL && definitions != NULL; i++)
        if (t->choice == TOOLS_ANY || strcmp(t->list[i].name, t->named) == 0)
            (void)json_array_append_new(calls, call_schema(&t->list[i], i, definitions));
    if (json_array_size(calls) == 1)
        schema = json_incref(json_array_get(calls, 0));
    else if (json_array_size(calls) > 1)
        schema = json_pack("{s:O}", "anyOf", calls);
    if (schema != NULL && json_object_size(definitions) > 0)
        (void)json_object_set(schema, "$defs", definitions);
    json_decref(calls);
    json_decref(definitions);
    return schema;
}

int tools_constrain(const struct tools *t, enum tools_mode mode, const struct json_read *r,
                    struct quire_request *request) {
    if (mode != TOOLS_FORCED)
        return 0;
    json_t *schema = answer_schema(t);
    char *text = schema != NULL ? json_dumps(schema, JSON_COMPACT) : NULL;
    json_decref(schema);
    int rc = text != NULL ? quire_request_schema(request, text, strlen(text)) : ERR_NOMEM;
    free(text);
    return json_read_added(r, rc, "the parameters of the tools are too large for a schema");
}
