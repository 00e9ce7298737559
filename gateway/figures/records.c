/* records.c - finished requests as JSON, one by one and as percentiles; gateway/API.md describes
 * the fields. Texts that are no UTF-8 can't come here: the broker checks names, and ours are ASCII.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/figures/figures.h"
#include "gateway/figures/store.h"

static const char *role_name(uint8_t role) {
    static const char *const names[] = {"?", "system", "user", "assistant", "raw"};
    return names[role <= QUIRE_RAW ? role : 0];
}

static json_t *ms(uint64_t us) {
    return json_real((double)us / 1e3);
}

static json_t *number(uint64_t n) {
    return json_integer((json_int_t)n);
}

json_t *figures_usage_json(const struct quire_usage *u) {
    return json_pack("{so so so so so so so}",                        //
                     "prompt_positions", number(u->prompt_positions), //
                     "reused_positions", number(u->reused_positions), //
                     "answer_tokens", number(u->answer_tokens),       //
                     "pictures", number(u->pictures),                 //
                     "pictures_encoded", number(u->pictures_encoded), //
                     "tiles_encoded", number(u->tiles_encoded),       //
                     "picture_positions", number(u->picture_positions));
}

json_t *figures_timings_json(const struct quire_timings *t) {
    return json_pack("{so so so so so so so so}",             //
                     "queue_ms", ms(t->queue_us),             //
                     "wait_ms", ms(t->wait_us),               //
                     "picture_ms", ms(t->picture_us),         //
                     "prefill_ms", ms(t->prefill_us),         //
                     "first_token_ms", ms(t->first_token_us), //
                     "decode_ms", ms(t->decode_us),           //
                     "total_ms", ms(t->total_us),             //
                     "predicted_ms", ms(t->predicted_us));
}

/* A segment's own positions are what it adds to the end of the one before. */
json_t *figures_segments_json(const struct record_segment *segments, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct record_segment *s = &segments[i];
        uint32_t before = i > 0 ? segments[i - 1].ends_at : 0;
        uint32_t positions = s->ends_at > before ? s->ends_at - before : 0;
        (void)json_array_append_new(
            array,
            json_pack("{ss ss so so so so}", "kind", s->picture ? "picture" : "text", "role",
                      role_name(s->role), "bytes", number(s->bytes), "positions", number(positions),
                      "ends_at", number(s->ends_at), "reused", number(s->reused)));
    }
    return array;
}

json_t *figures_record_json(const struct record *r) {
    char id[2 * QUIRE_ID_BYTES + 1];
    for (size_t i = 0; i < QUIRE_ID_BYTES; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", r->id[i]);
    bool began = r->first_us > 0 && r->first_us >= r->arrived_us;
    uint64_t total_us = r->ended_us > r->arrived_us ? (uint64_t)(r->ended_us - r->arrived_us) : 0;
    return json_pack(
        "{ss ss ss ss ss ss si sb sI so so si so so so}",                                //
        "request_id", r->request_id, "id", id, "dialect", r->dialect, "model", r->model, //
        "worker", r->worker, "outcome", r->outcome, "status", r->status,                 //
        "stream", (int)r->stream, "started", (json_int_t)r->started_s,                   //
        "first_ms", began ? ms((uint64_t)(r->first_us - r->arrived_us)) : json_null(),   //
        "total_ms", ms(total_us), "attempts", (int)r->attempts,                          //
        "usage", figures_usage_json(&r->usage),                                          //
        "timings", figures_timings_json(&r->timings),                                    //
        "segments", figures_segments_json(r->segments, r->n_segments));
}

static json_t *list(struct figures *f, const char *tenant, bool name_tenants, size_t limit) {
    json_t *array = json_array();
    for (size_t back = 1; back <= FIGURES_RECORDS && back <= f->n_records; back++) {
        const struct record *r = &f->records[(f->n_records - back) % FIGURES_RECORDS];
        if (json_array_size(array) >= limit)
            break;
        if (tenant != NULL && strcmp(tenant, r->tenant) != 0)
            continue;
        json_t *one = figures_record_json(r);
        if (name_tenants && one != NULL)
            (void)json_object_set_new(one, "tenant", json_string(r->tenant));
        (void)json_array_append_new(array, one);
    }
    return array;
}

json_t *figures_records(struct figures *f, const char *tenant, size_t limit) {
    return list(f, tenant, false, limit);
}

json_t *figures_records_all(struct figures *f, size_t limit) {
    return list(f, NULL, true, limit);
}

/* ---- percentiles ---- */

static json_t *percentiles_of(const struct sliding *s, int64_t now_us) {
    static const double shares[] = {0.5, 0.9, 0.99};
    uint64_t us[3];
    uint64_t count = sliding_percentiles(s, now_us, shares, 3, us);
    return json_pack("{so so so so}", "count", number(count), "p50", ms(us[0]), "p90", ms(us[1]),
                     "p99", ms(us[2]));
}

static json_t *predictions(const struct figures *f) {
    json_t *array = json_array();
    for (size_t back = 1; back <= FIGURES_RECORDS && back <= f->n_records; back++) {
        const struct record *r = &f->records[(f->n_records - back) % FIGURES_RECORDS];
        if (json_array_size(array) >= FIGURES_PREDICTIONS)
            break;
        if (r->timings.predicted_us > 0 && r->timings.first_token_us > 0)
            (void)json_array_append_new(
                array,
                json_pack("{so so ss}", "predicted_ms", ms(r->timings.predicted_us),
                          "first_token_ms", ms(r->timings.first_token_us), "worker", r->worker));
    }
    return array;
}

json_t *figures_percentiles(struct figures *f, int64_t now_us) {
    return json_pack("{so so so}", "first_token", percentiles_of(f->first_token_us, now_us),
                     "per_token", percentiles_of(f->per_token_us, now_us), "predictions",
                     predictions(f));
}
