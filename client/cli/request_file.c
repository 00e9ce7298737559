/* request_file.c - JSON becomes a request. */
#include "client/cli/request_file.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"

static const char *const roles[] = {"", "system", "user", "assistant", "raw"};

static int add_picture(struct quire_request *request, const json_t *part, const char *path,
                       struct error *e) {
    char file[1024];
    struct quire_error qe = {0};
    const char *name = json_string_value(json_object_get(part, "picture"));
    const json_t *pixels = json_object_get(part, "max_pixels");
    const json_t *detail = json_object_get(part, "detail");
    const char *word = detail == NULL ? "high" : json_string_value(detail);
    bool low = word != NULL && strcmp(word, "low") == 0;
    const char *slash = strrchr(path, '/');
    if (name == NULL ||
        (pixels != NULL && (!json_is_integer(pixels) || json_integer_value(pixels) < 0 ||
                            json_integer_value(pixels) > UINT32_MAX)))
        return error_set(e, ERR_USAGE, "\"picture\" is a path, \"max_pixels\" a whole number");
    if (word == NULL || (!low && strcmp(word, "high") != 0))
        return error_set(e, ERR_USAGE, "\"detail\" is low or high");
    bool relative = name[0] != '/' && slash != NULL;
    (void)snprintf(file, sizeof file, "%.*s%s", relative ? (int)(slash - path + 1) : 0, path, name);
    (void)quire_request_look(request, (uint32_t)json_integer_value(pixels),
                             low ? QUIRE_DETAIL_LOW : QUIRE_DETAIL_HIGH);
    int rc = quire_request_picture_file(request, file, &qe);
    return rc == 0 ? 0 : error_set(e, rc, "%s", qe.text);
}

static int add_part(struct quire_request *request, const json_t *part, const char *path,
                    struct error *e) {
    const json_t *text = json_object_get(part, "text");
    struct quire_error qe = {0};
    if (json_object_get(part, "picture") != NULL)
        return add_picture(request, part, path, e);
    if (!json_is_string(text))
        return error_set(e, ERR_USAGE, "a part has \"text\" or \"picture\"");
    int rc =
        cli_explain(quire_request_text(request, json_string_value(text), json_string_length(text)),
                    "a text", &qe);
    return rc == 0 ? 0 : error_set(e, rc, "%s", qe.text);
}

static int add_message(struct quire_request *request, const json_t *message, const char *path,
                       struct error *e) {
    const char *name = json_string_value(json_object_get(message, "role"));
    const json_t *parts = json_object_get(message, "parts");
    struct quire_error qe = {0};
    int role = QUIRE_RAW;
    while (role > 0 && (name == NULL || strcmp(roles[role], name) != 0))
        role--;
    if (role == 0)
        return error_set(e, ERR_USAGE, "its \"role\" is not system, user, assistant or raw");
    if (json_array_size(parts) == 0)
        return error_set(e, ERR_USAGE, "its \"parts\" is not a list with at least one part");
    int rc = cli_explain(quire_request_message(request, (enum quire_role)role), "it", &qe);
    if (rc != 0)
        return error_set(e, rc, "%s", qe.text);
    for (size_t i = 0; i < json_array_size(parts) && rc == 0; i++)
        rc = add_part(request, json_array_get(parts, i), path, e);
    return rc;
}

static int add_names(struct quire_request *request, const json_t *root, struct error *e) {
    const char *model = json_string_value(json_object_get(root, "model"));
    const char *tenant = json_string_value(json_object_get(root, "tenant"));
    struct quire_error qe = {0};
    int rc = 0;
    if (model != NULL)
        rc = cli_explain(quire_request_model(request, model), "\"model\"", &qe);
    if (rc == 0 && tenant != NULL)
        rc = cli_explain(quire_request_tenant(request, tenant), "\"tenant\"", &qe);
    return rc == 0 ? 0 : error_set(e, rc, "%s", qe.text);
}

static int add_all(struct quire_request *request, const json_t *root, const char *path,
                   struct error *e) {
    const json_t *messages = json_object_get(root, "messages");
    if (json_array_size(messages) == 0)
        return error_set(e, ERR_USAGE, "\"messages\" is not a list with at least one message");
    int rc = add_names(request, root, e);
    for (size_t i = 0; i < json_array_size(messages) && rc == 0; i++) {
        rc = add_message(request, json_array_get(messages, i), path, e);
        if (rc != 0)
            error_prefix(e, "message %zu", i + 1);
    }
    return rc;
}

int request_file_read(const char *path, struct quire_request **out, struct error *e) {
    json_error_t wrong;
    *out = NULL;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &wrong);
    if (root == NULL)
        return json_error_code(&wrong) == json_error_cannot_open_file
                   ? error_set(e, ERR_NOT_FOUND, "%s can't be opened", path)
                   : error_set(e, ERR_USAGE, "%s, line %d: %s", path, wrong.line, wrong.text);
    *out = quire_request_new();
    int rc =
        *out == NULL ? error_set(e, ERR_NOMEM, "memory ran out") : add_all(*out, root, path, e);
    json_decref(root);
    if (rc != 0)
        error_prefix(e, "%s", path);
    return rc;
}
