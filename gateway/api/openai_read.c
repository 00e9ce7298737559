/* openai_read.c - what bodies of OpenAI's API have in common. */
#include "gateway/api/openai.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define DESCRIPTION_BYTES 65536 /* of one tool */

/* ---- the reply ---- */

int openai_open(struct reply *reply, struct json_read *r, const json_t *body,
                const struct dialect_world *world, size_t own_bytes) {
    const char *model = world->default_model, *user = "";
    if (!json_is_object(body))
        return json_read_refuse(r, NULL, "the body must be a JSON object");
    if (json_read_string(r, body, "model", LIMIT_MODEL_BYTES, &model, NULL) < 0 ||
        json_read_string(r, body, "user", SIZE_MAX, &user, NULL) < 0 ||
        json_read_bool(r, body, "stream", &reply->stream) < 0)
        return -1;
    (void)snprintf(reply->model, sizeof reply->model, "%s", model);
    quire_options_default(&reply->options);
    reply->request = quire_request_new();
    if (reply->request == NULL)
        return json_read_added(r, ERR_NOMEM, "");
    if (json_read_added(r, quire_request_model(reply->request, reply->model), "") != 0)
        return openai_abandon(reply);
    reply->own = calloc(1, own_bytes);
    if (reply->own != NULL)
        return 0;
    (void)json_read_added(r, ERR_NOMEM, "");
    return openai_abandon(reply);
}

int openai_abandon(struct reply *reply) {
    quire_request_free(reply->request);
    reply->request = NULL;
    return -1;
}

/* ---- what is not done ---- */

static bool refused(const json_t *value, enum openai_when when) {
    switch (when) {
    case WHEN_SET:
        return value != NULL && !json_is_null(value);
    case WHEN_FILLED:
        return json_object_size(value) > 0 || json_array_size(value) > 0;
    case WHEN_TRUE:
        return json_is_true(value);
    case WHEN_NOT_ONE:
        return value != NULL && !json_is_null(value) &&
               !(json_is_integer(value) && json_integer_value(value) == 1);
    }
    return false;
}

int openai_refuse(const struct json_read *r, const json_t *body,
                  const struct openai_refusal *table) {
    for (; table->key != NULL; table++)
        if (refused(json_object_get(body, table->key), table->when))
            return json_read_refuse(r, table->key, "%s", table->sentence);
    return 0;
}

/* ---- options ---- */

int openai_read_sampling(const struct json_read *r, const json_t *body, struct quire_options *o) {
    int64_t seed;
    int rc = json_read_number(r, body, "temperature", 0, 2, &o->temperature);
    if (rc >= 0)
        rc = json_read_number(r, body, "top_p", 0, 1, &o->top_p);
    if (rc >= 0)
        rc = json_read_number(r, body, "presence_penalty", -2, 2, &o->presence_penalty);
    if (rc >= 0)
        rc = json_read_number(r, body, "frequency_penalty", -2, 2, &o->frequency_penalty);
    if (rc >= 0)
        rc = json_read_integer(r, body, "seed", &seed);
    if (rc > 0) {
        o->has_seed = true;
        o->seed = (uint64_t)seed;
    }
    return rc < 0 ? -1 : 0;
}

static int add_stop(const struct json_read *r, const json_t *stop, struct quire_request *request) {
    size_t bytes = json_string_length(stop);
    if (!json_is_string(stop) || bytes == 0 || bytes > LIMIT_STOP_BYTES)
        return json_read_refuse(r, NULL, "a stop string has 1 to %d bytes", LIMIT_STOP_BYTES);
    return json_read_added(r, quire_request_stop(request, json_string_value(stop), bytes),
                           "too many stop strings");
}

int openai_read_stop(struct json_read *r, const json_t *body, struct quire_request *request) {
    const json_t *stop, *one;
    size_t i;
    if (!json_read_any(body, "stop", &stop))
        return 0;
    if (!json_is_string(stop) && !json_is_array(stop))
        return json_read_refuse(r, "stop", "stop must be a string or an array of strings");
    if (json_array_size(stop) > LIMIT_STOPS)
        return json_read_refuse(r, "stop", "a request may have %d stop strings", LIMIT_STOPS);
    size_t mark = json_read_enter(r, "stop");
    if (json_is_string(stop) && add_stop(r, stop, request) != 0)
        return -1;
    json_array_foreach(stop, i, one) {
        size_t inner = json_read_enter_index(r, i);
        if (add_stop(r, one, request) != 0)
            return -1;
        json_read_leave(r, inner);
    }
    json_read_leave(r, mark);
    return 0;
}

/* ---- the shape of the answer ---- */

static int read_schema(const struct json_read *r, const json_t *format,
                       struct quire_request *request) {
    const json_t *schema = NULL;
    int rc = json_read_object(r, format, "schema", &schema);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return json_read_refuse(r, "schema", "a json_schema format needs its schema");
    char *text = json_dumps(schema, JSON_COMPACT);
    rc = text != NULL ? quire_request_schema(request, text, strlen(text)) : ERR_NOMEM;
    free(text);
    return json_read_added(r, rc, "the schema is too large");
}

