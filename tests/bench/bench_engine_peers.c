/* bench_engine_peers.c - asks a build of llama.cpp the same questions, with its own programs.
 *
 * Builds differ in what they can do, so the options are looked up in what a program says about
 * itself. Variants are tried once for each question, and the best one answers it from then on. */
#include "tests/bench/bench_engine.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/must.h"
#include "tests/bench/child.h"
#include "tests/support/temp.h"

#define WAIT_MS 600000 /* for one answer */
#define HELP_WAIT_MS 20000
#define ARGUMENTS 40 /* with the NULL at the end */
#define NUMBERS 8
#define PATH_BYTES 1024
#define NUMBER_BYTES 16
#define PICTURE_SIDE 512 /* pixels */
#define TILES_HEARD 3    /* the picture may be cut into many: so many of them are enough */
#define VARIANTS 3

enum tool { TOOL_BENCH, TOOL_BATCHED, TOOL_PICTURE, TOOLS };
static const char *const tool_names[TOOLS] = {"llama-bench", "llama-batched-bench",
                                              "llama-mtmd-cli"};

struct peer {
    char *path[TOOLS]; /* NULL: not there */
    char *help[TOOLS];
    char name[64];
    char threads[NUMBER_BYTES];
    struct temp_dir pictures;
    char picture[PATH_BYTES];
};

struct command { /* zeroed: argv ends in NULL at any time */
    const char *argv[ARGUMENTS];
    int n;
    char numbers[NUMBERS][NUMBER_BYTES];
    int n_numbers;
};

static void add(struct command *c, const char *argument) {
    MUST(c->n < ARGUMENTS - 1);
    c->argv[c->n++] = argument;
}

static void add_pair(struct command *c, const char *option, const char *value) {
    add(c, option);
    add(c, value);
}

static void add_number(struct command *c, const char *option, int value) {
    char *number = c->numbers[c->n_numbers++];
    MUST(c->n_numbers <= NUMBERS);
    (void)snprintf(number, NUMBER_BYTES, "%d", value);
    add_pair(c, option, number);
}

static void add_numbers(struct command *c, const char *option, int first, int second) {
    char *numbers = c->numbers[c->n_numbers++];
    MUST(c->n_numbers <= NUMBERS);
    (void)snprintf(numbers, NUMBER_BYTES, "%d,%d", first, second);
    add_pair(c, option, numbers);
}

/* ---- the build ---- */

/* Whether a program's help names this option, as a word. */
static bool knows(const struct peer *p, enum tool tool, const char *option) {
    size_t n = strlen(option);
    for (const char *at = p->help[tool]; at != NULL && (at = strstr(at, option)) != NULL; at += n)
        if ((at == p->help[tool] || strchr(" ,[|\n", at[-1]) != NULL) &&
            strchr(" ,]|<=\n", at[n]) != NULL)
            return true;
    return false;
}

static void find_tool(struct peer *p, const char *dir, enum tool tool) {
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/bin/%s", dir, tool_names[tool]);
    if (access(path, X_OK) != 0) {
        fprintf(stderr, "bench-engine: %s is not there: no figures of it\n", path);
        return;
    }
    p->path[tool] = strdup(path);
    p->help[tool] =
        child_run((const char *const[]){path, "--help", NULL}, true, HELP_WAIT_MS, NULL, 0);
    MUST(p->path[tool] != NULL);
}

/* A picture that any program reads, of coloured stripes. */
static void write_picture(struct peer *p) {
    size_t bytes = 3 * PICTURE_SIDE * PICTURE_SIDE, head;
    char *file = malloc(bytes + 32);
    MUST(file != NULL);
    head = (size_t)snprintf(file, 32, "P6\n%d %d\n255\n", PICTURE_SIDE, PICTURE_SIDE);
    for (size_t i = 0; i < bytes; i++)
        file[head + i] = (char)(i * i / 977 % 256);
    temp_file(&p->pictures, "picture.ppm", file, head + bytes, p->picture, sizeof p->picture);
    free(file);
}

int peer_open(struct peer **out, const char *dir, int threads) {
    struct peer *p = *out = calloc(1, sizeof *p);
    if (p == NULL)
        return ERR_NOMEM;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && dir[from - 1] != '/')
        from--;
    (void)snprintf(p->name, sizeof p->name, "%.*s", (int)(n - from), dir + from);
    (void)snprintf(p->threads, sizeof p->threads, "%d", threads);
    temp_dir_open(&p->pictures);
    write_picture(p);
    for (int tool = 0; tool < TOOLS; tool++)
        find_tool(p, dir, (enum tool)tool);
    return 0;
}

void peer_close(struct peer *p) {
    if (p == NULL)
        return;
    for (int tool = 0; tool < TOOLS; tool++) {
        free(p->path[tool]);
        free(p->help[tool]);
    }
    temp_dir_close(&p->pictures);
    free(p);
}

const char *peer_name(const struct peer *p) {
    return p->name;
}

/* ---- answers ---- */

/* The rate in the JSON that llama-bench writes: [{..., "avg_ts": x}]. */
static double rate_of(const char *text) {
    json_error_t e;
    const char *start = strchr(text, '[');
    json_t *all = start != NULL ? json_loads(start, JSON_DISABLE_EOF_CHECK, &e) : NULL;
    double rate = json_number_value(json_object_get(json_array_get(all, 0), "avg_ts"));
    json_decref(all);
    return rate;
}

