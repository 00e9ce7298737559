/* anthropic_read.c - a body of POST /v1/messages or count_tokens to a request of the pool.
 *
 * A field that is not listed here is refused, as Anthropic does it: what a client asks for and does
 * not get must not look as if it had been done. */
#include <stdlib.h>
#include <string.h>

#include "gateway/api/anthropic.h"
#include "gateway/api/json_read.h"
#include "proto/limits.h"

#define USER_BYTES 1024 /* of metadata.user_id */

/* Read here, or without a meaning for a pool: where a request is billed and how fast it is promised
 * to go. */
static const char *const known_fields[] = {"model",
                                           "max_tokens",
                                           "messages",
                                           "system",
                                           "stop_sequences",
                                           "stream",
                                           "temperature",
                                           "top_p",
                                           "top_k",
                                           "metadata",
                                           "tools",
                                           "tool_choice",
                                           "thinking",
                                           "output_config",
                                           "output_format",
                                           "cache_control",
                                           "service_tier",
                                           "inference_geo",
                                           "diagnostics",
                                           "user_profile_id",
                                           "workspace_id",
                                           "speed",
                                           NULL};

static int check_fields(const struct json_read *at, const json_t *body) {
    const char *key;
    json_t *value;
    if (!json_is_object(body))
        return json_read_refuse(at, NULL, "the body must be a JSON object");
    json_object_foreach((json_t *)body, key, value) {
        size_t i = 0;
        while (known_fields[i] != NULL && strcmp(known_fields[i], key) != 0)
            i++;
        if (known_fields[i] == NULL && !json_is_null(value))
            return json_read_refuse(at, NULL, "there is no field \"%.64s\" here", key);
    }
    return 0;
}

static int read_model(struct reply *reply, struct json_read *at, const json_t *body,
                      const struct dialect_world *world) {
    const char *model = NULL;
    int rc = json_read_string(at, body, "model", LIMIT_MODEL_BYTES, &model, NULL);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return json_read_refuse(at, "model", "model is required");
    (void)snprintf(reply->model, sizeof reply->model, "%s",
                   model[0] != '\0' ? model : world->default_model);
    return json_read_added(at, quire_request_model(reply->request, reply->model),
                           "model is too long");
}

static int read_sampling(struct reply *reply, struct json_read *at, const json_t *body) {
    struct quire_options *o = &reply->options;
    uint32_t top_k = 0;
    int rc = json_read_number(at, body, "temperature", 0, 1, &o->temperature);
    if (rc >= 0)
        rc = json_read_number(at, body, "top_p", 0, 1, &o->top_p);
    if (rc >= 0)
        rc = json_read_u32(at, body, "top_k", 0, INT32_MAX, &top_k);
    if (rc > 0)
        o->top_k = (int32_t)top_k;
    return rc < 0 ? rc : 0;
}

static int read_max_tokens(struct reply *reply, struct json_read *at, const json_t *body,
                           bool count) {
    reply->max_tokens = 1;
    int rc = json_read_u32(at, body, "max_tokens", 1, LIMIT_MAX_TOKENS, &reply->max_tokens);
    if (rc == 0 && !count)
        return json_read_refuse(at, "max_tokens", "max_tokens is required");
    reply->options.max_tokens = count ? 1 : reply->max_tokens;
    return rc < 0 ? rc : 0;
}

static int read_stops(struct reply *reply, struct json_read *at, const json_t *body) {
    struct anthropic_own *own = reply->own;
    const json_t *stops;
    int rc = json_read_array(at, body, "stop_sequences", LIMIT_STOPS, &stops);
    if (rc <= 0)
        return rc;
    size_t mark = json_read_enter(at, "stop_sequences");
    for (size_t i = 0; i < json_array_size(stops); i++) {
        const json_t *stop = json_array_get(stops, i);
        size_t element = json_read_enter_index(at, i);
        if (!json_is_string(stop) || json_string_length(stop) == 0)
            return json_read_refuse(at, NULL, "a stop sequence is a string that is not empty");
        rc = quire_request_stop(reply->request, json_string_value(stop), json_string_length(stop));
        if (json_read_added(at, rc, "a stop sequence may have 256 bytes") < 0)
            return -1;
        json_read_leave(at, element);
    }
    json_read_leave(at, mark);
    own->stops = json_deep_copy(stops);
    return own->stops != NULL ? 0 : json_read_added(at, ERR_NOMEM, "");
}

/* Who asks on the client's side is checked and then forgotten: it is nobody's business here. */
static int read_user(struct json_read *at, const json_t *body) {
    const json_t *metadata;
    const char *user;
    int rc = json_read_object(at, body, "metadata", &metadata);
    if (rc <= 0)
        return rc;
    size_t mark = json_read_enter(at, "metadata");
    rc = json_read_string(at, metadata, "user_id", USER_BYTES, &user, NULL);
    json_read_leave(at, mark);
    return rc < 0 ? rc : 0;
}

static int read_thinking(struct json_read *at, const json_t *body) {
    static const char *const types[] = {"disabled", "enabled", "adaptive", "between_tools", NULL};
    const json_t *thinking;
    int type = -1;
    int rc = json_read_object(at, body, "thinking", &thinking);
    if (rc <= 0)
        return rc;
    size_t mark = json_read_enter(at, "thinking");
    rc = json_read_word(at, thinking, "type", types, &type);
    if (rc >= 0 && type != 0)
        rc = json_read_refuse(at, "type",
                              "the models of this pool do not think before they "
                              "answer; leave thinking out, or \"disabled\"");
    json_read_leave(at, mark);
    return rc < 0 ? rc : 0;
}

