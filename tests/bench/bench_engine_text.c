/* bench_engine_text.c - a text model: loading, memory, prefill, decoding of one and several
 * streams.
 *
 * Shared packs go to a directory of this program's own, so that the first opening is the first of a
 * machine and the second finds what that left. */
#include "tests/bench/bench_engine.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/must.h"
#include "tests/support/temp.h"
#include "worker/engine/engine.h"

#define KV_BYTES ((size_t)512 << 20)      /* more than LONG_CONTEXT takes in any of our shapes */
#define KV_SMALL_BYTES ((size_t)64 << 20) /* while memory is measured */
#define TOKEN_STRIDE 7919                 /* from one made-up token to the next */

struct text {
    struct bench *b;
    const char *path, *name;
    struct engine *engine;
    struct sequence streams[BENCH_STREAMS_MAX];
    int n_streams;
    uint32_t context; /* positions that decoding starts at */
    int32_t prompt;   /* of a prefill */
};

static int open_engine(struct text *t, size_t kv_bytes, const char *packs, struct error *e) {
    struct engine_options o = {.model = t->path,
                               .threads = t->b->threads,
                               .kv_bytes = kv_bytes,
                               .pack_dir = packs,
                               .max_sequences = BENCH_STREAMS_MAX};
    return engine_open(&t->engine, &o, e);
}

static void close_engine(struct text *t) {
    engine_close(t->engine);
    t->engine = NULL;
}

/* ---- steps ---- */

/* Computes n more positions of each stream, in steps as large as the engine's. */
static void compute(struct text *t, struct sequence *streams, int n_streams, uint32_t n) {
    struct step_row rows[ENGINE_CHUNK];
    uint32_t most = ENGINE_CHUNK / (uint32_t)n_streams;
    uint32_t vocabulary = (uint32_t)t->engine->text.n_vocab;
    for (uint32_t done = 0, piece; done < n; done += piece) {
        int32_t at = 0;
        piece = n - done < most ? n - done : most;
        for (int i = 0; i < n_streams; i++) {
            struct sequence *s = &streams[i];
            MUST(sequence_reserve(s, t->engine->pages, s->positions + piece) == 0);
            for (uint32_t j = 0; j < piece; j++) {
                uint32_t position = s->positions + j;
                rows[at++] = (struct step_row){
                    .sequence = s,
                    .position = position,
                    .token = (int32_t)((position * TOKEN_STRIDE + (uint32_t)i) % vocabulary),
                    .want_logits = done + j + 1 == n};
            }
        }
        (void)decoder_step(t->engine->decoder, rows, at);
    }
}

static double prefill_seconds(void *arg) {
    struct text *t = arg;
    struct sequence s;
    MUST(sequence_open(&s, (uint32_t)t->prompt, NULL) == 0);
    int64_t start = clock_us();
    compute(t, &s, 1, (uint32_t)t->prompt);
    double seconds = (double)(clock_us() - start) * 1e-6;
    sequence_close(&s, t->engine->pages);
    return seconds;
}

static void open_streams(struct text *t, int n, uint32_t context) {
    t->n_streams = n;
    t->context = context;
    for (int i = 0; i < n; i++)
        MUST(sequence_open(&t->streams[i], context + BENCH_DECODE_STEPS, NULL) == 0);
    compute(t, t->streams, n, context);
}

static void close_streams(struct text *t) {
    for (int i = 0; i < t->n_streams; i++)
        sequence_close(&t->streams[i], t->engine->pages);
    t->n_streams = 0;
}

/* From the same context each time: what was decoded before is written over. */
static double decode_seconds(void *arg) {
    struct text *t = arg;
    for (int i = 0; i < t->n_streams; i++)
        t->streams[i].positions = t->context;
    int64_t start = clock_us();
    for (int i = 0; i < BENCH_DECODE_STEPS; i++)
        compute(t, t->streams, t->n_streams, 1);
    return (double)(clock_us() - start) * 1e-6;
}

/* ---- figures ---- */

static void bench_prefill(struct text *t, int32_t n) {
    char what[32];
    (void)snprintf(what, sizeof what, "prefill %d", n);
    t->prompt = n;
    bench_measure(
        t->b, &(struct bench_task){.model = t->name,
                                   .what = what,
                                   .work = n,
                                   .is_long = n > BENCH_PROMPT,
                                   .need = work_prefill(&t->engine->text, n),
                                   .seconds = prefill_seconds,
                                   .arg = t,
                                   .ask = {.kind = PEER_PREFILL, .model = t->path, .prompt = n}});
}

