/* explain_view.c - tables of segments and workers, and a sentence that says why. */
#include "client/cli/explain_view.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/views.h"

#define OWNERS_SHOWN 4 /* names of holders in one line; the rest is a number */

static const char *const roles[] = {"?", "system", "user", "assistant", "raw"};

static const char *role_name(enum quire_role role) {
    return roles[role <= QUIRE_RAW ? role : 0];
}

static double ms(uint64_t us) {
    return (double)us / 1e3;
}

/* ---- text ---- */

static void print_name(const char *name) {
    cli_write_plain(stdout, name, strlen(name));
}

static void print_owners(const struct quire_explanation *x,
                         const struct quire_explained_segment *s) {
    if (s->n_owners == 0)
        printf("nobody");
    for (size_t i = 0; i < s->n_owners && i < OWNERS_SHOWN; i++) {
        printf("%s", i > 0 ? ", " : "");
        print_name(x->workers[s->owners[i]].name);
    }
    if (s->n_owners > OWNERS_SHOWN)
        printf(" and %zu more", s->n_owners - OWNERS_SHOWN);
    printf("\n");
}

static void print_segments(const struct quire_explanation *x) {
    bool guessed = false;
    printf("%-4s %-8s %-10s %9s %10s  %s\n", "", "SEGMENT", "ROLE", "BYTES", "ENDS AT", "HELD BY");
    for (size_t i = 0; i < x->n_segments; i++) {
        const struct quire_explained_segment *s = &x->segments[i];
        printf("%-4zu %-8s %-10s %9" PRIu32 " %c%9" PRIu32 "  ", i + 1,
               s->picture ? "picture" : "text", role_name(s->role), s->bytes, s->known ? ' ' : '~',
               s->positions);
        print_owners(x, s);
        guessed = guessed || !s->known;
    }
    printf("%" PRIu32 " positions in all%s\n", x->prompt_positions,
           guessed ? "; ~ is an estimate from bytes" : "");
}

static void print_workers(const struct quire_explanation *x) {
    printf("\n%-2s%-20s %15s %9s %10s %10s %10s %10s\n", "", "WORKER", "HOLDS POSITIONS",
           "PICTURES", "WAIT MS", "ENCODE MS", "PREFILL MS", "TOTAL MS");
    for (size_t i = 0; i < x->n_workers; i++) {
        const struct quire_explained_worker *w = &x->workers[i];
        char name[sizeof w->name];
        (void)snprintf(name, sizeof name, "%s", w->name);
        cli_make_plain(name);
        printf("%-2s%-20s %15" PRIu32 " %9" PRIu32 " %10.1f %10.1f %10.1f %10.1f%s\n",
               w->chosen ? "*" : "", name, w->held_positions, w->missing_pictures, ms(w->wait_us),
               ms(w->encode_us), ms(w->prefill_us), ms(w->total_us),
               !w->fits     ? "  takes no such request"
               : !w->credit ? "  full"
                            : "");
    }
    printf("PICTURES are those that it would have to encode.\n");
}

static const struct quire_explained_worker *find_chosen(const struct quire_explanation *x) {
    for (size_t i = 0; i < x->n_workers; i++)
        if (x->workers[i].chosen)
            return &x->workers[i];
    return NULL;
}

/* The best of the others that could have had it. */
static const struct quire_explained_worker *find_second(const struct quire_explanation *x) {
    const struct quire_explained_worker *best = NULL;
    for (size_t i = 0; i < x->n_workers; i++) {
        const struct quire_explained_worker *w = &x->workers[i];
        if (!w->chosen && w->fits && w->credit && (best == NULL || w->total_us < best->total_us))
            best = w;
    }
    return best;
}

static void say_times(const struct quire_explained_worker *chosen,
                      const struct quire_explained_worker *second) {
    printf("its first token is predicted after %.1f ms", ms(chosen->total_us));
    if (second == NULL) {
        printf(", and no other worker can take the request now");
        return;
    }
    double less = ms(second->total_us) - ms(chosen->total_us);
    if (less < 0.05 && less > -0.05) {
        printf(", as early as any other's");
        return;
    }
    printf(", %.1f ms %s ", less > 0 ? less : -less, less > 0 ? "before" : "after");
    print_name(second->name);
    printf("'s");
    if (less < 0)
        printf(", for which many were waiting");
}

