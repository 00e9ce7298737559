/* bench_engine_show.c - figures as lines for people, and all of them as JSON. */
#include "tests/bench/bench_engine.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/blas.h"
#include "worker/engine/quant_inside.h"

static const char *isa(void) {
    static const char *const names[QUANT_ISAS] = {"portable", "avx2", "avxvnni", "avx512",
                                                  "avx512vnni"};
    return names[quant_isa_chosen()];
}

double show_ratio(const struct figure *f, int peer) {
    double theirs = f->peers[peer].value;
    if (theirs <= 0 || f->value <= 0)
        return 0;
    return f->lower_is_better ? theirs / f->value : f->value / theirs;
}

double show_ratio_best(const struct bench *b, const struct figure *f) {
    double least = 0;
    for (int p = 0; p < b->n_peers; p++) {
        double ratio = show_ratio(f, p);
        least = ratio > 0 && (least <= 0 || ratio < least) ? ratio : least;
    }
    return least;
}

void show_head(const struct bench *b) {
    if (b->json)
        return;
    printf("%d threads, %s, medians of %d\n%-18s %-18s %9s %-8s %9s %-8s %6s", b->threads, isa(),
           b->repeats, "model", "what", "", "", "limit", "by", "");
    for (int p = 0; p < b->n_peers; p++)
        printf("  %-26.26s", peer_name(b->peers[p]));
    printf("\n");
}

static void show_peer(const struct figure *f, int p) {
    const struct peer_answer *a = &f->peers[p];
    char text[64] = "";
    if (a->value > 0)
        (void)snprintf(text, sizeof text, "%9.2f %5.2fx %s", a->value, show_ratio(f, p), a->how);
    printf("  %-26s", text);
}

void show_line(const struct bench *b, const struct figure *f) {
    if (b->json)
        return;
    printf("%-18.18s %-18s %9.2f %-8s", f->model, f->what, f->value, f->unit);
    if (f->limit > 0)
        printf(" %9.2f %-8s %4.1f %%", f->limit, f->bound, f->percent);
    if (b->n_peers > 0 && f->limit <= 0)
        printf(" %9s %-8s %6s", "", "", "");
    for (int p = 0; p < b->n_peers; p++)
        show_peer(f, p);
    printf("\n");
    (void)fflush(stdout);
}

/* Three digits after the point are more than was measured. */
static json_t *number(double x) {
    return json_real(round(x * 1000) / 1000);
}

static json_t *peers_of(const struct bench *b, const struct figure *f) {
    json_t *all = json_array();
    for (int p = 0; p < b->n_peers; p++)
        if (f->peers[p].value > 0)
            json_array_append_new(all,
                                  json_pack("{s:s, s:o, s:s, s:o}", "peer", peer_name(b->peers[p]),
                                            "value", number(f->peers[p].value), "how",
                                            f->peers[p].how, "ratio", number(show_ratio(f, p))));
    return all;
}

static json_t *figure_of(const struct bench *b, const struct figure *f) {
    json_t *o = json_pack("{s:s, s:s, s:o, s:s}", "model", f->model, "what", f->what, "value",
                          number(f->value), "unit", f->unit);
    if (f->limit > 0) {
        json_object_set_new(o, "limit", number(f->limit));
        json_object_set_new(o, "limited_by", json_string(f->bound));
        json_object_set_new(o, "percent", number(f->percent));
    }
    if (show_ratio_best(b, f) > 0) {
        json_object_set_new(o, "ratio_to_best", number(show_ratio_best(b, f)));
        json_object_set_new(o, "peers", peers_of(b, f));
    }
    return o;
}

void show_json(const struct bench *b) {
    json_t *results = json_array();
    for (int i = 0; i < b->n_figures; i++)
        json_array_append_new(results, figure_of(b, &b->figures[i]));
    json_t *all = json_pack("{s:i, s:i, s:s, s:s, s:o}", "threads", b->threads, "repeats",
                            b->repeats, "isa", isa(), "blas", blas_core(), "results", results);
    (void)json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    printf("\n");
    json_decref(all);
}
