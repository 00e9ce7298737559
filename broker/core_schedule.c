/* core_schedule.c - who gets which request.
 *
 * The queue is one list in order of age, where a priority counts for some seconds of it. A request
 * that can't be placed does not hold up those behind it, so each model has its own
 * first-come-first-served order and no model waits for another.
 *
 * A request may also stay in the queue because a worker without credit is predicted to be sooner
 * than those with. It then has a claim on that worker, which those behind it see as waiting time,
 * so that a crowd for one worker spreads. Its own wait counts against that worker too: it waits at
 * most for as long as the others would have taken. */
#include "broker/state.h"

#define CLAIMS_MAX 64  /* requests that may wait though somebody would take them now */
#define LOOK_US 1000   /* a wait is thought over no sooner than after this */
#define USUAL_KEEP 0.9 /* of usual_running, with each request sent */
#define LATER_MAX 8    /* requests at one worker, counted on though they have not come yet */

static bool any_credit(const struct broker *b) {
    struct needs all = {0};
    return b->running < BROKER_RUNNING && router_has_credit(&b->workers, &all, b->now_us);
}

/* How many are under way as a rule when another is sent. */
static void note_running(struct broker *b) {
    double usual = b->usual_running * USUAL_KEEP + b->running * (1 - USUAL_KEEP);
    b->usual_running = b->running > usual ? b->running : usual;
}

/* Requests that are likely to come to each worker soon: in a steady load, as many as there are
 * fewer under way than usual. */
static double likely_later(const struct broker *b) {
    double fewer = b->usual_running - b->running;
    if (fewer <= 0 || b->workers.count == 0)
        return 0;
    fewer /= b->workers.count;
    return fewer < LATER_MAX ? fewer : LATER_MAX;
}

void plan_request(struct broker *b, const struct needs *n, const struct trail *t, int64_t waited_us,
                  bool touch) {
    struct route route = {
        .needs = *n,
        .trail = t,
        .averages = &b->averages,
        .sizes = averages_sizes(&b->averages, t->fingerprint),
        .later = likely_later(b),
        .waited_us = waited_us,
        .service_us = b->service_us,
    };
    if (b->rates_stale)
        router_settle_rates(&b->workers);
    b->rates_stale = false;
    router_plan(&b->router, &b->workers, b->affinity, &route, touch, b->now_us, &b->plan);
}

static int64_t owners_end_us(const struct broker *b) {
    return b->start_us + us_of_ms(BROKER_OWNER_WAIT_MS);
}

/* After a restart, the worker that the index says holds the longest prefix may be on its way. */
static bool owner_may_return(const struct broker *b, const struct job *j) {
    if (b->now_us >= owners_end_us(b) || j->deadline_us <= owners_end_us(b))
        return false;
    if (j->look_us == owners_end_us(b) && !b->pool_changed)
        return true; /* as it was; a crowd after a restart is not looked through for each of it */
    for (uint32_t i = j->trail->kept; i > 0; i--) {
        struct affinity_view v;
        bool recorded = false, connected = false;
        if (!affinity_find(b->affinity, &j->trail->segments[i - 1].link, &v))
            continue;
        for (int h = 0; h < AFFINITY_HOLDERS; h++) {
            if (!holder_set_has(&v.holders, h) && !holder_set_has(&v.coming, h))
                continue;
            recorded |= b->holders.slots[h].recorded;
            connected |= b->holders.slots[h].connected;
        }
        if (recorded || connected)
            return recorded && !connected;
    }
    return false;
}

static void claim(struct broker *b, struct job *j, const struct candidate *c,
                  const struct candidate *ready) {
    if (j->waits_us < 0)
        j->waits_us = b->now_us;
    c->worker->claims++;
    c->worker->claim_us += c->cost.encode_us + c->cost.prefill_us;
    int64_t waited_us = b->now_us - j->waits_us;
    int64_t ahead_us = ready->total_us - c->total_us - waited_us;
    j->look_us = b->now_us + (ahead_us > LOOK_US ? ahead_us : LOOK_US);
    due_by_job(b, j);
}

/* Sends the job if it goes anywhere now. */
static void place(struct broker *b, struct job *j, const struct needs *n, uint32_t *claims) {
    bool room = jobs_queued(b->jobs) <= b->settings.queue_requests;
    if (room && owner_may_return(b, j)) {
        j->look_us = owners_end_us(b);
        due_by_job(b, j);
        return;
    }
    int64_t waited_us = j->waits_us >= 0 ? b->now_us - j->waits_us : 0;
    plan_request(b, n, j->trail, waited_us, true);
    struct candidate *c = b->plan.best;
    if (c && !c->credit && b->plan.ready) {
        if (room && *claims < CLAIMS_MAX) {
            claim(b, j, c, b->plan.ready);
            (*claims)++;
            return;
        }
        c = b->plan.ready;
    }
    if (!c || !c->credit)
        return;
    if (!j->count_only) /* its route says nothing about anybody's first token */
        past_add(b->past, j, &b->plan, c, b->affinity, b->router.policy);
    router_chose(&b->router, &b->plan, c, waited_us, b->now_us);
    note_running(b);
    job_send(b, j, c);
}

static void note_home(struct broker *b, struct job *j, const struct needs *n) {
    if (router_serves(&b->workers, n)) {
        j->homeless_us = -1;
    } else if (j->homeless_us < 0) {
        j->homeless_us = b->now_us;
        due_by_job(b, j);
    }
}

void schedule(struct broker *b) {
    bool credit = any_credit(b);
    uint32_t claims = 0;
    struct job *next;
    for (int i = 0; i < b->workers.end; i++) {
        b->workers.slots[i].claims = 0;
        b->workers.slots[i].claim_us = 0;
    }
    for (struct job *j = jobs_queue_first(b->jobs); j && (credit || b->pool_changed); j = next) {
        next = jobs_queue_next(b->jobs, j);
        struct needs n = job_needs(j);
        if (b->pool_changed)
            note_home(b, j, &n);
        if (!credit || !router_has_credit(&b->workers, &n, b->now_us))
            continue;
        j->homeless_us = -1;
        place(b, j, &n, &claims);
        credit = any_credit(b);
    }
    b->schedule_due = b->pool_changed = false;
}

void first_token(struct broker *b, struct job *j) {
    int64_t came_us = b->now_us - j->sent_us;
    j->came_us = came_us > 0 ? came_us : 1;
    past_came(b->past, j, came_us);
    job_prompt_over(b, j);
}

/* The worker's own word is nearer to what the prompt took, unless it is more than can be. */
void prompt_took(struct broker *b, const struct job *j, struct worker *w, const struct usage *u,
                 const struct timings *told) {
    bool sooner = told->first_token_us > 0 && told->first_token_us < (uint64_t)j->came_us;
    int64_t took_us = sooner ? (int64_t)told->first_token_us : j->came_us;
    if (j->given == 0) /* else it computed more than the prompt */
        rates_see(&w->seen, u, told);
    b->rates_stale |= !w->load.prefill_us_per_position || !w->load.tile_us;
    errors_add(&b->errors, j->predicted_us, took_us);
    if (j->measured && j->trail->kept > 0)
        averages_learn_pace(&b->averages, w->fingerprint, j->cost.encode_us > 0, &j->effort,
                            (double)took_us);
}
