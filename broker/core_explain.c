/* core_explain.c - why a request goes where it goes, and what a worker's loss would cost.
 *
 * A request as of now goes through the very plan that the schedule makes, so what is shown is what
 * would happen. One that was routed shows what was known then. */
#include "broker/state.h"

static uint64_t unsigned_us(int64_t us) {
    return us > 0 ? (uint64_t)us : 0;
}

/* ---- a past request ---- */

static void explain_past(struct explained *e, const struct past_request *r,
                         struct explanation *out) {
    out->found = out->past = true;
    out->id = r->id;
    out->policy = r->policy;
    out->prompt_positions = r->positions;
    out->predicted_us = unsigned_us(r->predicted_us);
    out->first_token_us = unsigned_us(r->first_token_us);
    for (size_t i = 0; i < r->n_workers; i++) {
        const struct past_worker *w = &r->workers[i];
        e->names[i] = w->name;
        e->workers[i] = (struct explained_worker){
            .name = label_bytes(&e->names[i]),
            .fits = true,
            .credit = w->credit,
            .chosen = w->chosen,
            .held_segments = w->held_segments,
            .held_positions = w->held_positions,
            .missing_pictures = w->missing_pictures,
            .wait_us = unsigned_us(w->wait_us),
            .encode_us = unsigned_us(w->encode_us),
            .prefill_us = unsigned_us(w->prefill_us),
            .total_us = unsigned_us(w->total_us),
        };
    }
    for (size_t i = 0; i < r->n_segments; i++) {
        const struct past_segment *s = &r->segments[i];
        size_t n = 0;
        for (size_t k = 0; k < r->n_workers; k++)
            if (s->owners >> k & 1)
                e->owners[i][n++] = (uint8_t)k;
        e->segments[i] = (struct explained_segment){
            .kind = s->kind,
            .role = s->role,
            .bytes = s->bytes,
            .positions = s->positions,
            .known = s->known,
            .owners = {e->owners[i], n},
        };
        memcpy(e->segments[i].link, s->link.bytes, LINK_BYTES);
    }
    out->n_workers = r->n_workers;
    out->n_segments = r->n_segments;
}

/* ---- a request as of now ---- */

static void explain_candidate(const struct candidate *c, struct explained_worker *out) {
    out->fits = true;
    out->credit = c->credit;
    out->held_segments = c->held.segments;
    out->held_positions = c->held.positions;
    out->missing_pictures = c->missing_pictures;
    out->wait_us = unsigned_us(c->wait_us);
    out->encode_us = unsigned_us(c->encode_us);
    out->prefill_us = unsigned_us(c->prefill_us);
    out->total_us = unsigned_us(c->total_us);
}

static size_t explain_workers(struct broker *b, struct explained *e) {
    size_t n = 0;
    for (int i = 0; i < b->workers.end; i++) {
        const struct worker *w = &b->workers.slots[i];
        if (!w->used)
            continue;
        e->holders[n] = w->holder;
        e->workers[n] = (struct explained_worker){.name = label_bytes(&w->name)};
        for (size_t k = 0; k < b->plan.n; k++)
            if (b->plan.candidates[k].worker == w) {
                explain_candidate(&b->plan.candidates[k], &e->workers[n]);
                e->workers[n].chosen = &b->plan.candidates[k] == b->plan.best;
            }
        n++;
    }
    return n;
}

static void explain_segments(struct broker *b, struct explained *e, size_t n_workers) {
    const struct trail *t = &e->trail;
    for (uint32_t i = 0; i < t->kept; i++) {
        const struct trail_segment *s = &t->segments[i];
        struct affinity_view v;
        (void)affinity_find(b->affinity, &s->link, &v);
        size_t n = 0;
        for (size_t k = 0; k < n_workers; k++)
            if (e->holders[k] >= 0 && (holder_set_has(&v.holders, e->holders[k]) ||
                                       holder_set_has(&v.coming, e->holders[k])))
                e->owners[i][n++] = (uint8_t)k;
        e->segments[i] = (struct explained_segment){
            .kind = s->kind,
            .role = s->role,
            .bytes = s->bytes,
            .positions = v.positions > 0 ? v.positions : trail_place(t, &b->plan.match, (int32_t)i),
            .known = v.positions > 0,
            .owners = {e->owners[i], n},
        };
        memcpy(e->segments[i].link, s->link.bytes, LINK_BYTES);
    }
}

static void explain_fresh(struct broker *b, const struct explain_query *q,
                          struct explanation *out) {
    struct explained *e = b->explained;
    struct needs n = {.model = q->model, .pictures = q->pictures > 0};
    struct sizes sizes = averages_sizes(&b->averages, q->chain.fingerprint);
    trail_keep(&e->trail, &q->chain, &sizes);
    plan_request(b, &n, &e->trail, 0, false);
    out->found = true;
    out->policy = b->router.policy;
    out->prompt_positions = b->plan.match.positions;
    out->predicted_us = b->plan.best ? unsigned_us(b->plan.best->total_us) : 0;
    out->n_workers = explain_workers(b, e);
    out->n_segments = e->trail.kept;
    explain_segments(b, e, out->n_workers);
}

void broker_explain(struct broker *b, const struct explain_query *q, int64_t now_us,
                    struct explanation *out) {
    struct explained *e = b->explained;
    int64_t step_us = b->now_us;
    *out = (struct explanation){.segments = e->segments, .workers = e->workers};
    if (q->fresh) {
        b->now_us = now_us > step_us ? now_us : step_us;
        explain_fresh(b, q, out);
        b->now_us = step_us; /* silence is told by the time between steps */
        return;
    }
    const struct past_request *r = past_find(b->past, q->id);
    if (r)
        explain_past(e, r, out);
}

bool broker_losses(struct broker *b, struct bytes worker, struct loss *out) {
    *out = (struct loss){0};
    const struct worker *w = workers_find_name(&b->workers, worker);
    if (!w)
        return false;
    out->in_flight = w->in_flight;
    if (w->holder < 0)
        return true;
    struct affinity_loss l;
    affinity_losses(b->affinity, w->holder, &l);
    out->links = l.links;
    out->positions = l.positions;
    out->pictures = l.pictures;
    out->shared_links = l.shared_links;
    return true;
}
