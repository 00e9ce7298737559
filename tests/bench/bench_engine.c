/* bench_engine.c - how fast the engine is, beside what the machine allows and what others reach. */
#include "tests/bench/bench_engine.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/machine.h"

#define TOWERS_MAX 4
#define REPEATS 7
#define QUICK_REPEATS 3

static const char usage[] =
    "usage: bench-engine [OPTION]... [--mmproj MM.gguf]... TEXT.gguf...\n"
    "Measures loading, memory, prefill, decoding and picture tiles, each beside the limit: what\n"
    "this machine, measured in the same run, would take for the arithmetic and reading alone.\n"
    "  --threads N     all CPUs unless told\n"
    "  --repeats N     figures are medians of so many measurements (7); of long ones at most 3\n"
    "  --quick         3 repeats\n"
    "  --only PATTERN  what matches *PATTERN* in \"MODEL WHAT\", for example 'q8_0*decode'\n"
    "  --against DIR   a build of llama.cpp (DIR/bin/llama-bench and others), asked the same in\n"
    "                  turn; may be given twice\n"
    "  --json          results as JSON\n"
    "  --plot FILE     also as a drawing, .svg or .png\n";

struct inputs {
    char **texts;
    int n_texts;
    const char *towers[TOWERS_MAX], *dirs[BENCH_PEERS_MAX];
    int n_towers, n_dirs;
};

static int run(struct bench *b, const struct inputs *in) {
    struct error e = {0};
    int failures = 0;
    for (int i = 0; i < in->n_dirs; i++)
        if (peer_open(&b->peers[b->n_peers++], in->dirs[i], b->threads) != 0)
            return fputs("bench-engine: no memory\n", stderr), 1;
    show_head(b);
    for (int i = 0; i < in->n_texts; i++)
        failures += bench_text(b, in->texts[i]) != 0;
    for (int i = 0; i < in->n_towers; i++)
        failures += bench_vision(b, in->towers[i], in->n_texts > 0 ? in->texts[0] : NULL) != 0;
    bench_add_machine(b);
    if (b->json)
        show_json(b);
    if (b->plot != NULL && plot_write(b, &e) != 0) {
        fprintf(stderr, "bench-engine: %s\n", e.text);
        failures++;
    }
    for (int i = 0; i < b->n_peers; i++)
        peer_close(b->peers[i]);
    return failures != 0;
}

/* False when an option makes no sense. */
static bool take_option(struct bench *b, struct inputs *in, int c) {
    switch (c) {
    case 't':
        b->threads = atoi(optarg);
        return b->threads >= 1 && b->threads <= TEAM_MAX;
    case 'r':
        b->repeats = atoi(optarg);
        return b->repeats >= 1 && b->repeats <= BENCH_REPEATS_MAX;
    case 'q':
        b->repeats = QUICK_REPEATS;
        return true;
    case 'o':
        b->only = optarg;
        return true;
    case 'j':
        b->json = true;
        return true;
    case 'p':
        b->plot = optarg;
        return plot_known(optarg);
    case 'm':
        in->towers[in->n_towers++ % TOWERS_MAX] = optarg;
        return in->n_towers <= TOWERS_MAX;
    case 'a':
        in->dirs[in->n_dirs++ % BENCH_PEERS_MAX] = optarg;
        return in->n_dirs <= BENCH_PEERS_MAX;
    default:
        return false;
    }
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'}, {"repeats", required_argument, NULL, 'r'},
        {"quick", no_argument, NULL, 'q'},         {"only", required_argument, NULL, 'o'},
        {"against", required_argument, NULL, 'a'}, {"json", no_argument, NULL, 'j'},
        {"plot", required_argument, NULL, 'p'},    {"mmproj", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    static struct bench b;
    struct inputs in = {0};
    b.threads = machine_cpus();
    b.repeats = REPEATS;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'h')
            return fputs(usage, stdout), 0;
        if (!take_option(&b, &in, c))
            return fputs(usage, stderr), 2;
    }
    in.texts = argv + optind;
    in.n_texts = argc - optind;
    if (in.n_texts == 0 && in.n_towers == 0)
        return fputs(usage, stderr), 2;
    return run(&b, &in);
}
