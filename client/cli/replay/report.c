/* report.c - the tables and the JSON of a replay. */
#include "client/cli/replay/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* ---- tables ---- */

static double percent(uint64_t part, uint64_t whole) {
    return 100 * measure_share(part, whole);
}

static void print_row(const struct measure *m) {
    char error[16] = "-";
    if (m->predictions > 0)
        (void)snprintf(error, sizeof error, "%.1f %%", 100 * m->prediction_error);
    printf("%-12.12s %8" PRIu64 " %10" PRIu64 " %10" PRIu64 " %7.1f %% %7.1f %% %8.1f %8.1f %8.1f "
           "%5" PRIu64 "/%-5" PRIu64 " %9s\n",
           m->name, m->requests, m->prompt_positions, m->reused_positions,
           percent(m->reused_positions, m->prompt_positions),
           percent(m->ideal_positions, m->prompt_positions), m->first_token_median_ms,
           m->first_token_p90_ms, m->first_token_p99_ms, m->pictures_encoded, m->pictures, error);
}

static void print_report(const struct report *r) {
    printf("%-12s %8s %10s %10s %9s %9s %8s %8s %8s %-11s %9s\n", "SHAPE", "REQUESTS", "POSITIONS",
           "REUSED", "SHARE", "IDEAL", "FIRST MS", "P90", "P99", "ENCODED", "PREDICTED");
    for (size_t i = 0; i < r->n_shapes && r->n_shapes > 1; i++)
        print_row(&r->shapes[i]);
    struct measure all = r->n_shapes == 1 ? r->shapes[0] : r->total;
    print_row(&all);
    const struct measure *t = &r->total;
    if (t->ideal_positions > 0)
        printf("%.1f %% of what a cache without bounds, shared by all workers, would have reused. ",
               percent(t->reused_positions, t->ideal_positions));
    printf("%.1f s, %.1f requests/s, %.0f prompt positions/s.\n", t->seconds,
           (double)t->requests / t->seconds, (double)t->prompt_positions / t->seconds);
    if (t->errors > 0)
        printf("%" PRIu64 " requests got no answer: %s\n", t->errors, r->first_error);
    if (t->without_ends > 0)
        printf("%" PRIu64 " answers did not tell where their segments end, so the ideal is too "
               "low.\n",
               t->without_ends);
}

static void print_keying(const struct measure *m) {
    printf("Keying, %s, a cache without bounds: %.1f %% reused with one key for all pictures of a "
           "request, %.1f %% with segments.\n",
           m->name, percent(m->one_key, m->prompt_positions),
           percent(m->segmented, m->prompt_positions));
}

static void print_comparison(const struct report *reports, size_t n) {
    printf("%-14s %9s %9s %9s %8s %8s %8s %10s %8s\n", "POLICY", "SHARE", "IDEAL", "OF IDEAL",
           "FIRST MS", "P90", "P99", "REQUESTS/S", "ENCODED");
    for (size_t i = 0; i < n; i++) {
        const struct measure *t = &reports[i].total;
        printf("%-14s %7.1f %% %7.1f %% %7.1f %% %8.1f %8.1f %8.1f %10.1f %8" PRIu64 "\n",
               reports[i].policy, percent(t->reused_positions, t->prompt_positions),
               percent(t->ideal_positions, t->prompt_positions),
               percent(t->reused_positions, t->ideal_positions), t->first_token_median_ms,
               t->first_token_p90_ms, t->first_token_p99_ms, (double)t->requests / t->seconds,
               t->pictures_encoded);
    }
}

void report_print(const struct report *reports, size_t n, const struct report_facts *facts,
                  bool keying) {
    printf("%s: %zu conversations, seed %" PRIu64, facts->trace, facts->conversations, facts->seed);
    if (facts->concurrency > 0)
        printf(", %" PRIu32 " at a time", facts->concurrency);
    if (reports[0].workers > 0)
        printf(", %" PRIu32 " worker%s\n", reports[0].workers, reports[0].workers == 1 ? "" : "s");
    else
        printf(", over HTTP\n");
    for (size_t i = 0; i < n; i++) {
        printf("\n");
        if (reports[i].policy[0] != '\0')
            printf("Policy %s\n", reports[i].policy);
        print_report(&reports[i]);
    }
    for (size_t i = 0; i < reports[0].n_shapes; i++)
        if (keying || strcmp(reports[0].shapes[i].name, "agent") == 0)
            print_keying(&reports[0].shapes[i]);
    if (n > 1) {
        printf("\n");
        print_comparison(reports, n);
    }
}

