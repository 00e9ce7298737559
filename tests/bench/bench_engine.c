/* bench_engine.c - how fast the engine is, beside what the machine allows.
 *
 * Each measurement stands between two measurements of its limit, and the percentage is taken from
 * the three; the median of several such triples is printed. So a machine that is slow now and fast
 * in a minute disturbs the rates but hardly the percentages. */
#include <getopt.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/bench/limits.h"
#include "worker/engine/blas.h"
#include "worker/engine/decoder.h"
#include "worker/engine/kernels.h"
#include "worker/engine/machine.h"
#include "worker/engine/vision.h"

#define PREFILL 512       /* positions */
#define DECODE_STEPS 16   /* tokens of one measurement of decoding */
#define DECODE_CONTEXT 64 /* positions before them */
#define STREAMS_MAX 8     /* sequences decoded together */
#define REPEATS_MAX 99
#define ARENA_BYTES ((size_t)64 << 20)

struct bench {
    int threads, repeats;
    bool json;
    struct team *team;
    struct limits *limits;
    bool first; /* no line of JSON printed yet */
};

struct open_model {
    const char *path;
    struct gguf *gguf;
    struct text_model model;
    struct pages *pages;
    struct decoder *decoder;
    double load_ms;
};

/* ---- medians ---- */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, int n) {
    double sorted[REPEATS_MAX];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

struct series {
    double rate[REPEATS_MAX];  /* tokens/s or ms */
    double share[REPEATS_MAX]; /* of the limit, percent */
    double limit[REPEATS_MAX];
};

static void print_line(struct bench *b, const char *model, const char *what, const char *unit,
                       const struct series *s, const char *limit_unit) {
    double rate = median(s->rate, b->repeats), limit = median(s->limit, b->repeats);
    double share = median(s->share, b->repeats);
    if (b->json)
        printf("%s\n  {\"model\": \"%s\", \"what\": \"%s\", \"value\": %.2f, \"unit\": \"%s\", "
               "\"limit\": %.2f, \"limit_unit\": \"%s\", \"percent\": %.1f}",
               b->first ? "" : ",", model, what, rate, unit, limit, limit_unit, share);
    else
        printf("%-28s %-22s %9.2f %-9s %8.1f %-8s %6.1f %%\n", model, what, rate, unit, limit,
               limit_unit, share);
    b->first = false;
    fflush(stdout);
}

static void print_value(struct bench *b, const char *model, const char *what, double value,
                        const char *unit) {
    if (b->json)
        printf("%s\n  {\"model\": \"%s\", \"what\": \"%s\", \"value\": %.2f, \"unit\": \"%s\"}",
               b->first ? "" : ",", model, what, value, unit);
    else
        printf("%-28s %-22s %9.2f %s\n", model, what, value, unit);
    b->first = false;
}

/* ---- the model ---- */

static int open_model(struct bench *b, struct open_model *o, const char *path, struct error *e) {
    *o = (struct open_model){.path = path};
    int64_t start = clock_us();
    int rc = gguf_open(&o->gguf, path, e);
    if (rc == 0)
        rc = text_model_bind(&o->model, o->gguf, e);
    struct pages_shape shape = {o->model.n_layer, o->model.n_head_kv, o->model.head_dim};
    if (rc == 0)
        rc = pages_open(&o->pages, shape, ARENA_BYTES, e);
    if (rc == 0)
        rc = decoder_open(&o->decoder, &o->model, o->pages, b->team, PREFILL, STREAMS_MAX, e);
    o->load_ms = (double)(clock_us() - start) * 1e-3;
    return rc;
}

static void close_model(struct open_model *o) {
    decoder_close(o->decoder);
    pages_close(o->pages);
    text_model_release(&o->model);
    gguf_close(o->gguf);
}

/* Memory of this process that is no file's, in bytes. */
static double own_bytes(void) {
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long kib = 0;
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssAnon: %lu", &kib) == 1)
            break;
    if (f != NULL)
        (void)fclose(f);
    return (double)kib * 1024;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static size_t weight_bytes(const struct weight *w) {
    return w->row_bytes * (size_t)w->n_out;
}

static double weight_products(const struct weight *w) {
    return (double)w->n_in * w->n_out;
}

/* The matrices of one layer without its keys and values, and these two. */
static void layer_matrices(const struct text_layer *l, const struct weight *others[5],
                           const struct weight *kv[2]) {
    others[0] = &l->q;
    others[1] = &l->attn_out;
    others[2] = &l->gate;
    others[3] = &l->up;
    others[4] = &l->down;
    kv[0] = &l->k;
    kv[1] = &l->v;
}

/* Floating-point operations of prefilling n positions with logits for the last: what is needed, so
 * of the last layer only keys and values for the other positions. */
static double prefill_flops(const struct text_model *m, int32_t n) {
    double flops = 2 * weight_products(&m->output);
    for (int32_t i = 0; i < m->n_layer; i++) {
        const struct weight *others[5], *kv[2];
        bool last = i == m->n_layer - 1;
        layer_matrices(&m->layers[i], others, kv);
        for (int j = 0; j < 5; j++)
            flops += 2 * weight_products(others[j]) * (last ? 1 : n);
        for (int j = 0; j < 2; j++)
            flops += 2 * weight_products(kv[j]) * n;
        flops += 4.0 * m->head_dim * m->n_head * n * (last ? 1 : (n + 1) / 2.0);
    }
    return flops;
}

/* Bytes that a step must read for `streams` rows at `context` positions each. */
static double decode_bytes(const struct text_model *m, int streams, double context) {
    double bytes = (double)weight_bytes(&m->output);
    for (int32_t i = 0; i < m->n_layer; i++) {
        const struct weight *others[5], *kv[2];
        layer_matrices(&m->layers[i], others, kv);
        for (int j = 0; j < 5; j++)
            bytes += (double)weight_bytes(others[j]);
        for (int j = 0; j < 2; j++)
            bytes += (double)weight_bytes(kv[j]);
    }
    return bytes + streams * context * 4.0 * m->n_layer * m->n_head_kv * m->head_dim;
}

/* ---- measurements ---- */

/* Computes n positions of each of `streams` sequences as one step. */
static void step(struct open_model *o, struct sequence *s, int streams, int32_t n) {
    struct step_row rows[PREFILL];
    int32_t at = 0;
    for (int i = 0; i < streams; i++) {
        if (sequence_reserve(&s[i], o->pages, s[i].positions + (uint32_t)n) != 0) {
            fprintf(stderr, "bench-engine: the arena is too small for this model\n");
            exit(1);
        }
        for (int32_t j = 0; j < n; j++)
            rows[at++] = (struct step_row){
                .sequence = &s[i],
                .position = s[i].positions + (uint32_t)j,
                .token = (int32_t)((uint32_t)(i + 31 * j + 7) % (uint32_t)o->model.n_vocab),
                .want_logits = j == n - 1};
    }
    decoder_step(o->decoder, rows, at);
}

static void open_sequences(struct sequence *s, int n) {
    for (int i = 0; i < n; i++)
        if (sequence_open(&s[i], PREFILL + DECODE_CONTEXT + DECODE_STEPS, NULL) != 0)
            exit(1);
}

static double prefill_seconds(struct open_model *o) {
    struct sequence s;
    open_sequences(&s, 1);
    int64_t start = clock_us();
    step(o, &s, 1, PREFILL);
    double seconds = (double)(clock_us() - start) * 1e-6;
    sequence_close(&s, o->pages);
    return seconds;
}

static double decode_seconds(struct open_model *o, int streams) {
    struct sequence s[STREAMS_MAX];
    open_sequences(s, streams);
    step(o, s, streams, DECODE_CONTEXT / streams);
    int64_t start = clock_us();
    for (int i = 0; i < DECODE_STEPS; i++)
        step(o, s, streams, 1);
    double seconds = (double)(clock_us() - start) * 1e-6;
    for (int i = 0; i < streams; i++)
        sequence_close(&s[i], o->pages);
    return seconds;
}

static void bench_prefill(struct bench *b, struct open_model *o) {
    struct series s;
    double gflop = prefill_flops(&o->model, PREFILL) * 1e-9;
    prefill_seconds(o); /* touches the file and the buffers */
    for (int i = 0; i < b->repeats; i++) {
        double before = limits_sgemm_gflops(b->limits);
        double seconds = prefill_seconds(o);
        s.limit[i] = (before + limits_sgemm_gflops(b->limits)) / 2;
        s.rate[i] = PREFILL / seconds;
        s.share[i] = 100 * gflop / seconds / s.limit[i];
    }
    print_line(b, name_of(o->path), "prefill of 512", "tokens/s", &s, "GFLOP/s");
}

static void bench_decode(struct bench *b, struct open_model *o, int streams) {
    struct series s;
    double gbytes =
        decode_bytes(&o->model, streams, DECODE_CONTEXT / streams + DECODE_STEPS / 2) * 1e-9;
    for (int i = 0; i < b->repeats; i++) {
        double before = limits_read_gbytes(b->limits);
        double seconds = decode_seconds(o, streams) / DECODE_STEPS;
        s.limit[i] = (before + limits_read_gbytes(b->limits)) / 2;
        s.rate[i] = streams / seconds;
        s.share[i] = 100 * gbytes / seconds / s.limit[i];
    }
    char what[32];
    snprintf(what, sizeof what, streams == 1 ? "decode" : "decode of %d streams", streams);
    print_line(b, name_of(o->path), what, "tokens/s", &s, "GB/s");
}

static int bench_text(struct bench *b, const char *path) {
    struct error e = {0};
    struct open_model o;
    (void)malloc_trim(0); /* what the model before has given back */
    double before = own_bytes();
    int rc = open_model(b, &o, path, &e);
    if (rc != 0) {
        fprintf(stderr, "bench-engine: %s\n", e.text);
    } else {
        bench_prefill(b, &o);
        bench_decode(b, &o, 1);
        bench_decode(b, &o, 4);
        print_value(b, name_of(path), "memory beyond file", (own_bytes() - before) / (1 << 20),
                    "MiB");
    }
    close_model(&o);
    if (rc == 0 && open_model(b, &o, path, &e) == 0) { /* again: now the file is in memory */
        print_value(b, name_of(path), "load, file in memory", o.load_ms, "ms");
        close_model(&o);
    }
    return rc;
}

/* ---- pictures ---- */

/* One tile: patches, layers with full attention, projector. */
static double tile_flops(const struct vision_model *m) {
    double n = (double)m->grid * m->grid;
    double layer = weight_products(&m->layers[0].q) * 4 + weight_products(&m->layers[0].up) +
                   weight_products(&m->layers[0].down);
    return 2 * n * (weight_products(&m->patch) + layer * m->n_layer) +
           2 * (double)m->n_out * weight_products(&m->fc) +
           4.0 * n * n * m->head_dim * m->n_head * m->n_layer;
}

static int bench_tile(struct bench *b, const char *path, struct vision *v,
                      const struct vision_model *m) {
    size_t side = (size_t)m->image_size;
    float *pixels = calloc(3 * side * side, sizeof *pixels);
    float *out = calloc((size_t)m->n_out * (size_t)m->projection, sizeof *out);
    if (pixels == NULL || out == NULL) {
        free(pixels);
        free(out);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < 3 * side * side; i++)
        pixels[i] = (float)(i % 255) / 127.5F - 1;
    struct series s;
    vision_encode(v, pixels, out);
    for (int i = 0; i < b->repeats; i++) {
        double before = limits_sgemm_gflops(b->limits);
        int64_t start = clock_us();
        vision_encode(v, pixels, out);
        s.rate[i] = (double)(clock_us() - start) * 1e-3;
        s.limit[i] = (before + limits_sgemm_gflops(b->limits)) / 2;
        s.share[i] = 100 * tile_flops(m) * 1e-6 / s.rate[i] / s.limit[i];
    }
    char what[32];
    snprintf(what, sizeof what, "tile of %dx%d", m->image_size, m->image_size);
    print_line(b, name_of(path), what, "ms", &s, "GFLOP/s");
    free(pixels);
    free(out);
    return 0;
}

static int bench_vision(struct bench *b, const char *path) {
    struct error e = {0};
    struct gguf *g = NULL;
    struct vision_model m = {0};
    struct vision *v = NULL;
    int rc = gguf_open(&g, path, &e);
    if (rc == 0)
        rc = vision_model_bind(&m, g, 0, &e);
    if (rc == 0)
        rc = vision_open(&v, &m, b->team, &e);
    if (rc == 0)
        rc = bench_tile(b, path, v, &m);
    if (rc != 0)
        fprintf(stderr, "bench-engine: %s\n", e.text);
    vision_close(v);
    vision_model_release(&m);
    gguf_close(g);
    return rc;
}

/* ---- the program ---- */

static const char usage[] =
    "usage: bench-engine [--threads N] [--repeats N] [--json] [--mmproj MM.gguf] TEXT.gguf...\n"
    "Measures prefill, decoding and picture tiles beside the machine's own limits (OpenBLAS "
    "sgemm,\n"
    "reading memory), and prints medians of N repeats (7).\n";

static const char *const ISA_NAMES[QUANT_ISAS] = {"portable", "avx2", "avx512"};

static int run(struct bench *b, char **texts, int n_texts, const char *mmproj) {
    struct error e = {0};
    if (team_open(&b->team, b->threads, &e) != 0 || limits_open(&b->limits, b->team, &e) != 0) {
        fprintf(stderr, "bench-engine: %s\n", e.text);
        return 1;
    }
    if (b->json)
        printf("{\"threads\": %d, \"isa\": \"%s\", \"blas\": \"%s\", \"results\": [", b->threads,
               ISA_NAMES[quant_isa_chosen()], blas_core());
    else
        printf("%d threads, %s, OpenBLAS kernels %s, medians of %d\n"
               "%-28s %-22s %9s %-9s %8s %-8s %8s\n",
               b->threads, ISA_NAMES[quant_isa_chosen()], blas_core(), b->repeats, "model", "what",
               "", "", "limit", "", "of limit");
    int failures = 0;
    for (int i = 0; i < n_texts; i++)
        failures += bench_text(b, texts[i]) != 0;
    if (mmproj != NULL)
        failures += bench_vision(b, mmproj) != 0;
    if (b->json)
        printf("\n]}\n");
    limits_close(b->limits);
    team_close(b->team);
    return failures != 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'}, {"repeats", required_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},          {"mmproj", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct bench b = {.threads = machine_cpus(), .repeats = 7, .first = true};
    const char *mmproj = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 't')
            b.threads = atoi(optarg);
        else if (c == 'r')
            b.repeats = atoi(optarg);
        else if (c == 'j')
            b.json = true;
        else if (c == 'm')
            mmproj = optarg;
        else
            return fputs(usage, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2;
    }
    if (b.repeats < 1 || b.repeats > REPEATS_MAX || b.threads < 1 ||
        (optind == argc && mmproj == NULL))
        return fputs(usage, stderr), 2;
    return run(&b, argv + optind, argc - optind, mmproj);
}