/* A format of the answer, at the place of r: {"type": "json_schema", "schema": {...}}. */
static int read_format(struct reply *reply, const struct json_read *at, const json_t *format) {
    static const char *const types[] = {"json_schema", NULL};
    const struct anthropic_own *own = reply->own;
    const json_t *schema;
    int type;
    int rc = json_read_word(at, format, "type", types, &type);
    if (rc > 0)
        rc = json_read_object(at, format, "schema", &schema);
    if (rc == 0)
        return json_read_refuse(at, NULL, "a format has the type json_schema and a schema");
    if (rc < 0)
        return rc;
    if (own->mode != TOOLS_OFF)
        return json_read_refuse(at, NULL,
                                "an answer can't be held to a schema and call tools; "
                                "leave out one of the two");
    char *text = json_dumps(schema, JSON_COMPACT);
    rc = text != NULL ? quire_request_schema(reply->request, text, strlen(text)) : ERR_NOMEM;
    free(text);
    return json_read_added(at, rc, "a schema may have 65536 bytes");
}

/* output_config.format, or output_format as it was called before. */
static int read_output(struct reply *reply, struct json_read *at, const json_t *body) {
    const json_t *config, *format;
    int rc = json_read_object(at, body, "output_config", &config);
    if (rc > 0) {
        size_t mark = json_read_enter(at, "output_config");
        rc = json_read_object(at, config, "format", &format);
        (void)json_read_enter(at, "format");
        if (rc > 0)
            rc = read_format(reply, at, format) < 0 ? -1 : 1;
        json_read_leave(at, mark);
    }
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = json_read_object(at, body, "output_format", &format);
    if (rc > 0) {
        size_t mark = json_read_enter(at, "output_format");
        rc = read_format(reply, at, format);
        json_read_leave(at, mark);
    }
    return rc < 0 ? rc : 0;
}

static int read_tools_and_talk(struct reply *reply, struct json_read *at, const json_t *body,
                               const struct dialect_world *world, bool count) {
    struct anthropic_own *own = reply->own;
    struct anthropic_talk talk = {.request = reply->request, .at = at, .own = own};
    bool one_call = false;
    struct tools *tools = calloc(1, sizeof *tools);
    int rc = tools != NULL ? anthropic_read_tools(at, body, world->tools, tools, &one_call, own)
                           : json_read_added(at, ERR_NOMEM, "");
    if (rc >= 0 && own->mode == TOOLS_FORCED && json_array_size(own->stops) > 0)
        rc = json_read_refuse(at, "stop_sequences", "a call can't end at a stop sequence");
    if (rc >= 0)
        rc = tools_constrain(tools, own->mode, at, reply->request);
    if (rc >= 0)
        rc = anthropic_read_system(&talk, body, tools, world->tools);
    if (rc >= 0)
        rc = anthropic_read_messages(&talk, body, count);
    free(tools);
    if (rc < 0 || own->mode == TOOLS_OFF)
        return rc;
    own->parser = tools_parser_open(own->mode, one_call, &anthropic_sink);
    return own->parser != NULL ? 0 : json_read_added(at, ERR_NOMEM, "");
}

static int read_all(struct reply *reply, const json_t *body, const struct dialect_world *world,
                    bool count, struct json_read *at) {
    if (check_fields(at, body) < 0 || read_model(reply, at, body, world) < 0 ||
        read_max_tokens(reply, at, body, count) < 0 || read_sampling(reply, at, body) < 0 ||
        read_stops(reply, at, body) < 0 || read_user(at, body) < 0 || read_thinking(at, body) < 0 ||
        json_read_bool(at, body, "stream", &reply->stream) < 0)
        return -1;
    anthropic_note_cache(reply->own, body);
    if (read_tools_and_talk(reply, at, body, world, count) < 0)
        return -1;
    return read_output(reply, at, body);
}

int anthropic_read(struct reply *reply, const json_t *body, const struct dialect_world *world,
                   bool count, struct fault *fault) {
    struct json_read at;
    json_read_init(&at, fault);
    struct anthropic_own *own = calloc(1, sizeof *own);
    reply->own = own;
    reply->request = quire_request_new();
    reply->stream = false;
    quire_options_default(&reply->options);
    int rc = own != NULL && reply->request != NULL ? 0 : json_read_added(&at, ERR_NOMEM, "");
    if (rc == 0) {
        text_init(&own->words, DIALECT_ANSWER_BYTES);
        text_init(&own->call, TOOLS_TEXT_BYTES);
        text_init(&own->arguments, TOOLS_TEXT_BYTES);
        rc = read_all(reply, body, world, count, &at);
    }
    if (rc < 0) {
        anthropic_close(reply);
        return -1;
    }
    reply->count_only = count;
    quire_request_count_only(reply->request, count);
    reply->stream = reply->stream && !count;
    return 0;
}

void anthropic_close(struct reply *reply) {
    struct anthropic_own *own = reply->own;
    quire_request_free(reply->request);
    reply->request = NULL;
    reply->own = NULL;
    if (own == NULL)
        return;
    json_decref(own->stops);
    json_decref(own->content);
    tools_parser_close(own->parser);
    text_close(&own->words);
    text_close(&own->call);
    text_close(&own->arguments);
    free(own);
}
