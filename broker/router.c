/* router.c - every worker that fits becomes a candidate with a predicted time; one of them wins.
 *
 * Load is the number of requests the broker has under way at a worker: that is exact at this
 * moment, while a heartbeat's figures are up to one interval old and would send a burst to one
 * worker. Free pages, which only a heartbeat knows, break ties; then the worker that was chosen
 * longest ago. */
#include "broker/router.h"

#define FIRST_TOKEN_POSITIONS 1 /* are computed even if all is held */

static bool has_credit(const struct worker *w, int64_t now_us) {
    return w->in_flight < w->credits && w->paused_until_us <= now_us;
}

static bool may_take(const struct worker *w, const struct needs *n) {
    return w->used && worker_takes_new(w) && worker_fits(w, n);
}

bool router_has_credit(const struct workers *t, const struct needs *n, int64_t now_us) {
    for (int i = 0; i < t->end; i++)
        if (may_take(&t->slots[i], n) && has_credit(&t->slots[i], now_us))
            return true;
    return false;
}

bool router_serves(const struct workers *t, const struct needs *n) {
    for (int i = 0; i < t->end; i++)
        if (may_take(&t->slots[i], n))
            return true;
    return false;
}

/* ---- rates ---- */

static void report_rates(struct worker *w) {
    w->rates = (struct rates){
        .position_us = w->load.prefill_us_per_position,
        .step_us = w->load.step_us,
        .tile_us = w->load.tile_us,
    };
    if (w->rates.position_us <= 0)
        w->rates.position_us = w->seen.position_us;
    if (w->rates.tile_us <= 0)
        w->rates.tile_us = w->seen.tile_us;
}

void router_settle_rates(struct workers *t) {
    struct rates *group[LIMIT_WORKERS];
    bool done[LIMIT_WORKERS] = {false};
    for (int i = 0; i < t->end; i++) {
        const struct worker *w = &t->slots[i];
        size_t n = 0;
        for (int k = i; w->used && !done[i] && k < t->end; k++) {
            struct worker *o = &t->slots[k];
            if (!o->used || done[k] || memcmp(o->fingerprint, w->fingerprint, 16) != 0)
                continue;
            report_rates(o);
            group[n++] = &o->rates;
            done[k] = k != i;
        }
        if (n > 0)
            rates_settle(group, n);
    }
}

/* ---- one candidate ---- */

static uint32_t decoding_at(const struct worker *w) {
    return w->in_flight > w->prompts.count ? w->in_flight - w->prompts.count : 0;
}

static struct cost cost_at(const struct worker *w, const struct route *route, uint32_t positions,
                           uint32_t pictures, uint32_t decoding) {
    struct work work = {
        .positions = positions,
        .tiles = pictures * route->sizes.picture_tiles,
        .decoding = decoding,
    };
    return rates_cost(&w->rates, &work);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* For the prompts that are there, and for those that wait in the queue for this worker. One whose
 * prefix another computes waits for that one's end. */
static int64_t turns_at(const struct candidate *c, int64_t now_us) {
    const struct worker *w = c->worker;
    if (c->held.coming)
        return prompts_left(&w->prompts, now_us) + w->claim_us;
    int64_t own_us = c->cost.encode_us + c->cost.prefill_us;
    return prompts_wait(&w->prompts, c->cost.pieces, now_us) +
           least(w->claim_us, w->claims * own_us);
}

/* No sooner than this can a worker begin that has no credit. */
static int64_t credit_at(const struct worker *w, const struct route *route, int64_t now_us) {
    int64_t us = 0;
    if (w->in_flight + w->claims >= w->credits) {
        int64_t service_us = w->service_us > 0   ? w->service_us
                             : route->service_us ? route->service_us
                                                 : SERVICE_GUESS_US;
        us = service_us / w->credits * (w->claims + 1);
    }
    return most(us, w->paused_until_us - now_us);
}

static uint32_t missing_pictures(const struct candidate *c, const struct route *route,
                                 const struct match *m) {
    uint32_t n = 0;
    int holder = c->worker->holder;
    for (uint32_t i = 0; i < route->trail->pictures; i++)
        n += route->trail->picture[i].segment >= c->held.segments &&
             (holder < 0 || !holder_set_has(&m->with[i], holder));
    return n;
}

static void foresee(struct candidate *c, const struct route *route, int64_t now_us) {
    const struct worker *w = c->worker;
    struct pace pace = averages_pace(route->averages, w->fingerprint, c->cost.encode_us > 0);
    double own = pace_own(&pace, route->later);
    c->effort = (struct effort){
        .own_us = (double)(c->cost.encode_us + c->cost.prefill_us),
        .wait_us = (double)turns_at(c, now_us),
        .later = route->later,
    };
    c->wait_us = most((int64_t)(pace.wait * c->effort.wait_us), credit_at(w, route, now_us));
    c->encode_us = (int64_t)(own * (double)c->cost.encode_us);
    c->prefill_us = (int64_t)(own * (double)c->cost.prefill_us);
    c->total_us = c->wait_us + c->encode_us + c->prefill_us;
}

static void predict(struct candidate *c, const struct route *route, const struct match *m,
                    int64_t now_us) {
    struct worker *w = c->worker;
    c->credit = has_credit(w, now_us);
    c->held = (struct held){.kept = -1};
    if (w->holder >= 0 && holder_set_has(&m->holders, w->holder))
        c->held = m->held[w->holder];
    if (c->held.positions > m->positions)
        c->held.positions = m->positions;
    c->missing_positions = m->positions - c->held.positions + route->needs.given;
    if (c->missing_positions < FIRST_TOKEN_POSITIONS)
        c->missing_positions = FIRST_TOKEN_POSITIONS;
    c->missing_pictures = missing_pictures(c, route, m);
    c->cost = cost_at(w, route, c->missing_positions, c->missing_pictures, decoding_at(w));
    foresee(c, route, now_us);
}

/* ---- the choice ---- */

static bool avoided(const struct candidate *c, const struct needs *n) {
    return n->avoid != 0 && c->worker->incarnation == n->avoid;
}

/* What decides between equals, in every policy. */
static bool fresher(const struct candidate *a, const struct candidate *b) {
    if (a->worker->load.pages_free != b->worker->load.pages_free)
        return a->worker->load.pages_free > b->worker->load.pages_free;
    return a->worker->chosen < b->worker->chosen;
}

static bool less_loaded(const struct candidate *a, const struct candidate *b) {
    if (a->worker->in_flight != b->worker->in_flight)
        return a->worker->in_flight < b->worker->in_flight;
    return fresher(a, b);
}

static bool waited_more(const struct candidate *a, const struct candidate *b) {
    return a->worker->chosen < b->worker->chosen;
}

/* Having waited for a worker without credit counts against it, so that no wait is for ever. */
static int64_t score(const struct candidate *c, const struct route *route) {
    int64_t us = c->total_us + (c->credit ? 0 : route->waited_us);
    return c->held.coming ? us * 100 / FOLLOW_PERCENT : us;
}

static bool sooner(const struct candidate *a, const struct candidate *b,
                   const struct route *route) {
    int64_t x = score(a, route), y = score(b, route);
    return x != y ? x < y : fresher(a, b);
}

static bool better(enum routing_policy policy, const struct candidate *a, const struct candidate *b,
                   const struct route *route) {
    bool a_avoided = avoided(a, &route->needs), b_avoided = avoided(b, &route->needs);
    if (a_avoided != b_avoided)
        return b_avoided;
    switch (policy) {
    case POLICY_EARLIEST:
        return sooner(a, b, route);
    case POLICY_LEAST_LOADED:
        return less_loaded(a, b);
    case POLICY_ROUND_ROBIN:
        return waited_more(a, b);
    }
    return false;
}

/* Would an idle worker need about as long as any other? */
static bool alike(const struct plan *p, const struct route *route) {
    int64_t low = INT64_MAX, high = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct candidate *c = &p->candidates[i];
        struct cost cost = cost_at(c->worker, route, c->missing_positions, c->missing_pictures, 0);
        low = least(low, cost.encode_us + cost.prefill_us);
        high = most(high, cost.encode_us + cost.prefill_us);
    }
    return (double)high <= (double)low * RATE_NOISE;
}