/* ---- JSON ---- */

static json_t *first_token_json(const struct measure *m) {
    return json_pack("{s:f,s:f,s:f}", "median", m->first_token_median_ms, "p90",
                     m->first_token_p90_ms, "p99", m->first_token_p99_ms);
}

static json_t *measure_json(const struct measure *m) {
    uint64_t all = m->prompt_positions;
    json_t *out = json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:o,s:I,s:I,s:I,s:I}", "requests", (json_int_t)m->requests,
        "errors", (json_int_t)m->errors, "prompt_positions", (json_int_t)all, "reused_positions",
        (json_int_t)m->reused_positions, "ideal_reused_positions", (json_int_t)m->ideal_positions,
        "cache_efficiency", measure_share(m->reused_positions, all), "ideal_cache_efficiency",
        measure_share(m->ideal_positions, all), "ttft_ms", first_token_json(m), "pictures",
        (json_int_t)m->pictures, "pictures_encoded", (json_int_t)m->pictures_encoded,
        "answer_tokens", (json_int_t)m->answer_tokens, "answers_without_segment_ends",
        (json_int_t)m->without_ends);
    if (out == NULL)
        return NULL;
    json_object_set_new(out, "prediction_error",
                        m->predictions > 0 ? json_real(m->prediction_error) : json_null());
    json_object_set_new(out, "predictions", json_integer((json_int_t)m->predictions));
    json_object_set_new(out, "throughput",
                        json_pack("{s:f,s:f,s:f}", "requests_per_s",
                                  (double)m->requests / m->seconds, "prompt_positions_per_s",
                                  (double)all / m->seconds, "answer_tokens_per_s",
                                  (double)m->answer_tokens / m->seconds));
    json_object_set_new(out, "keying",
                        json_pack("{s:f,s:f}", "one_key_for_all_pictures",
                                  measure_share(m->one_key, all), "segmented",
                                  measure_share(m->segmented, all)));
    return out;
}

static void set_report(json_t *out, const struct report *r) {
    json_t *shapes = json_object();
    for (size_t i = 0; i < r->n_shapes; i++)
        json_object_set_new(shapes, r->shapes[i].name, measure_json(&r->shapes[i]));
    json_object_set_new(out, "shapes", shapes);
    json_object_set_new(out, "total", measure_json(&r->total));
    json_object_set_new(out, "seconds", json_real(r->total.seconds));
}

int report_json(const struct report *reports, size_t n, const struct report_facts *facts,
                const char *path, struct error *e) {
    json_t *root =
        json_pack("{s:s,s:o,s:I,s:I,s:I,s:s}", "trace", facts->trace, "seed",
                  json_sprintf("%" PRIu64, facts->seed), "conversations",
                  (json_int_t)facts->conversations, "concurrency", (json_int_t)facts->concurrency,
                  "workers", (json_int_t)reports[0].workers, "policy", reports[0].policy);
    if (root == NULL)
        return error_set(e, ERR_NOMEM, "memory ran out for the report");
    set_report(root, &reports[0]);
    json_t *policies = json_object();
    for (size_t i = 0; i < n && n > 1; i++) {
        json_t *one = json_object();
        set_report(one, &reports[i]);
        json_object_set_new(policies, reports[i].policy, one);
    }
    if (n > 1)
        json_object_set(root, "policies", policies);
    json_decref(policies);
    bool print = strcmp(path, "-") == 0;
    int rc = print ? json_dumpf(root, stdout, JSON_INDENT(2))
                   : json_dump_file(root, path, JSON_INDENT(2));
    if (print)
        putchar('\n');
    json_decref(root);
    return rc == 0 ? 0 : error_set(e, ERR_IO, "%s can't be written", path);
}
