/* past.c - a ring that is written with each request sent and read by operators. */
#include "broker/past.h"

static void add_worker(struct past_request *r, const struct candidate *c, bool chosen) {
    r->workers[r->n_workers++] = (struct past_worker){
        .name = c->worker->name,
        .credit = c->credit,
        .chosen = chosen,
        .held_segments = c->held.segments,
        .held_positions = c->held.positions,
        .missing_pictures = c->missing_pictures,
        .wait_us = c->wait_us,
        .encode_us = c->encode_us,
        .prefill_us = c->prefill_us,
        .total_us = c->total_us,
    };
}

static void add_segments(struct past_request *r, const struct trail *t, const struct match *m,
                         const struct affinity *a, const int *holders) {
    uint32_t first = t->kept > BROKER_PAST_SEGMENTS ? t->kept - BROKER_PAST_SEGMENTS : 0;
    for (uint32_t i = first; i < t->kept; i++) {
        const struct trail_segment *s = &t->segments[i];
        struct affinity_view v;
        (void)affinity_find(a, &s->link, &v);
        struct past_segment *out = &r->segments[r->n_segments++];
        *out = (struct past_segment){
            .link = s->link,
            .bytes = s->bytes,
            .positions = v.positions > 0 ? v.positions : trail_place(t, m, (int32_t)i),
            .kind = s->kind,
            .role = s->role,
            .known = v.positions > 0,
        };
        for (size_t k = 0; k < r->n_workers; k++)
            if (holders[k] >= 0 &&
                (holder_set_has(&v.holders, holders[k]) || holder_set_has(&v.coming, holders[k])))
                out->owners |= (uint16_t)(1U << k);
    }
}

void past_add(struct past *p, struct job *j, const struct plan *plan, const struct candidate *c,
              const struct affinity *a, enum routing_policy policy) {
    struct past_request *r = &p->ring[p->count++ % BROKER_PAST];
    int holders[BROKER_PAST_WORKERS];
    r->ticket = j->ticket;
    r->id = j->id;
    r->policy = policy;
    r->positions = plan->match.positions;
    r->predicted_us = c->total_us;
    r->first_token_us = 0;
    r->n_segments = r->n_workers = 0;
    holders[0] = c->worker->holder; /* the chosen one first, so that it is never left out */
    add_worker(r, c, true);
    for (size_t i = 0; i < plan->n && r->n_workers < BROKER_PAST_WORKERS; i++) {
        const struct candidate *other = &plan->candidates[i];
        if (other == c)
            continue;
        holders[r->n_workers] = other->worker->holder;
        add_worker(r, other, false);
    }
    add_segments(r, j->trail, &plan->match, a, holders);
    j->past = (uint32_t)(r - p->ring);
}

void past_came(struct past *p, const struct job *j, int64_t first_token_us) {
    struct past_request *r = &p->ring[j->past];
    if (r->ticket == j->ticket)
        r->first_token_us = first_token_us > 0 ? first_token_us : 1;
}

const struct past_request *past_find(const struct past *p, const struct request_id *id) {
    uint64_t kept = p->count < BROKER_PAST ? p->count : BROKER_PAST;
    for (uint64_t i = 1; i <= kept; i++) {
        const struct past_request *r = &p->ring[(p->count - i) % BROKER_PAST];
        if (!id || memcmp(r->id.bytes, id->bytes, sizeof id->bytes) == 0)
            return r;
    }
    return NULL;
}
