/* explain_view.c - see explain_view.h; gateway/API.md describes the fields. */
#include "gateway/views/explain_view.h"

#include "gateway/views/names.h"

static json_t *ms(uint64_t us) {
    return json_real((double)us / 1e3);
}

static json_t *segment_json(const struct quire_explanation *e,
                            const struct quire_explained_segment *s) {
    char link[33];
    name_hex(s->link, sizeof s->link, link);
    json_t *owners = json_array();
    for (size_t i = 0; i < s->n_owners; i++)
        if (s->owners[i] < e->n_workers)
            (void)json_array_append_new(owners, json_string(e->workers[s->owners[i]].name));
    return json_pack("{ss ss sI sI sb ss so}", "kind", name_kind(s->picture), "role",
                     name_role(s->role), "bytes", (json_int_t)s->bytes, "ends_at",
                     (json_int_t)s->positions, "known", (int)s->known, "link", link, "owners",
                     owners);
}

static json_t *worker_json(const struct quire_explained_worker *w) {
    return json_pack("{ss sb sb sb sI sI sI so so so so}", "name", w->name, "fits", (int)w->fits,
                     "credit", (int)w->credit, "chosen", (int)w->chosen, "held_segments",
                     (json_int_t)w->held_segments, "held_positions", (json_int_t)w->held_positions,
                     "missing_pictures", (json_int_t)w->missing_pictures, "wait_ms", ms(w->wait_us),
                     "encode_ms", ms(w->encode_us), "prefill_ms", ms(w->prefill_us), "total_ms",
                     ms(w->total_us));
}

json_t *explain_view(const struct quire_explanation *e) {
    char id[2 * QUIRE_ID_BYTES + 1];
    name_hex(e->id, QUIRE_ID_BYTES, id);
    json_t *segments = json_array(), *workers = json_array();
    for (size_t i = 0; i < e->n_segments; i++)
        (void)json_array_append_new(segments, segment_json(e, &e->segments[i]));
    for (size_t i = 0; i < e->n_workers; i++)
        (void)json_array_append_new(workers, worker_json(&e->workers[i]));
    return json_pack("{sb ss ss sI so so so so}", "past", (int)e->past, "id", id, "policy",
                     name_policy(e->policy), "prompt_positions", (json_int_t)e->prompt_positions,
                     "predicted_ms", ms(e->predicted_us), "first_token_ms", ms(e->first_token_us),
                     "segments", segments, "workers", workers);
}

json_t *losses_view(const struct quire_losses *l) {
    return json_pack("{sI sI sI sI sI}", "in_flight", (json_int_t)l->in_flight, "links",
                     (json_int_t)l->links, "positions", (json_int_t)l->positions, "shared_links",
                     (json_int_t)l->shared_links, "pictures", (json_int_t)l->pictures);
}
