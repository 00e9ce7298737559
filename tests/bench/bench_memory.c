/* bench_memory.c - what N engines on one model cost in memory, measured as proportional set size.
 *
 *     bench-memory [--workers N] [--packs DIR] MODEL
 *
 * Starts N processes, each with an engine that computes a prompt of a full step and some tokens;
 * then reads what each holds from /proc/PID/smaps. A page that n processes map counts 1/n for each,
 * so the sum over all is what the machine gives. Prints the sums for the packed weights, for the
 * model's file, and for all the rest, and the first two in parts of the packed weights' size. */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/engine/engine.h"

#define WORKERS_MAX 64
#define TOKENS 16
#define KV_BYTES ((size_t)64 << 20)
#define LINE_BYTES 4096
#define MIB 1048576.0

struct report { /* of a child, when it has computed */
    bool ready;
    size_t pack_bytes;
    double open_ms;
};

struct sums { /* bytes */
    double packs, file, rest;
};

static int compute(struct engine *g) {
    struct step_row rows[ENGINE_CHUNK];
    struct sequence s;
    if (sequence_open(&s, ENGINE_CHUNK + TOKENS, NULL) != 0 ||
        sequence_reserve(&s, g->pages, ENGINE_CHUNK + TOKENS) != 0)
        return -1;
    for (int32_t i = 0; i < ENGINE_CHUNK; i++)
        rows[i] = (struct step_row){
            .sequence = &s, .position = (uint32_t)i, .token = i * 37 % g->text.n_vocab};
    (void)decoder_step(g->decoder, rows, ENGINE_CHUNK);
    for (int32_t i = 0; i < TOKENS; i++) {
        rows[0] = (struct step_row){.sequence = &s,
                                    .position = s.positions,
                                    .token = i * 1009 % g->text.n_vocab,
                                    .want_logits = true};
        (void)decoder_step(g->decoder, rows, 1);
    }
    return 0;
}

static int child(const char *model, const char *packs, int to) {
    struct engine_options o = {.model = model,
                               .chat_template = "smolvlm",
                               .threads = 1,
                               .kv_bytes = KV_BYTES,
                               .max_sequences = 4,
                               .pack_dir = packs};
    struct error e = {0};
    struct engine *g;
    int64_t start_us = clock_us();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (engine_open(&g, &o, &e) < 0) {
        fprintf(stderr, "bench-memory: %s\n", e.text);
        return 1;
    }
    struct report r = {.pack_bytes = pack_bytes(g->pack),
                       .open_ms = (double)(clock_us() - start_us) * 1e-3};
    r.ready = compute(g) == 0;
    if (write(to, &r, sizeof r) != (ssize_t)sizeof r)
        return 1;
    for (;;)
        pause();
}

/* Adds what a process holds. */
static void add_process(struct sums *s, pid_t pid, const char *model) {
    char path[64], line[LINE_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%ld/smaps", (long)pid);
    FILE *f = fopen(path, "re");
    double *to = &s->rest;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        double kib;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "Pss: %lf", &kib) == 1)
            *to += kib * 1024;
        else if (strchr(line, '-') != NULL && strchr(line, ':') > strchr(line, '-'))
            to = strstr(line, ".pack") ? &s->packs : strstr(line, model) ? &s->file : &s->rest;
    }
    if (f != NULL)
        (void)fclose(f);
}

/* Starts one and waits until it has computed; false when it could not. */
static bool start(const char *model, const char *packs, pid_t *pid, struct report *r) {
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    *pid = fork();
    if (*pid == 0)
        _exit(child(model, packs, ends[1]));
    close(ends[1]);
    bool ready = read(ends[0], r, sizeof *r) == (ssize_t)sizeof *r && r->ready;
    close(ends[0]);
    return ready;
}

static int run(const char *model, const char *packs, int workers) {
    pid_t pids[WORKERS_MAX];
    struct report r = {0};
    struct sums s = {0};
    int rc = 0;
    for (int i = 0; i < workers && rc == 0; i++) { /* in turn: the first packs */
        if (start(model, packs, &pids[i], &r)) {
            printf("worker %d: open after %.0f ms\n", i, r.open_ms);
        } else {
            rc = 1;
            workers = i + 1;
        }
    }
    for (int i = 0; i < workers; i++)
        add_process(&s, pids[i], model);
    for (int i = 0; i < workers; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    double once = (double)r.pack_bytes;
    if (rc == 0)
        printf(
            "%d workers: packed weights %.1f MiB, the model's file %.1f MiB: %.3f of the weights "
            "once (%.1f MiB); all else %.1f MiB, %.1f each\n",
            workers, s.packs / MIB, s.file / MIB, (s.packs + s.file) / once, once / MIB,
            s.rest / MIB, s.rest / MIB / workers);
    return rc;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"workers", required_argument, NULL, 'w'},
                                            {"packs", required_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    const char *packs = NULL;
    int workers = 8, c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'w')
            workers = atoi(optarg);
        else if (c == 'p')
            packs = optarg;
        else
            return 2;
    }
    if (optind + 1 != argc || workers < 1 || workers > WORKERS_MAX) {
        fprintf(stderr, "usage: bench-memory [--workers N] [--packs DIR] MODEL\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    return run(argv[optind], packs, workers);
}
