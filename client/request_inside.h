/* request_inside.h - a request under construction, for the two files that build it (request.c) and
 * that turn it into what proto/ works with (request_wire.c). */
#ifndef QUIRE_CLIENT_REQUEST_INSIDE_H
#define QUIRE_CLIENT_REQUEST_INSIDE_H

#include "client/client.h"

struct text {
    char *data; /* owned */
    size_t size;
};

struct part {
    size_t message; /* the index of its message */
    enum part_kind kind;
    struct text text;
    uint32_t picture;
    uint32_t max_pixels; /* of a picture, with detail */
    enum detail detail;
};

struct quire_request {
    struct quire_options options;
    struct text model, tenant, schema;
    struct text stops[LIMIT_STOPS];
    size_t n_stops;
    bool count_only;
    enum priority priority;
    enum role *roles; /* one per message */
    size_t n_messages, messages_room;
    struct part *parts;
    size_t n_parts, parts_room;
    zmq_msg_t *pictures; /* LIMIT_PICTURES of them, n_pictures initialised */
    uint32_t n_pictures;
    uint32_t max_pixels; /* of pictures to come, with detail */
    enum detail detail;
};

static inline struct bytes text_bytes(const struct text *t) {
    return (struct bytes){(const uint8_t *)t->data, t->size};
}

#endif