int openai_read_format(struct json_read *r, const json_t *object, const char *key,
                       const char *schema_key, struct quire_request *request, bool *bound) {
    static const char *const types[] = {"text", "json_object", "json_schema", NULL};
    static const char any_object[] = "{\"type\":\"object\"}";
    const json_t *format = NULL, *inner;
    int type = 0, rc = json_read_object(r, object, key, &format);
    *bound = false;
    if (rc <= 0)
        return rc;
    size_t mark = json_read_enter(r, key);
    if (json_read_word(r, format, "type", types, &type) < 0)
        return -1;
    *bound = type != 0;
    if (type == 1 &&
        json_read_added(r, quire_request_schema(request, any_object, sizeof any_object - 1), ""))
        return -1;
    inner = format;
    if (type == 2 && schema_key != NULL) {
        rc = json_read_object(r, format, schema_key, &inner);
        if (rc == 0)
            (void)json_read_refuse(r, schema_key, "a json_schema format needs its json_schema");
        if (rc <= 0)
            return -1;
        (void)json_read_enter(r, schema_key);
    }
    if (type == 2 && read_schema(r, inner, request) != 0)
        return -1;
    json_read_leave(r, mark);
    return 0;
}

/* ---- parts ---- */

int openai_add_message(const struct json_read *r, struct quire_request *request,
                       enum quire_role role) {
    return json_read_added(r, quire_request_message(request, role),
                           "the request has too many messages");
}

int openai_add_text(const struct json_read *r, struct quire_request *request, const char *text,
                    size_t bytes) {
    return json_read_added(r, quire_request_text(request, text, bytes),
                           "the request has too many parts, or too long a text");
}

int openai_add_written(const struct json_read *r, struct quire_request *request,
                       struct text *text) {
    int rc = text->failed
                 ? json_read_added(r, ERR_LIMIT, "the text is too long")
                 : openai_add_text(r, request, text->data != NULL ? text->data : "", text->size);
    text_close(text);
    return rc;
}

int openai_read_picture(const struct json_read *r, const json_t *object, const char *key,
                        struct quire_request *request) {
    static const char *const details[] = {"auto", "low", "high", "original", NULL};
    const char *url = NULL;
    size_t bytes = 0;
    int detail = 0, rc = json_read_string(r, object, key, SIZE_MAX, &url, &bytes);
    char path[96];
    if (rc < 0 || json_read_word(r, object, "detail", details, &detail) < 0)
        return -1;
    if (rc == 0)
        return json_read_refuse(r, key, "a picture needs a data: URL here");
    rc = quire_request_look(request, 0, detail == 1 ? QUIRE_DETAIL_LOW : QUIRE_DETAIL_HIGH);
    if (json_read_added(r, rc, "") != 0)
        return -1;
    json_read_path(r, key, path);
    return dialect_data_url(request, url, bytes, path, r->fault);
}

/* ---- tools ---- */

static int read_tool(struct json_read *r, const json_t *tool, const char *inner,
                     struct tools *tools) {
    const char *type = NULL, *name = NULL, *description = NULL;
    const json_t *parameters = NULL, *f = tool;
    size_t bytes = 0;
    int rc = json_is_object(tool) ? json_read_string(r, tool, "type", 64, &type, NULL)
                                  : json_read_refuse(r, NULL, "a tool must be an object");
    if (rc < 0)
        return -1;
    if (rc == 0 || strcmp(type, "function") != 0)
        return json_read_refuse(r, "type", "only tools of type \"function\" are known here");
    if (inner != NULL) {
        rc = json_read_object(r, tool, inner, &f);
        if (rc <= 0)
            return rc < 0 ? -1 : json_read_refuse(r, inner, "the function is missing");
        (void)json_read_enter(r, inner);
    }
    if ((rc = json_read_string(r, f, "name", SIZE_MAX, &name, NULL)) < 0 ||
        json_read_string(r, f, "description", DESCRIPTION_BYTES, &description, &bytes) < 0 ||
        json_read_object(r, f, "parameters", &parameters) < 0)
        return -1;
    if (rc == 0)
        return json_read_refuse(r, "name", "a function needs a name");
    return tools_add(tools, r, name, description, bytes, parameters);
}

static int read_choice(struct json_read *r, const json_t *choice, const char *inner,
                       struct tools *tools) {
    static const char *const words[] = {"auto", "none", "required"};
    static const enum tools_choice meant[] = {TOOLS_AUTO, TOOLS_NEVER, TOOLS_ANY};
    const char *word = json_string_value(choice);
    for (size_t i = 0; word != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            tools->choice = meant[i];
            return 0;
        }
    const char *type = json_string_value(json_object_get(choice, "type"));
    const json_t *f = inner != NULL ? json_object_get(choice, inner) : choice;
    const json_t *name = json_object_get(f, "name");
    if (type == NULL || strcmp(type, "function") != 0 || !json_is_string(name))
        return json_read_refuse(r, "tool_choice",
                                "tool_choice must be \"auto\", \"none\", \"required\" or name one "
                                "function");
    tools->choice = TOOLS_NAMED;
    tools->named = json_string_value(name);
    return 0;
}

int openai_read_tools(struct json_read *r, const json_t *body, const char *inner,
                      struct tools *tools) {
    const json_t *list = NULL, *tool, *choice;
    size_t i;
    tools->n = 0;
    tools->choice = TOOLS_AUTO;
    if (json_read_array(r, body, "tools", TOOLS_MAX, &list) < 0)
        return -1;
    size_t mark = json_read_enter(r, "tools");
    json_array_foreach(list, i, tool) {
        size_t one = json_read_enter_index(r, i);
        if (read_tool(r, tool, inner, tools) != 0)
            return -1;
        json_read_leave(r, one);
    }
    json_read_leave(r, mark);
    return json_read_any(body, "tool_choice", &choice) ? read_choice(r, choice, inner, tools) : 0;
}
