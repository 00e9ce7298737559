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

#include "client/client.h"
#include "common/utf8.h"

#define READ_BYTES 65536 /* first size of the buffer a picture file is read into */

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
    struct text model, tenant;
    struct text stops[LIMIT_STOPS];
    size_t n_stops;
    enum role *roles; /* one per message */
    size_t n_messages, messages_room;
    struct part *parts;
    size_t n_parts, parts_room;
    zmq_msg_t *pictures; /* LIMIT_PICTURES of them, n_pictures initialised */
    uint32_t n_pictures;
    uint32_t max_pixels; /* of pictures to come, with detail */
    enum detail detail;
};

_Static_assert((int)QUIRE_DETAIL_LOW == (int)DETAIL_LOW, "details are the wire's");

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

static struct bytes text_bytes(const struct text *t) {
    return (struct bytes){(const uint8_t *)t->data, t->size};
}

struct quire_request *quire_request_new(void) {
    struct quire_request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    quire_options_default(&r->options);
    r->detail = DETAIL_HIGH;
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
    free(request);
}

/* ---- messages and parts ---- */

int quire_request_message(struct quire_request *request, enum quire_role role) {
    if (role < QUIRE_SYSTEM || role > QUIRE_ASSISTANT)
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

/* ---- the message ---- */

static void fill_options(const struct quire_options *o, struct request *r) {
    r->max_tokens = o->max_tokens;
    r->logprobs = o->logprobs;
    r->deadline_ms = o->deadline_ms;
    r->sampling = (struct sampling_options){
        .temperature = o->temperature,
        .top_k = o->top_k,
        .top_p = o->top_p,
        .min_p = o->min_p,
        .repeat_penalty = o->repeat_penalty,
        .presence_penalty = o->presence_penalty,
        .frequency_penalty = o->frequency_penalty,
        .repeat_last_n = o->repeat_last_n,
        .has_seed = o->has_seed,
        .seed = o->seed,
    };
}

/* Messages and parts as proto/ wants them: parts of one message lie side by side, since parts are
 * only ever added to the last message. */
static void fill_messages(const struct quire_request *in, struct request_message *messages,
                          struct request_part *parts) {
    for (size_t i = 0; i < in->n_messages; i++)
        messages[i] = (struct request_message){in->roles[i], NULL, 0};
    for (size_t i = 0; i < in->n_parts; i++) {
        const struct part *part = &in->parts[i];
        struct request_message *message = &messages[part->message];
        parts[i] = (struct request_part){.kind = part->kind,
                                         .text = text_bytes(&part->text),
                                         .picture = part->picture,
                                         .max_pixels = part->max_pixels,
                                         .detail = part->detail};
        if (message->n_parts++ == 0)
            message->parts = &parts[i];
    }
}

static int encode(const struct quire_request *in, struct request_id id, struct wire_buffer *out,
                  struct error *e) {
    struct bytes stops[LIMIT_STOPS];
    struct request r;
    int rc = ERR_NOMEM;
    request_init(&r);
    r.id = id;
    r.model = text_bytes(&in->model);
    r.tenant = text_bytes(&in->tenant);
    fill_options(&in->options, &r);
    for (size_t i = 0; i < in->n_stops; i++)
        stops[i] = text_bytes(&in->stops[i]);
    r.stops = stops;
    r.n_stops = in->n_stops;
    struct request_message *messages = calloc(in->n_messages + 1, sizeof *messages);
    struct request_part *parts = calloc(in->n_parts + 1, sizeof *parts);
    if (messages != NULL && parts != NULL) {
        fill_messages(in, messages, parts);
        r.messages = messages;
        r.n_messages = in->n_messages;
        rc = request_encode(&r, out);
    }
    free(messages);
    free(parts);
    return rc == 0 ? 0 : error_set(e, rc, "memory ran out for the request");
}

/* The broker's own check, made here first: an option out of range costs no way to the broker. */
static int check(const struct quire_request *in, struct bytes frame, struct error *e) {
    struct request r;
    int rc = request_decode(&r, frame, in->n_pictures, e);
    request_clear(&r);
    return rc;
}

int request_to_wire(const struct quire_request *request, struct request_id id,
                    struct wire_message *out, struct error *e) {
    struct wire_buffer frame = {0};
    int rc = encode(request, id, &frame, e);
    if (rc == 0)
        rc = check(request, wire_bytes(&frame), e);
    if (rc != 0) {
        wire_buffer_clear(&frame);
        return rc;
    }
    rc = wire_add_buffer(out, &frame);
    for (uint32_t i = 0; i < request->n_pictures && rc == 0; i++)
        rc = wire_add_shared(out, &request->pictures[i]);
    if (rc != 0)
        return error_set(e, rc, "memory ran out for the request");
    if (out->n_bytes > LIMIT_REQUEST_BYTES)
        return error_set(e, ERR_LIMIT, "a request may have %u bytes, this one has %zu",
                         LIMIT_REQUEST_BYTES, out->n_bytes);
    return 0;
}
