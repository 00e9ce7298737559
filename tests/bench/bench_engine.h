/* bench_engine.h - the parts of bench-engine: figures, how they are measured, how they are shown.
 *
 * A figure is what the engine reached at one thing with one model, beside the limit: what this
 * machine would reach if it did nothing but the arithmetic and the reading that cannot be left out,
 * at the rates of limits.h. Each measurement stands between two of the machine, and its percentage
 * is taken from these; a figure is the median of several. So a machine that is slow now and fast in
 * a minute disturbs the rates but hardly the percentages. */
#ifndef QUIRE_TESTS_BENCH_BENCH_ENGINE_H
#define QUIRE_TESTS_BENCH_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/limits.h"
#include "worker/engine/model.h"
#include "worker/engine/pages.h"

#define BENCH_PEERS_MAX 2
#define BENCH_REPEATS_MAX 99
#define BENCH_LONG_REPEATS_MAX 3 /* of what takes many seconds */
#define BENCH_FIGURES_MAX 256
#define BENCH_STREAMS_MAX 8
#define BENCH_DECODE_STEPS 32   /* tokens of one measurement of decoding */
#define BENCH_CONTEXT 16        /* positions before them */
#define BENCH_LONG_CONTEXT 4096 /* likewise */
#define BENCH_PROMPT 512        /* positions of a prefill */

/* What a measurement cannot do without. */
struct bench_need {
    double f32_flops, int8_ops, read_bytes;
};

/* One question to another engine, answered in the unit of the figure. */
enum peer_kind { PEER_NOTHING, PEER_PREFILL, PEER_DECODE, PEER_STREAMS, PEER_TILE };
struct peer_question {
    enum peer_kind kind;
    const char *model, *mmproj; /* paths; mmproj: of a tile */
    int prompt, depth, streams; /* positions of a prefill; context of decoding; of PEER_STREAMS */
};

#define PEER_HOW_BYTES 24
struct peer_answer {
    double value;             /* 0: none */
    char how[PEER_HOW_BYTES]; /* the options that were best, "" when there is no choice */
};

struct figure {
    char model[40], what[40];
    const char *unit; /* "tokens/s", "ms", "MiB", ... */
    bool lower_is_better;
    double value;
    double limit, percent; /* limit in the same unit; 0: none */
    const char *bound;     /* what the limit comes from; NULL: none */
    struct peer_answer peers[BENCH_PEERS_MAX];
};

struct peer; /* a build of llama.cpp */

struct bench {
    int threads, repeats;
    bool json;
    const char *only; /* NULL: all */
    const char *plot; /* NULL: none */
    struct peer *peers[BENCH_PEERS_MAX];
    int n_peers;
    struct limits *limits; /* of the model that is open now */
    struct figure figures[BENCH_FIGURES_MAX];
    int n_figures;
    /* All measurements of the machine so far, the newest BENCH_REPEATS_MAX of each. */
    struct machine_speed machine[BENCH_REPEATS_MAX];
    double sgemm[BENCH_REPEATS_MAX];
    int n_machine, n_sgemm;
};

/* ---- measuring (bench_engine_measure.c) ---- */

/* One thing to measure. seconds() does it once. work: tokens of it, for a rate; 0: the figure is
 * the time in ms. */
struct bench_task {
    const char *model, *what;
    double work;
    bool is_long; /* many seconds: repeated less */
    struct bench_need need;
    double (*seconds)(void *arg);
    void *arg;
    struct peer_question ask;
};

bool bench_wants(const struct bench *b, const char *model, const char *what);
void bench_measure(struct bench *b, const struct bench_task *t);
/* A figure that was measured otherwise. */
struct figure *bench_add(struct bench *b, const char *model, const char *what, const char *unit,
                         double value);
double bench_median(const double *values, int n);
/* The machine's own figures, at the end. */
void bench_add_machine(struct bench *b);
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *bench_name(const char *path); /* without folders */

/* ---- what is needed (bench_engine_work.c) ---- */

/* n positions from the first one on, with logits for the last: of the last layer only keys and
 * values are needed for the others. */
struct bench_need work_prefill(const struct text_model *m, int32_t n);
/* A step of one token for each stream, with so many positions before it. */
struct bench_need work_decode(const struct text_model *m, const struct pages *p, int streams,
                              double context);
struct bench_need work_tile(const struct vision_model *m);
/* The least seconds, and which of the machine's speeds they come from. */
double work_seconds(const struct bench_need *n, const struct machine_speed *s, const char **bound);

/* ---- models ---- */

int bench_text(struct bench *b, const char *path);
/* text: a model that goes with the tower, for other engines; NULL: they are not asked. */
int bench_vision(struct bench *b, const char *path, const char *text);

/* ---- other engines (bench_engine_peers.c) ---- */

/* A folder with bin/llama-bench, bin/llama-batched-bench, bin/llama-mtmd-cli, or some of them. What
 * is missing is said on standard error. */
int peer_open(struct peer **out, const char *dir, int threads);
void peer_close(struct peer *p); /* NULL is fine */
const char *peer_name(const struct peer *p);
/* Tries the variants that the build knows, or with *how set only that one. value 0: no answer. */
void peer_ask(struct peer *p, const struct peer_question *q, struct peer_answer *answer);

/* ---- showing (bench_engine_show.c, bench_engine_plot.c) ---- */

void show_head(const struct bench *b);
void show_line(const struct bench *b, const struct figure *f);
void show_json(const struct bench *b);
/* ours beside theirs, above 1 when we are faster; 0: no answer. */
double show_ratio(const struct figure *f, int peer);
double show_ratio_best(const struct bench *b, const struct figure *f);
bool plot_known(const char *path); /* ends in .svg or .png */
int plot_write(const struct bench *b, struct error *e);

#endif
