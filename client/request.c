/* request.c - a request under construction.
 *
 * Messages, parts and stop strings are growing arrays; each part knows its text or its picture. A
 * picture is kept as a ZeroMQ message from the start, so that sending it, also many times, copies a
 * reference and no bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/request_inside.h"
#include "common/utf8.h"

#define READ_BYTES 65536 /* first size of the buffer a picture file is read into */

_Static_assert((int)QUIRE_DETAIL_LOW == (int)DETAIL_LOW, "details are the wire's");
_Static_assert((int)QUIRE_PRIORITY_HIGH == (int)PRIORITY_HIGH, "priorities are the wire's");

/* ---- memory ---- */

/* Makes room for one more item. */
static int grow(void **items, size_t count, size_t *room, size_t item_bytes) {
    size_t wanted, bytes;
    if (count < *room)
        return 0;
    if (!size_mul(*room > 0 ? *room : 4, 2, &wanted) || !size_mul(wanted, item_bytes, &bytes))
        return ERR_NOMEM;
    void *grown = realloc(*items, bytes);
    if (grown == NULL)
        return ERR_NOMEM;
    *items = grown;
    *room = wanted;
    return 0;
}

/* Replaces *out by a copy. */
static int keep_text(struct text *out, const char *data, size_t size, size_t limit) {
    if (size > limit)
        return ERR_LIMIT;
    if (!utf8_valid((const uint8_t *)data, size))
        return ERR_BAD_REQUEST;
    char *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        return ERR_NOMEM;
    if (size > 0)
        memcpy(copy, data, size);
    free(out->data);
    *out = (struct text){copy, size};
    return 0;
}

struct quire_request *quire_request_new(void) {
    struct quire_request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    quire_options_default(&r->options);
    r->detail = DETAIL_HIGH;
    r->priority = PRIORITY_NORMAL;
    r->pictures = calloc(LIMIT_PICTURES, sizeof *r->pictures);
    if (r->pictures != NULL)
        return r;
    free(r);
    return NULL;
}

void quire_request_free(struct quire_request *request) {
    if (request == NULL)
        return;
    for (size_t i = 0; i < request->n_parts; i++)
        free(request->parts[i].text.data);
    for (size_t i = 0; i < request->n_stops; i++)
        free(request->stops[i].data);
    for (uint32_t i = 0; i < request->n_pictures; i++)
        (void)zmq_msg_close(&request->pictures[i]);
    free(request->pictures);
    free(request->parts);
    free(request->roles);
    free(request->model.data);
    free(request->tenant.data);
    free(request->schema.data);
    free(request);
}

/* ---- messages and parts ---- */

int quire_request_message(struct quire_request *request, enum quire_role role) {
    if (role < QUIRE_SYSTEM || role > QUIRE_RAW)
        return ERR_USAGE;
    if (request->n_messages == LIMIT_MESSAGES)
        return ERR_LIMIT;
    void *roles = request->roles;
    int rc = grow(&roles, request->n_messages, &request->messages_room, sizeof *request->roles);
    request->roles = roles;
    if (rc == 0)
        request->roles[request->n_messages++] = (enum role)role;
    return rc;
}

/* A new part at the end of the last message, not yet counted. */
static int new_part(struct quire_request *request, enum part_kind kind, struct part **out) {
    if (request->n_messages == 0)
        return ERR_USAGE;
    if (request->n_parts == LIMIT_PARTS)
        return ERR_LIMIT;
    void *parts = request->parts;
    int rc = grow(&parts, request->n_parts, &request->parts_room, sizeof *request->parts);
    request->parts = parts;
    if (rc != 0)
        return rc;
    *out = &request->parts[request->n_parts];
    **out = (struct part){.message = request->n_messages - 1, .kind = kind, .detail = DETAIL_HIGH};
    return 0;
}

int quire_request_text(struct quire_request *request, const char *text, size_t bytes) {
    struct part *part;
    int rc = new_part(request, PART_TEXT, &part);
    if (rc == 0)
        rc = keep_text(&part->text, text, bytes, LIMIT_HEADER_BYTES);
    if (rc == 0)
        request->n_parts++;
    return rc;
}

