/* assignment.c - frames stay where ZeroMQ put them; the job points into them. */
#include "worker/assignment.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int take_pictures(struct assignment *a, struct error *e) {
    size_t count = a->frames.n_frames - 2;
    if (count > LIMIT_PICTURES)
        return error_set(e, ERR_LIMIT, "%zu pictures in one request; the most is %d", count,
                         LIMIT_PICTURES);
    for (size_t i = 0; i < count; i++) {
        a->pictures[i] = wire_frame(&a->frames, i + 2);
        if (a->pictures[i].size > LIMIT_PICTURE_BYTES)
            return error_set(e, ERR_LIMIT, "picture %zu has %zu bytes; the most is %u", i + 1,
                             a->pictures[i].size, LIMIT_PICTURE_BYTES);
    }
    return 0;
}

static int take_chain(struct assignment *a, struct chain_root root, struct error *e) {
    if (root.seed == 0)
        return 0;
    root.tenant = a->request.tenant;
    int rc = chain_make(&a->chain, &root, &a->request, a->pictures, e);
    if (rc == 0) {
        a->job.chain = &a->chain;
        a->job.chain_seed = root.seed;
    }
    return rc;
}

int assignment_open(struct assignment **out, struct wire_message *m, int64_t now_us,
                    const struct chain_root *root, struct msg_work *work, bool *named,
                    struct request_id *id, struct error *e) {
    *out = NULL;
    *named = false;
    memset(id, 0, sizeof *id);
    int rc = work_decode(work, wire_frame(m, 0), e);
    if (rc < 0)
        return rc;
    *named = true;
    if (m->n_frames < 2)
        return error_set(e, ERR_BAD_MESSAGE, "WORK without a REQUEST after it");
    struct assignment *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(e, ERR_NOMEM, "no memory for a request");
    wire_message_init(&a->frames);
    wire_message_move(&a->frames, m);
    work->replay =
        (struct bytes){NULL, 0}; /* frames may move in memory when they are handed over */
    rc = work_decode(&a->work, wire_frame(&a->frames, 0), e);
    if (rc == 0)
        rc = take_pictures(a, e);
    if (rc == 0)
        rc = request_decode(&a->request, wire_frame(&a->frames, 1), a->frames.n_frames - 2, e);
    *id = a->request.id;
    if (rc == 0)
        rc = take_chain(a, *root, e);
    if (rc < 0) {
        assignment_close(a);
        return rc;
    }
    a->job.request = &a->request;
    a->job.pictures = a->pictures;
    a->job.seed = a->work.seed;
    a->job.replay = a->work.replay;
    a->job.replay_bytes = a->work.replay_bytes;
    a->job.arrived_us = now_us;
    a->job.deadline_us = now_us + (int64_t)work->deadline_ms * 1000;
    atomic_init(&a->job.cancelled, false);
    *out = a;
    return 0;
}

void assignment_close(struct assignment *a) {
    if (a == NULL)
        return;
    chain_clear(&a->chain);
    request_clear(&a->request);
    wire_message_close(&a->frames);
    free(a);
}

struct assignment *assignment_of(struct job *job) {
    return (struct assignment *)(void *)((char *)job - offsetof(struct assignment, job));
}

int assignment_reply(const struct msg_work *work, uint64_t incarnation, struct bytes ids,
                     struct bytes message, struct wire_message *m) {
    struct msg_reply reply = {incarnation, work->ticket, work->attempt, ids};
    struct wire_buffer head = {NULL, 0, 0};
    int rc = reply_encode(&reply, &head);
    if (rc == 0)
        rc = wire_add_buffer(m, &head);
    if (rc == 0)
        rc = wire_add_copy(m, message);
    wire_buffer_clear(&head);
    if (rc < 0)
        wire_message_close(m);
    return rc;
}

int assignment_refuse(const struct msg_work *work, uint64_t incarnation,
                      const struct request_id *id, int code, const char *text,
                      struct wire_message *m) {
    struct msg_error error = {
        .has_id = true,
        .id = *id,
        .code = code,
        .text = {(const uint8_t *)text, strlen(text)},
    };
    struct wire_buffer body = {NULL, 0, 0};
    int rc = error_encode(&error, &body);
    if (rc == 0)
        rc = assignment_reply(work, incarnation, (struct bytes){NULL, 0}, wire_bytes(&body), m);
    wire_buffer_clear(&body);
    return rc;
}
