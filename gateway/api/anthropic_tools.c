/* anthropic_tools.c - the tools of a body, and which of them must be called. */
#include <string.h>

#include "gateway/api/anthropic.h"
#include "gateway/api/json_read.h"

#define DESCRIPTION_BYTES 65536 /* of one tool */

/* Returns 1 when the tool is strict: its calls must fit its schema. */
static int read_tool(struct json_read *at, const json_t *tool, struct tools *tools,
                     struct anthropic_own *own) {
    const char *type = "custom", *name = NULL, *description = NULL;
    size_t bytes = 0;
    const json_t *schema = NULL;
    bool strict = false;
    if (!json_is_object(tool))
        return json_read_refuse(at, NULL, "a tool must be an object");
    if (json_read_string(at, tool, "type", TOOL_NAME_BYTES, &type, NULL) < 0)
        return -1;
    if (strcmp(type, "custom") != 0)
        return json_read_refuse(at, "type",
                                "tools of the type \"%.64s\" are not known here; describe the tool "
                                "with a name, a description and an input_schema",
                                type);
    int rc = json_read_string(at, tool, "name", TOOL_NAME_BYTES, &name, NULL);
    if (rc > 0)
        rc = json_read_object(at, tool, "input_schema", &schema);
    if (rc == 0)
        return json_read_refuse(at, NULL, "a tool has a name and an input_schema");
    if (rc < 0 ||
        json_read_string(at, tool, "description", DESCRIPTION_BYTES, &description, &bytes) < 0 ||
        json_read_bool(at, tool, "strict", &strict) < 0 ||
        tools_add(tools, at, name, description, bytes, schema) < 0)
        return -1;
    anthropic_note_cache(own, tool);
    return strict ? 1 : 0;
}

static int read_choice(struct json_read *at, const json_t *body, struct tools *tools,
                       bool *one_call) {
    static const char *const types[] = {"auto", "any", "tool", "none", NULL};
    static const enum tools_choice choices[] = {TOOLS_AUTO, TOOLS_ANY, TOOLS_NAMED, TOOLS_NEVER};
    const json_t *choice;
    int type;
    int rc = json_read_object(at, body, "tool_choice", &choice);
    if (rc <= 0)
        return rc;
    size_t mark = json_read_enter(at, "tool_choice");
    rc = json_read_word(at, choice, "type", types, &type);
    if (rc == 0)
        return json_read_refuse(at, "type", "a tool_choice needs its type");
    if (rc < 0 || json_read_bool(at, choice, "disable_parallel_tool_use", one_call) < 0)
        return -1;
    tools->choice = choices[type];
    if (tools->choice == TOOLS_NAMED) {
        rc = json_read_string(at, choice, "name", TOOL_NAME_BYTES, &tools->named, NULL);
        if (rc == 0)
            return json_read_refuse(at, "name", "a tool_choice of type tool names the tool");
    }
    json_read_leave(at, mark);
    return rc < 0 ? rc : 0;
}

int anthropic_read_tools(struct json_read *at, const json_t *body, enum tool_format format,
                         struct tools *tools, bool *one_call, struct anthropic_own *own) {
    const json_t *list = NULL;
    bool strict = false;
    if (json_read_array(at, body, "tools", TOOLS_MAX, &list) < 0)
        return -1;
    size_t outer = json_read_enter(at, "tools");
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t mark = json_read_enter_index(at, i);
        int rc = read_tool(at, json_array_get(list, i), tools, own);
        if (rc < 0)
            return rc;
        strict = strict || rc > 0;
        json_read_leave(at, mark);
    }
    json_read_leave(at, outer);
    if (read_choice(at, body, tools, one_call) < 0 ||
        tools_mode(tools, format, at, "tool_choice", &own->mode) < 0)
        return -1;
    if (strict && own->mode == TOOLS_MARKED)
        return json_read_refuse(at, "tools",
                                "a call is held to its schema only when a tool must be called "
                                "(tool_choice any or tool); leave strict out");
    return 0;
}
