/* explain.c - why a worker was chosen, and what the pool would lose with one. */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

/* An explanation is one block: the struct, its workers, its segments, then all owners. */
static struct quire_explanation *make_room(const struct explanation *in, uint8_t **owners) {
    size_t n_owners = 0;
    for (size_t i = 0; i < in->n_segments; i++)
        n_owners += in->segments[i].owners.size;
    /* Bounded by LIMIT_WORKERS and LIMIT_EXPLAINED_SEGMENTS. */
    size_t workers_bytes = in->n_workers * sizeof(struct quire_explained_worker);
    size_t segments_bytes = in->n_segments * sizeof(struct quire_explained_segment);
    struct quire_explanation *out =
        calloc(1, sizeof *out + workers_bytes + segments_bytes + n_owners);
    if (out == NULL)
        return NULL;
    uint8_t *after = (uint8_t *)(out + 1);
    out->workers = (struct quire_explained_worker *)(void *)after;
    out->segments = (struct quire_explained_segment *)(void *)(after + workers_bytes);
    *owners = after + workers_bytes + segments_bytes;
    return out;
}

_Static_assert(_Alignof(struct quire_explained_segment) <= _Alignof(struct quire_explained_worker),
               "segments follow workers without a gap");

static void copy_worker(struct quire_explained_worker *out, const struct explained_worker *in) {
    *out = (struct quire_explained_worker){
        .fits = in->fits,
        .credit = in->credit,
        .chosen = in->chosen,
        .held_segments = in->held_segments,
        .held_positions = in->held_positions,
        .missing_pictures = in->missing_pictures,
        .wait_us = in->wait_us,
        .encode_us = in->encode_us,
        .prefill_us = in->prefill_us,
        .total_us = in->total_us,
    };
    client_copy_text(out->name, sizeof out->name, in->name);
}

/* Owners that are no index of a worker are left out. */
static uint8_t *copy_segment(struct quire_explained_segment *out,
                             const struct explained_segment *in, size_t n_workers,
                             uint8_t *owners) {
    *out = (struct quire_explained_segment){
        .picture = in->kind == PART_PICTURE,
        .role = (enum quire_role)in->role,
        .bytes = in->bytes,
        .positions = in->positions,
        .known = in->known,
        .owners = owners,
    };
    memcpy(out->link, in->link, sizeof out->link);
    for (size_t i = 0; i < in->owners.size; i++)
        if (in->owners.data[i] < n_workers)
            owners[out->n_owners++] = in->owners.data[i];
    return owners + out->n_owners;
}

static int copy_explanation(const struct explanation *in, struct quire_explanation **out,
                            struct error *e) {
    uint8_t *owners;
    if (!in->found)
        return error_set(e, ERR_NOT_FOUND, "the broker remembers no such request");
    struct quire_explanation *x = make_room(in, &owners);
    if (x == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for the explanation");
    x->past = in->past;
    x->policy = (enum quire_policy)in->policy;
    x->prompt_positions = in->prompt_positions;
    x->predicted_us = in->predicted_us;
    x->first_token_us = in->first_token_us;
    x->n_workers = in->n_workers;
    x->n_segments = in->n_segments;
    memcpy(x->id, in->id.bytes, sizeof x->id);
    for (size_t i = 0; i < in->n_workers; i++)
        copy_worker((struct quire_explained_worker *)&x->workers[i], &in->workers[i]);
    for (size_t i = 0; i < in->n_segments; i++)
        owners = copy_segment((struct quire_explained_segment *)&x->segments[i], &in->segments[i],
                              in->n_workers, owners);
    *out = x;
    return 0;
}

int quire_explain(struct quire_client *client, int timeout_ms, const struct quire_request *request,
                  const uint8_t *id, struct quire_explanation **out, struct quire_error *error) {
    struct error e = {0};
    struct wire_message m;
    struct msg_ops_reply reply;
    struct msg_ops query = {.query = OPS_EXPLAIN};
    *out = NULL;
    if (id != NULL)
        query.id = (struct bytes){id, QUIRE_ID_BYTES};
    wire_message_init(&m);
    int rc = ops_ask(client, timeout_ms, query, request, &m, &reply, &e);
    if (rc == 0) {
        rc = copy_explanation(&reply.explanation, out, &e);
        ops_reply_clear(&reply);
    }
    wire_message_close(&m);
    return rc == 0 ? 0 : client_report(error, &e);
}

int quire_losses(struct quire_client *client, int timeout_ms, const char *worker,
                 struct quire_losses *losses, struct quire_error *error) {
    struct error e = {0};
    struct wire_message m;
    struct msg_ops_reply reply;
    struct msg_ops query = {.query = OPS_LOSSES};
    wire_message_init(&m);
    int rc = ops_worker_name(worker, &query.worker, &e);
    if (rc == 0)
        rc = ops_ask(client, timeout_ms, query, NULL, &m, &reply, &e);
    if (rc == 0) {
        const struct loss *in = &reply.loss;
        *losses = (struct quire_losses){.in_flight = in->in_flight,
                                        .links = in->links,
                                        .positions = in->positions,
                                        .shared_links = in->shared_links,
                                        .pictures = in->pictures};
        ops_reply_clear(&reply);
    }
    wire_message_close(&m);
    return rc == 0 ? 0 : client_report(error, &e);
}
