/* bench_engine_measure.c - repeats one thing between measurements of the machine. */
#include "tests/bench/bench_engine.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/must.h"

#define TEXT_BYTES 128

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *values, int n) {
    double sorted[BENCH_REPEATS_MAX];
    MUST(n >= 1 && n <= BENCH_REPEATS_MAX);
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

const char *bench_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

void bench_progress(const char *format, ...) {
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fflush(stderr);
}

bool bench_wants(const struct bench *b, const char *model, const char *what) {
    char text[TEXT_BYTES], pattern[TEXT_BYTES];
    if (b->only == NULL)
        return true;
    (void)snprintf(text, sizeof text, "%s %s", model, what);
    (void)snprintf(pattern, sizeof pattern, "*%s*", b->only);
    return fnmatch(pattern, text, FNM_CASEFOLD) == 0;
}

struct figure *bench_add(struct bench *b, const char *model, const char *what, const char *unit,
                         double value) {
    MUST(b->n_figures < BENCH_FIGURES_MAX);
    struct figure *f = &b->figures[b->n_figures++];
    *f = (struct figure){.unit = unit, .value = value};
    f->lower_is_better = strcmp(unit, "ms") == 0 || strcmp(unit, "MiB") == 0;
    (void)snprintf(f->model, sizeof f->model, "%s", model);
    (void)snprintf(f->what, sizeof f->what, "%s", what);
    return f;
}

static struct machine_speed machine_now(struct bench *b) {
    struct machine_speed s = limits_measure(b->limits);
    b->machine[b->n_machine++ % BENCH_REPEATS_MAX] = s;
    return s;
}

static struct machine_speed between(struct machine_speed a, struct machine_speed b) {
    return (struct machine_speed){(a.f32_gflops + b.f32_gflops) / 2,
                                  (a.int8_gops + b.int8_gops) / 2,
                                  (a.read_gbytes + b.read_gbytes) / 2};
}

static void ask_peers(struct bench *b, const struct bench_task *t, int turn, struct figure *f,
                      double answers[BENCH_PEERS_MAX][BENCH_REPEATS_MAX]) {
    for (int p = 0; p < b->n_peers; p++) {
        struct peer_answer *a = &f->peers[p];
        if (turn > 0 && a->value <= 0)
            continue; /* it had no answer the first time */
        bench_progress(" %s...", peer_name(b->peers[p]));
        peer_ask(b->peers[p], &t->ask, a);
        answers[p][turn] = a->value;
    }
}

void bench_measure(struct bench *b, const struct bench_task *t) {
    if (!bench_wants(b, t->model, t->what))
        return;
    double value[BENCH_REPEATS_MAX], limit[BENCH_REPEATS_MAX], percent[BENCH_REPEATS_MAX];
    double answers[BENCH_PEERS_MAX][BENCH_REPEATS_MAX];
    int n = b->repeats;
    if (t->is_long && n > BENCH_LONG_REPEATS_MAX)
        n = BENCH_LONG_REPEATS_MAX;
    int peer_turns = t->is_long ? 1 : n < BENCH_LONG_REPEATS_MAX ? n : BENCH_LONG_REPEATS_MAX;
    struct figure *f = bench_add(b, t->model, t->what, t->work > 0 ? "tokens/s" : "ms", 0);
    bench_progress("%s, %s:", t->model, t->what);
    if (!t->is_long)
        (void)t->seconds(t->arg); /* what the first time alone costs */
    for (int i = 0; i < n; i++) {
        bench_progress(" %d", i + 1);
        struct machine_speed before = machine_now(b);
        double seconds = t->seconds(t->arg);
        struct machine_speed s = between(before, machine_now(b));
        double least = work_seconds(&t->need, &s, &f->bound);
        value[i] = t->work > 0 ? t->work / seconds : 1e3 * seconds;
        limit[i] = t->work > 0 ? t->work / least : 1e3 * least;
        percent[i] = 100 * least / seconds;
        if (i < peer_turns && t->ask.kind != PEER_NOTHING)
            ask_peers(b, t, i, f, answers);
    }
    b->sgemm[b->n_sgemm++ % BENCH_REPEATS_MAX] = limits_sgemm_gflops(b->limits);
    f->value = bench_median(value, n);
    f->limit = bench_median(limit, n);
    f->percent = bench_median(percent, n);
    for (int p = 0; p < b->n_peers; p++)
        if (f->peers[p].value > 0)
            f->peers[p].value = bench_median(answers[p], peer_turns);
    bench_progress("\n");
    show_line(b, f);
}

static int kept(int n) {
    return n < BENCH_REPEATS_MAX ? n : BENCH_REPEATS_MAX;
}

void bench_add_machine(struct bench *b) {
    double f32[BENCH_REPEATS_MAX], int8[BENCH_REPEATS_MAX], read[BENCH_REPEATS_MAX];
    int n = kept(b->n_machine);
    if (n == 0)
        return;
    for (int i = 0; i < n; i++) {
        f32[i] = b->machine[i].f32_gflops;
        int8[i] = b->machine[i].int8_gops;
        read[i] = b->machine[i].read_gbytes;
    }
    char what[40];
    (void)snprintf(what, sizeof what, "f32, %s", limits_f32_name());
    show_line(b, bench_add(b, "machine", what, "GFLOP/s", bench_median(f32, n)));
    struct figure *f =
        bench_add(b, "machine", "sgemm", "GFLOP/s", bench_median(b->sgemm, kept(b->n_sgemm)));
    f->limit = bench_median(f32, n);
    f->percent = 100 * f->value / f->limit;
    f->bound = "f32";
    show_line(b, f);
    (void)snprintf(what, sizeof what, "int8, %s", limits_int8_name());
    show_line(b, bench_add(b, "machine", what, "GOP/s", bench_median(int8, n)));
    show_line(b, bench_add(b, "machine", "reading memory", "GB/s", bench_median(read, n)));
}