static void bench_decode(struct text *t, int streams, uint32_t context) {
    char what[32];
    if (streams > 1)
        (void)snprintf(what, sizeof what, "%d streams", streams);
    else
        (void)snprintf(what, sizeof what, "decode at %u", context);
    if (!bench_wants(t->b, t->name, what))
        return;
    struct bench_need need = work_decode(&t->engine->text, t->engine->pages, streams,
                                         (double)context + (BENCH_DECODE_STEPS - 1) / 2.0);
    need.f32_flops *= BENCH_DECODE_STEPS;
    need.int8_ops *= BENCH_DECODE_STEPS;
    need.read_bytes *= BENCH_DECODE_STEPS;
    open_streams(t, streams, context);
    bench_measure(t->b,
                  &(struct bench_task){.model = t->name,
                                       .what = what,
                                       .work = (double)streams * BENCH_DECODE_STEPS,
                                       .is_long = context > BENCH_PROMPT,
                                       .need = need,
                                       .seconds = decode_seconds,
                                       .arg = t,
                                       .ask = {.kind = streams > 1 ? PEER_STREAMS : PEER_DECODE,
                                               .model = t->path,
                                               .depth = (int)context,
                                               .streams = streams}});
    close_streams(t);
}

/* ---- loading and memory ---- */

static const char *const load[] = {"load, first", "load, again"};
static const char memory_own[] = "memory of its own", memory_all[] = "memory with weights";

/* A line of this process's part in memory, in bytes: "Pss:" counts shared pages in part. */
static double memory_bytes(const char *line_start) {
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    unsigned long kib = 0;
    size_t n = strlen(line_start);
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, line_start, n) == 0 && sscanf(line + n, "%lu", &kib) == 1)
            break;
    if (f != NULL)
        (void)fclose(f);
    return (double)kib * 1024;
}

static void show_value(struct text *t, const char *what, const char *unit, double value) {
    if (bench_wants(t->b, t->name, what))
        show_line(t->b, bench_add(t->b, t->name, what, unit, value));
}

/* After a prompt and a step of all streams, so that every buffer has been used. */
static void bench_memory(struct text *t, double own_before, double all_before) {
    t->prompt = BENCH_PROMPT;
    (void)prefill_seconds(t);
    open_streams(t, BENCH_STREAMS_MAX, BENCH_CONTEXT);
    compute(t, t->streams, BENCH_STREAMS_MAX, 1);
    double own = memory_bytes("Pss_Anon:") - own_before, all = memory_bytes("Pss:") - all_before;
    close_streams(t);
    show_value(t, memory_own, "MiB", own / (1 << 20));
    show_value(t, memory_all, "MiB", all / (1 << 20));
}

static bool wants_load(const struct text *t) {
    return bench_wants(t->b, t->name, load[0]) || bench_wants(t->b, t->name, load[1]) ||
           bench_wants(t->b, t->name, memory_own) || bench_wants(t->b, t->name, memory_all);
}

static int bench_load(struct text *t, const char *packs, struct error *e) {
    (void)malloc_trim(0); /* what the model before has given back */
    double own = memory_bytes("Pss_Anon:"), all = memory_bytes("Pss:");
    for (int i = 0; i < 2; i++) {
        bench_progress("%s, %s\n", t->name, load[i]);
        int64_t start = clock_us();
        int rc = open_engine(t, KV_SMALL_BYTES, packs, e);
        if (rc != 0)
            return rc;
        show_value(t, load[i], "ms", (double)(clock_us() - start) * 1e-3);
        if (i == 1)
            bench_memory(t, own, all);
        close_engine(t);
    }
    return 0;
}

static int bench_speed(struct text *t, const char *packs, struct error *e) {
    int rc = open_engine(t, KV_BYTES, packs, e);
    if (rc == 0)
        rc = limits_open(&t->b->limits, t->engine->team, e);
    if (rc == 0) {
        bench_prefill(t, BENCH_PROMPT);
        bench_decode(t, 1, BENCH_CONTEXT);
        for (int streams = 2; streams <= BENCH_STREAMS_MAX; streams *= 2)
            bench_decode(t, streams, BENCH_CONTEXT);
        bench_prefill(t, BENCH_LONG_CONTEXT);
        bench_decode(t, 1, BENCH_LONG_CONTEXT);
    }
    limits_close(t->b->limits);
    t->b->limits = NULL;
    close_engine(t);
    return rc;
}

int bench_text(struct bench *b, const char *path) {
    struct error e = {0};
    struct text t = {.b = b, .path = path, .name = bench_name(path)};
    struct temp_dir packs;
    temp_dir_open(&packs);
    int rc = wants_load(&t) ? bench_load(&t, packs.path, &e) : 0;
    if (rc == 0)
        rc = bench_speed(&t, packs.path, &e);
    if (rc != 0)
        fprintf(stderr, "bench-engine: %s\n", e.text);
    temp_dir_close(&packs);
    return rc;
}