static struct holder_set holders_of(const struct plan *p) {
    struct holder_set s = {0};
    for (size_t i = 0; i < p->n; i++)
        if (p->candidates[i].worker->holder >= 0)
            holder_set_add(&s, p->candidates[i].worker->holder);
    return s;
}

/* Makes another worker the best when requests have waited for the best one's prefix as long as
 * computing it again would take: the earliest of those that lack it and can begin now. */
static void spread(const struct router *r, struct plan *p, const struct route *route,
                   int64_t now_us) {
    struct candidate *best = p->best, *next = NULL;
    if (r->policy != POLICY_EARLIEST || !best || best->held.kept < 0 || best->held.coming)
        return;
    for (size_t i = 0; i < p->n; i++) {
        struct candidate *c = &p->candidates[i];
        if (c->credit && !avoided(c, &route->needs) && c->held.kept < best->held.kept &&
            c->wait_us < route->waited_us + best->wait_us &&
            (!next || c->total_us < next->total_us))
            next = c;
    }
    if (!next)
        return;
    p->owner = best;
    p->prefix = &route->trail->segments[best->held.kept].link;
    int64_t lost_us = hot_waited(&r->hot, p->prefix, now_us) + route->waited_us;
    if (lost_us >= next->total_us - best->total_us)
        p->best = next;
}

static void choose(const struct router *r, struct plan *p, const struct route *route) {
    bool wait = r->policy == POLICY_EARLIEST && p->match.any;
    enum routing_policy policy = r->policy;
    if (policy == POLICY_EARLIEST && !p->match.any && alike(p, route))
        policy = POLICY_LEAST_LOADED;
    for (size_t i = 0; i < p->n; i++) {
        struct candidate *c = &p->candidates[i];
        if (c->credit && (!p->ready || better(policy, c, p->ready, route)))
            p->ready = c;
        if (wait && (!p->best || better(policy, c, p->best, route)))
            p->best = c;
    }
    /* One that gave the request back is taken before it waits for another. */
    if (!wait || (p->ready && avoided(p->ready, &route->needs)))
        p->best = p->ready;
}

void router_plan(const struct router *r, struct workers *t, struct affinity *a,
                 const struct route *route, bool touch, int64_t now_us, struct plan *out) {
    out->n = 0;
    out->best = out->ready = NULL;
    out->owner = NULL;
    for (int i = 0; i < t->end; i++)
        if (may_take(&t->slots[i], &route->needs))
            out->candidates[out->n++].worker = &t->slots[i];
    struct holder_set holders = holders_of(out);
    trail_match(route->trail, a, &holders, touch, (uint32_t)(now_us / 1000000), &out->match);
    for (size_t i = 0; i < out->n; i++)
        predict(&out->candidates[i], route, &out->match, now_us);
    choose(r, out, route);
    spread(r, out, route, now_us);
}

void router_chose(struct router *r, const struct plan *p, const struct candidate *c,
                  int64_t waited_us, int64_t now_us) {
    c->worker->chosen = ++r->choices;
    if (p->owner && c == p->owner)
        hot_wait(&r->hot, p->prefix, waited_us + c->wait_us, now_us);
    else if (p->owner)
        hot_paid(&r->hot, p->prefix);
}
