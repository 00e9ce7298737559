/* run_end.c - what is written down of a run when it has ended. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "gateway/access/limits.h"
#include "gateway/http/run.h"

#define SEGMENTS_MAX 4096 /* of one request */

/* How many of the positions before `end` and not before `start` are among the first `reused`. */
static uint32_t reused_of(uint32_t start, uint32_t end, uint32_t reused) {
    if (reused <= start)
        return 0;
    return (reused < end ? reused : end) - start;
}

static void record_segments(struct record *r, const struct quire_request *request,
                            const struct quire_event *done) {
    size_t n = quire_request_segments(request, NULL, 0);
    if (n > SEGMENTS_MAX)
        n = SEGMENTS_MAX;
    if (n > done->n_segment_ends)
        n = done->n_segment_ends;
    struct quire_segment *all = n ? calloc(n, sizeof *all) : NULL;
    if (all == NULL)
        return;
    (void)quire_request_segments(request, all, n);
    size_t first = n > FIGURES_SEGMENTS ? n - FIGURES_SEGMENTS : 0;
    for (size_t i = first; i < n; i++) {
        uint32_t start = i ? done->segment_ends[i - 1] : 0, end = done->segment_ends[i];
        r->segments[i - first] =
            (struct record_segment){.picture = all[i].picture,
                                    .role = (uint8_t)all[i].role,
                                    .bytes = all[i].bytes,
                                    .ends_at = end,
                                    .reused = reused_of(start, end, done->usage.reused_positions)};
    }
    r->n_segments = n - first;
    free(all);
}

void run_record(struct run *run, const char *outcome, const struct quire_event *done) {
    struct record *r = &run->record;
    (void)snprintf(r->outcome, sizeof r->outcome, "%s", outcome);
    r->status = run->status ? run->status : 499;
    r->first_us = run->note.first_us;
    r->ended_us = clock_us();
    (void)snprintf(r->model, sizeof r->model, "%s", run->reply.model);
    r->usage.answer_tokens = run->reply.n_tokens;
    if (done) {
        memcpy(r->id, done->id, sizeof r->id);
        memcpy(r->model, done->model, sizeof r->model);
        memcpy(r->worker, done->worker, sizeof r->worker);
        r->usage = done->usage;
        r->timings = done->timings;
        r->attempts = done->attempts;
        record_segments(r, run->reply.request, done);
    }
    (void)snprintf(run->note.outcome, sizeof run->note.outcome, "%s", outcome);
    run->note.tokens = r->usage.answer_tokens;
    run->note.reused = r->usage.reused_positions;
}

json_t *run_details(const struct run *run) {
    static const char *const shown[] = {"request_id", "id",      "worker",  "attempts",
                                        "usage",      "timings", "segments"};
    json_t *all = figures_record_json(&run->record), *out = json_object();
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        (void)json_object_set(out, shown[i], json_object_get(all, shown[i]));
    json_decref(all);
    return out;
}

/* Positions that were computed, and tokens that were made. */
static uint64_t price(const struct run *run) {
    const struct record *r = &run->record;
    if (run->reply.count_only)
        return 0;
    return (uint64_t)r->usage.prompt_positions - r->usage.reused_positions + r->usage.answer_tokens;
}

void run_close_books(struct run *run) {
    struct gateway *g = run->server->gateway;
    struct reply *reply = &run->reply;
    figures_add(g->figures, &run->record);
    if (run->key.name[0])
        limits_leave(g->limits, &run->key, price(run), clock_ms());
    run->key.name[0] = '\0';
    if (run->read)
        run->dialect->close(reply);
    run->read = false;
    if (reply->request)
        quire_request_free(reply->request);
    json_decref(reply->tokens);
    json_decref(reply->details_object);
    text_close(&reply->answer);
    reply->request = NULL;
    reply->tokens = reply->details_object = NULL;
    run->asked = NULL;
    run->ended = true;
    run->server->body_used -= run->held_bytes;
    run->held_bytes = 0;
}