/* The eighth column of the last line of a table of numbers:
 * | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | ... */
static double rate_in_table(const char *text) {
    double rate = 0;
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *at = line, *end = strchr(line, '\n');
        int column = 0;
        double value = 0;
        bool numbers = *at == '|';
        while (numbers && column < 8 && *at == '|') {
            char *after;
            value = strtod(at + 1, &after);
            numbers = after != at + 1;
            for (at = after; *at == ' '; at++)
                ;
            column++;
        }
        if (numbers && column == 8)
            rate = value;
        line = end != NULL ? end + 1 : NULL;
    }
    return rate;
}

/* The median of "... slice encoded in 1234 ms". */
static double tile_ms_of(const char *text) {
    static const char words[] = "encoded in ";
    double ms[TILES_HEARD];
    int n = 0;
    for (const char *at = text; n < TILES_HEARD && (at = strstr(at, words)) != NULL;)
        ms[n++] = strtod(at += sizeof words - 1, NULL);
    return n > 0 ? bench_median(ms, n) : 0;
}

/* ---- questions ---- */

/* Flash attention off, on, and on with weights repacked at the start where the build can. */
static const char *const variants[VARIANTS] = {"fa 0", "fa 1", "fa 1, rtr"};

static bool can(const struct peer *p, enum tool tool, int variant) {
    return variant < 2 || knows(p, tool, "-rtr");
}

static void add_variant(struct command *c, enum tool tool, int variant) {
    add_pair(c, "-fa", variant > 0 ? "1" : "0");
    if (variant == 2)
        add(c, "-rtr");
    if (variant == 2 && tool == TOOL_BENCH)
        add(c, "1");
}

static void add_bench(struct command *c, const struct peer *p, const struct peer_question *q) {
    bool prefill = q->kind == PEER_PREFILL, depth = knows(p, TOOL_BENCH, "-d");
    add_number(c, "-p", prefill ? q->prompt : 0);
    add_number(c, "-n", prefill || !depth ? 0 : BENCH_DECODE_STEPS);
    if (!prefill && depth)
        add_number(c, "-d", q->depth);
    else if (!prefill)
        add_numbers(c, "-gp", q->depth, BENCH_DECODE_STEPS);
    /* A prompt that takes many seconds would be computed once more in vain. */
    if (q->prompt > BENCH_PROMPT && knows(p, TOOL_BENCH, "--no-warmup"))
        add(c, "--no-warmup");
    add_pair(c, "-r", "1");
    add_pair(c, "-o", "json");
}

static void add_batched(struct command *c, const struct peer_question *q) {
    add_number(c, "-npp", q->depth);
    add_number(c, "-ntg", BENCH_DECODE_STEPS);
    add_number(c, "-npl", q->streams);
    add_number(c, "-c", q->streams * (q->depth + BENCH_DECODE_STEPS));
}

static void add_picture(struct command *c, const struct peer *p, const struct peer_question *q) {
    add_pair(c, "--mmproj", q->mmproj);
    add_pair(c, "--image", p->picture);
    add_pair(c, "-p", "What is it?");
    add_pair(c, "-n", "1");
}

static double ask_once(const struct peer *p, const struct peer_question *q, enum tool tool,
                       int variant) {
    struct command c = {.n = 0};
    add(&c, p->path[tool]);
    add_pair(&c, "-m", q->model);
    add_pair(&c, "-t", p->threads);
    if (tool == TOOL_BENCH)
        add_bench(&c, p, q);
    else if (tool == TOOL_BATCHED)
        add_batched(&c, q);
    else
        add_picture(&c, p, q);
    if (tool != TOOL_PICTURE)
        add_variant(&c, tool, variant);
    char *text = child_run(c.argv, tool != TOOL_BENCH, WAIT_MS,
                           tool == TOOL_PICTURE ? "encoded in" : NULL, TILES_HEARD + 1);
    if (text == NULL)
        return 0;
    double value = tool == TOOL_BENCH     ? rate_of(text)
                   : tool == TOOL_BATCHED ? rate_in_table(text)
                                          : tile_ms_of(text);
    free(text);
    return value;
}

void peer_ask(struct peer *p, const struct peer_question *q, struct peer_answer *answer) {
    enum tool tool = q->kind == PEER_STREAMS ? TOOL_BATCHED
                     : q->kind == PEER_TILE  ? TOOL_PICTURE
                                             : TOOL_BENCH;
    struct peer_answer best = {0};
    for (int v = 0; v < VARIANTS && p->path[tool] != NULL; v++) {
        if (tool == TOOL_PICTURE && v > 0)
            break;
        if (!can(p, tool, v) || (answer->how[0] != '\0' && strcmp(answer->how, variants[v]) != 0))
            continue;
        double value = ask_once(p, q, tool, v);
        if (value <= best.value)
            continue;
        best.value = value;
        if (tool != TOOL_PICTURE)
            (void)snprintf(best.how, sizeof best.how, "%s", variants[v]);
    }
    if (best.value <= 0 && p->path[tool] != NULL)
        fprintf(stderr, " (%s has no answer)", p->path[tool]);
    *answer = best;
}