/* The winner and why it won, in one sentence. */
static void say_why(const struct quire_explanation *x) {
    const struct quire_explained_worker *chosen = find_chosen(x);
    if (chosen == NULL) {
        printf("No worker can take the request now; it %s.\n", x->past ? "waited" : "would wait");
        return;
    }
    print_name(chosen->name);
    printf(x->past ? " was chosen: " : " would be chosen: ");
    if (x->policy != QUIRE_POLICY_EARLIEST) {
        printf("the policy is %s, which does not look at what workers hold.\n",
               view_policy(x->policy));
        return;
    }
    say_times(chosen, find_second(x));
    if (chosen->held_positions > 0)
        printf("; it holds %" PRIu32 " of the %" PRIu32 " positions", chosen->held_positions,
               x->prompt_positions);
    printf(".\n");
}

static void print_explanation(const struct quire_explanation *x) {
    char id[VIEW_ID_BYTES];
    view_id(x->id, id);
    if (x->past)
        printf("Request %s, as things were when it was sent\n\n", id);
    print_segments(x);
    print_workers(x);
    printf("\n");
    say_why(x);
    if (x->past && x->predicted_us > 0 && x->first_token_us > 0)
        printf("The first token was predicted after %.1f ms and came after %.1f ms.\n",
               ms(x->predicted_us), ms(x->first_token_us));
}

/* ---- JSON ---- */

static json_t *segment_json(const struct quire_explanation *x,
                            const struct quire_explained_segment *s) {
    char link[2 * sizeof s->link + 1];
    json_t *owners = json_array();
    for (size_t i = 0; i < sizeof s->link; i++)
        (void)snprintf(link + 2 * i, 3, "%02x", s->link[i]);
    for (size_t i = 0; i < s->n_owners; i++)
        json_array_append_new(owners, json_string(x->workers[s->owners[i]].name));
    return json_pack("{s:s,s:s,s:I,s:I,s:b,s:s,s:o}", "kind", s->picture ? "picture" : "text",
                     "role", role_name(s->role), "bytes", (json_int_t)s->bytes, "positions",
                     (json_int_t)s->positions, "known", s->known, "link", link, "holders", owners);
}

static json_t *worker_json(const struct quire_explained_worker *w) {
    return json_pack("{s:s,s:b,s:b,s:b,s:I,s:I,s:I,s:f,s:f,s:f,s:f}", "name", w->name, "fits",
                     w->fits, "credit", w->credit, "chosen", w->chosen, "held_segments",
                     (json_int_t)w->held_segments, "held_positions", (json_int_t)w->held_positions,
                     "missing_pictures", (json_int_t)w->missing_pictures, "wait_ms", ms(w->wait_us),
                     "encode_ms", ms(w->encode_us), "prefill_ms", ms(w->prefill_us), "total_ms",
                     ms(w->total_us));
}

static void dump(json_t *root) {
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

static void dump_explanation(const struct quire_explanation *x) {
    const struct quire_explained_worker *chosen = find_chosen(x);
    char id[VIEW_ID_BYTES];
    json_t *segments = json_array(), *workers = json_array();
    view_id(x->id, id);
    for (size_t i = 0; i < x->n_segments; i++)
        json_array_append_new(segments, segment_json(x, &x->segments[i]));
    for (size_t i = 0; i < x->n_workers; i++)
        json_array_append_new(workers, worker_json(&x->workers[i]));
    json_t *root = json_pack("{s:b,s:s,s:s?,s:I,s:f,s:f,s:o,s:o}", "past", x->past, "policy",
                             view_policy(x->policy), "chosen", chosen != NULL ? chosen->name : NULL,
                             "prompt_positions", (json_int_t)x->prompt_positions, "predicted_ms",
                             ms(x->predicted_us), "first_token_ms", ms(x->first_token_us),
                             "segments", segments, "workers", workers);
    if (x->past)
        json_object_set_new(root, "id", json_string(id));
    dump(root);
}

/* ---- promises of explain_view.h ---- */

void view_explanation(const struct quire_explanation *x, bool json) {
    if (json)
        dump_explanation(x);
    else
        print_explanation(x);
}

void view_losses(const char *worker, const struct quire_losses *l, bool json) {
    if (json) {
        dump(json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "worker", worker, "in_flight",
                       (json_int_t)l->in_flight, "segments", (json_int_t)l->links, "positions",
                       (json_int_t)l->positions, "shared_segments", (json_int_t)l->shared_links,
                       "pictures", (json_int_t)l->pictures));
        return;
    }
    printf("Without ");
    print_name(worker);
    printf(" the pool would lose %" PRIu64 " segment%s with %" PRIu64
           " positions and the embeddings of %" PRIu64 " picture%s that nobody else holds",
           l->links, l->links == 1 ? "" : "s", l->positions, l->pictures,
           l->pictures == 1 ? "" : "s");
    printf("; %" PRIu64 " of its segments are elsewhere too, and it would first finish %" PRIu32
           " request%s.\n",
           l->shared_links, l->in_flight, l->in_flight == 1 ? "" : "s");
}