static int add_picture(struct quire_request *request, const void *data, size_t bytes,
                       struct error *e) {
    struct part *part;
    if (bytes > LIMIT_PICTURE_BYTES)
        return error_set(e, ERR_LIMIT, "a picture may have %u bytes, this one has %zu",
                         LIMIT_PICTURE_BYTES, bytes);
    if (request->n_pictures == LIMIT_PICTURES)
        return error_set(e, ERR_LIMIT, "a request may have %d pictures", LIMIT_PICTURES);
    int rc = new_part(request, PART_PICTURE, &part);
    if (rc == ERR_USAGE)
        return error_set(e, rc, "a picture needs a message to stand in");
    if (rc == ERR_LIMIT)
        return error_set(e, rc, "a request may have %d parts", LIMIT_PARTS);
    zmq_msg_t *picture = &request->pictures[request->n_pictures];
    if (rc != 0 || zmq_msg_init_size(picture, bytes) != 0)
        return error_set(e, ERR_NOMEM, "memory ran out for a picture of %zu bytes", bytes);
    if (bytes > 0)
        memcpy(zmq_msg_data(picture), data, bytes);
    part->picture = request->n_pictures++;
    part->max_pixels = request->max_pixels;
    part->detail = request->detail;
    request->n_parts++;
    return 0;
}

int quire_request_picture(struct quire_request *request, const void *data, size_t bytes,
                          struct quire_error *error) {
    struct error e = {0};
    return add_picture(request, data, bytes, &e) == 0 ? 0 : client_report(error, &e);
}

/* Reads to the end, whatever kind of file it is; stops when it is longer than a picture may be. */
static int read_all(int fd, uint8_t **data, size_t *size, struct error *e) {
    size_t room = READ_BYTES;
    *size = 0;
    *data = malloc(room);
    while (*data != NULL && *size <= LIMIT_PICTURE_BYTES) {
        ssize_t n = read(fd, *data + *size, room - *size);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return error_set(e, ERR_IO, "%s", strerror(errno));
        *size += n > 0 ? (size_t)n : 0;
        if (*size == room) {
            room *= 2;
            uint8_t *grown = realloc(*data, room);
            if (grown == NULL)
                return error_set(e, ERR_NOMEM, "memory ran out");
            *data = grown;
        }
    }
    if (*data == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out");
    return error_set(e, ERR_LIMIT, "a picture may have %u bytes", LIMIT_PICTURE_BYTES);
}

int quire_request_picture_file(struct quire_request *request, const char *path,
                               struct quire_error *error) {
    struct error e = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    int rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        rc = error_set(&e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s", strerror(errno));
    else
        rc = read_all(fd, &data, &size, &e);
    if (rc == 0)
        rc = add_picture(request, data, size, &e);
    if (fd >= 0)
        (void)close(fd);
    free(data);
    if (rc == 0)
        return 0;
    error_prefix(&e, "%s", path);
    return client_report(error, &e);
}

int quire_request_look(struct quire_request *request, uint32_t max_pixels,
                       enum quire_detail detail) {
    if (detail != QUIRE_DETAIL_HIGH && detail != QUIRE_DETAIL_LOW)
        return ERR_USAGE;
    request->max_pixels = max_pixels;
    request->detail = (enum detail)detail;
    return 0;
}

/* ---- options ---- */

int quire_request_stop(struct quire_request *request, const char *text, size_t bytes) {
    if (request->n_stops == LIMIT_STOPS)
        return ERR_LIMIT;
    if (bytes == 0)
        return ERR_USAGE;
    int rc = keep_text(&request->stops[request->n_stops], text, bytes, LIMIT_STOP_BYTES);
    if (rc == 0)
        request->n_stops++;
    return rc;
}

int quire_request_model(struct quire_request *request, const char *name) {
    return keep_text(&request->model, name, strlen(name), LIMIT_MODEL_BYTES);
}

int quire_request_tenant(struct quire_request *request, const char *name) {
    return keep_text(&request->tenant, name, strlen(name), LIMIT_TENANT_BYTES);
}

int quire_request_schema(struct quire_request *request, const char *json, size_t bytes) {
    return keep_text(&request->schema, json, bytes, LIMIT_SCHEMA_BYTES);
}

void quire_request_count_only(struct quire_request *request, bool on) {
    request->count_only = on;
}

void quire_request_priority(struct quire_request *request, enum quire_priority priority) {
    request->priority = (enum priority)priority;
}

void quire_options_default(struct quire_options *options) {
    struct request r;
    request_init(&r);
    const struct sampling_options *s = &r.sampling;
    *options = (struct quire_options){
        .temperature = s->temperature,
        .top_p = s->top_p,
        .min_p = s->min_p,
        .repeat_penalty = s->repeat_penalty,
        .presence_penalty = s->presence_penalty,
        .frequency_penalty = s->frequency_penalty,
        .top_k = s->top_k,
        .repeat_last_n = s->repeat_last_n,
        .max_tokens = r.max_tokens,
        .logprobs = r.logprobs,
        .deadline_ms = r.deadline_ms,
    };
}

void quire_request_options(struct quire_request *request, const struct quire_options *options) {
    request->options = *options;
}
