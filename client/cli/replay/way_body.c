/* way_body.c - messages, and pictures as data: URLs. */
#include "client/cli/replay/way_body.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char *const roles[] = {"", "system", "user", "assistant"};

static json_t *picture_part(struct bytes picture) {
    static const char head[] = "data:image/png;base64,";
    const char *kind = picture.size > 0 && picture.data[0] == 0xff ? "jpeg" : "png";
    size_t room = sodium_base64_encoded_len(picture.size, sodium_base64_VARIANT_ORIGINAL);
    char *url = malloc(sizeof head + 8 + room);
    if (url == NULL)
        return NULL;
    int n = sprintf(url, "data:image/%s;base64,", kind);
    sodium_bin2base64(url + n, room, picture.data, picture.size, sodium_base64_VARIANT_ORIGINAL);
    json_t *part = json_pack("{s:s, s:{s:s}}", "type", "image_url", "image_url", "url", url);
    free(url);
    return part;
}

static json_t *message(const struct talk *talk, const struct request_message *m) {
    json_t *parts = json_array();
    bool good = parts != NULL;
    for (size_t i = 0; i < m->n_parts && good; i++) {
        const struct request_part *p = &m->parts[i];
        json_t *part = p->kind == PART_PICTURE
                           ? picture_part(talk->pictures[p->picture])
                           : json_pack("{s:s, s:s%}", "type", "text", "text",
                                       (const char *)p->text.data, p->text.size);
        good = part != NULL && json_array_append_new(parts, part) == 0;
    }
    if (good)
        return json_pack("{s:s, s:o}", "role", roles[m->role], "content", parts);
    json_decref(parts);
    return NULL;
}

char *way_body(const struct talk *talk, uint32_t max_tokens, size_t *bytes) {
    json_t *messages = json_array();
    bool good = messages != NULL;
    for (size_t i = 0; i < talk->request.n_messages && good; i++) {
        json_t *one = message(talk, &talk->request.messages[i]);
        good = one != NULL && json_array_append_new(messages, one) == 0;
    }
    if (!good) {
        json_decref(messages);
        return NULL;
    }
    json_t *root = json_pack("{s:o, s:b, s:{s:b}, s:i, s:I}", "messages", messages, "stream", 1,
                             "stream_options", "include_usage", 1, "temperature", 0, "max_tokens",
                             (json_int_t)max_tokens);
    char *body = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    *bytes = body != NULL ? strlen(body) : 0;
    json_decref(root);
    return body;
}
