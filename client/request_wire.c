/* request_wire.c - a finished request as the messages and parts that proto/ works with: to encode
 * it, and to cut it as the pool will. */
#include <stdlib.h>

#include "client/request_inside.h"
#include "proto/segments.h"

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

/* The arrays that a struct request borrows while it stands for one of ours. */
struct borrowed {
    struct request_message *messages;
    struct request_part *parts;
};

static void return_borrowed(struct borrowed *b) {
    free(b->messages);
    free(b->parts);
}

static int borrow_messages(const struct quire_request *in, struct request *r, struct borrowed *b) {
    b->messages = calloc(in->n_messages + 1, sizeof *b->messages);
    b->parts = calloc(in->n_parts + 1, sizeof *b->parts);
    if (b->messages == NULL || b->parts == NULL)
        return ERR_NOMEM;
    fill_messages(in, b->messages, b->parts);
    r->messages = b->messages;
    r->n_messages = in->n_messages;
    r->n_pictures = in->n_pictures;
    return 0;
}

static int encode(const struct quire_request *in, struct request_id id, struct wire_buffer *out,
                  struct error *e) {
    struct bytes stops[LIMIT_STOPS];
    struct borrowed borrowed = {0};
    struct request r;
    request_init(&r);
    r.id = id;
    r.model = text_bytes(&in->model);
    r.tenant = text_bytes(&in->tenant);
    r.schema = text_bytes(&in->schema);
    r.count_only = in->count_only;
    r.priority = in->priority;
    fill_options(&in->options, &r);
    for (size_t i = 0; i < in->n_stops; i++)
        stops[i] = text_bytes(&in->stops[i]);
    r.stops = stops;
    r.n_stops = in->n_stops;
    int rc = borrow_messages(in, &r, &borrowed);
    if (rc == 0)
        rc = request_encode(&r, out);
    return_borrowed(&borrowed);
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

/* ---- how the pool cuts it ---- */

struct segment_list {
    struct quire_segment *out;
    size_t capacity, count;
};

static void list_segment(void *arg, const struct segment *s) {
    struct segment_list *list = arg;
    if (list->count < list->capacity)
        list->out[list->count] = (struct quire_segment){.picture = s->kind == PART_PICTURE,
                                                        .role = (enum quire_role)s->role,
                                                        .bytes = (uint32_t)s->bytes};
    list->count++;
}

size_t quire_request_segments(const struct quire_request *request, struct quire_segment *out,
                              size_t capacity) {
    struct segment_list list = {.out = out, .capacity = capacity};
    struct borrowed borrowed = {0};
    size_t picture_bytes[LIMIT_PICTURES];
    struct request r;
    request_init(&r);
    for (uint32_t i = 0; i < request->n_pictures; i++)
        picture_bytes[i] = zmq_msg_size(&request->pictures[i]);
    if (borrow_messages(request, &r, &borrowed) == 0)
        segments_cut(&r, picture_bytes, list_segment, &list);
    return_borrowed(&borrowed);
    return list.count;
}
