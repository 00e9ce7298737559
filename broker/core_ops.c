/* core_ops.c - the state as operators see it. Nothing here changes it. */
#include "broker/state.h"

static uint32_t ms_between(int64_t from_us, int64_t to_us) {
    int64_t ms = (to_us - from_us) / 1000;
    return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void describe_worker(const struct worker *w, int64_t now_us, struct worker_info *out) {
    *out = (struct worker_info){
        .name = label_bytes(&w->name),
        .model = label_bytes(&w->model),
        .template_id = label_bytes(&w->template_id),
        .tools = label_bytes(&w->tools),
        .state = worker_state_of(w),
        .incarnation = w->incarnation,
        .pid = w->pid,
        .credits = w->credits,
        .in_flight = w->in_flight,
        .silent_ms = ms_between(w->heard_us, now_us),
        .load = w->load,
        .pages_total = w->pages_total,
        .context = w->context,
        .done = w->done,
        .failed = w->failed,
    };
}

size_t broker_workers(struct broker *b, int64_t now_us, struct worker_info *out, size_t capacity) {
    size_t n = 0;
    for (int i = 0; i < b->workers.end && n < capacity; i++)
        if (b->workers.slots[i].used)
            describe_worker(&b->workers.slots[i], now_us, &out[n++]);
    return n;
}

size_t broker_requests(struct broker *b, int64_t now_us, struct request_info *out,
                       size_t capacity) {
    size_t n = 0;
    for (struct job *j = jobs_first(b->jobs); j && n < capacity; j = jobs_next(b->jobs, j)) {
        if (j->state == JOB_LEAVING)
            continue;
        const struct worker *w = job_worker(b, j);
        out[n++] = (struct request_info){
            .id = j->id,
            .state = j->state == JOB_QUEUED ? 1
                     : j->state == JOB_SENT ? 2
                                            : 3,
            .age_ms = ms_between(j->arrival_us, now_us),
            .attempt = j->attempt,
            .tokens = j->tokens,
            .pictures = j->pictures,
            .worker = w ? label_bytes(&w->name) : (struct bytes){0},
        };
    }
    return n;
}

void broker_stats(struct broker *b, int64_t now_us, struct pool_stats *out) {
    *out = b->stats;
    out->uptime_ms = (uint64_t)((now_us - b->start_us) / 1000);
    out->workers = (uint32_t)b->workers.count;
    out->queued = (uint32_t)jobs_queued(b->jobs);
    out->in_flight = 0;
    for (struct job *j = jobs_first(b->jobs); j; j = jobs_next(b->jobs, j))
        out->in_flight += j->state == JOB_SENT || j->state == JOB_STREAMING;
    out->queue_limit = b->settings.queue_requests;
    out->policy = b->router.policy;
    out->links = affinity_count(b->affinity);
    out->predictions = b->errors.count;
    out->prediction_error_permille = errors_median(&b->errors);
}
